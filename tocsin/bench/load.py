"""Load at a rate, and whether Tocsin keeps up with it.

Load is open loop. A rate is sustained when at the end the generator is at most 1 s behind, every acknowledged reading
is counted in the store 5 s later, and at most two parts wait for their index. Rates are tried from the highest that a
short flat-out run suggests, downwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console

from sensors_sim.load_plan import LoadPlan
from sensors_sim.loadgen import start
from streams.store.edge import session
from streams.store.queries import StoreStatus, status
from tocsin.bench.report import Row

SETTLE_S = 5.0
MOST_LAG_S = 1.0
MOST_WAITING = 2
_TURN_S = 5.0
_MOST_TURNS = 8
_LEARNING_RATE = 25_000.0
_STEPS = (1.0, 0.85, 0.7, 0.55, 0.4, 0.25)
_console = Console(stderr=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Case:
    """needed, goal: readings a second."""

    name: str
    plan: LoadPlan
    needed: float
    goal: float


@dataclass(frozen=True, slots=True)
class Target:
    """What is loaded.  port: of MQTT on loopback.  dsn: of its readings.  rss_bytes: of the process to be watched."""

    port: int
    dsn: str
    folder: Path
    rss_bytes: Callable[[], int]


def measure(target: Target, case: Case, seconds: float) -> Row:
    """The highest rate that is sustained for so long; 0 where none of those tried is."""
    plan = msgspec.structs.replace(case.plan, port=target.port)
    reached = flat_out(plan, target.folder) * plan.readings
    for step in _STEPS:
        rate = reached * step
        before = settled(target.dsn)
        outcome = sustain(plan, rate / plan.readings, seconds, target.folder)
        time.sleep(SETTLE_S)
        with session(target.dsn, "tocsin-bench") as connection:
            after = status(connection)
        stored = counted(after) - counted(before)
        wanted = outcome.acknowledged * plan.readings
        words = f"lag {outcome.lag_s:.2f} s, {stored:,} of {wanted:,} stored, {after.closing} parts wait"
        _console.print(f"  {case.name}: {rate:,.0f}/s offered: {words}")
        if outcome.lag_s <= MOST_LAG_S and stored == wanted and after.closing <= MOST_WAITING and not outcome.faults:
            value = wanted / outcome.seconds
            note = f"{seconds:.0f} s, {words}; RSS {target.rss_bytes() / 1e6:.0f} MB; flat out {reached:,.0f}"
            return Row(case.name, value, "/s", case.needed, case.goal, note=note)
    return Row(case.name, 0.0, "/s", case.needed, case.goal, note="no rate was sustained")


@dataclass(frozen=True, slots=True)
class Outcome:
    seconds: float
    acknowledged: int
    lag_s: float
    faults: int


def flat_out(plan: LoadPlan, folder: Path) -> float:
    """Messages a second that the machine takes once every sensor is known."""
    learn(plan, folder)
    return sustain(plan, 0.0, _TURN_S, folder).acknowledged / _TURN_S


def learn(plan: LoadPlan, folder: Path) -> None:
    """Let every device speak twice, so that the door knows its sensors."""
    acknowledged, turn = 0, 0
    while acknowledged < 2 * plan.rows and turn < _MOST_TURNS:
        acknowledged += sustain(plan, _LEARNING_RATE, 2.0 * plan.rows / _LEARNING_RATE, folder).acknowledged
        turn += 1


def sustain(plan: LoadPlan, rate: float, seconds: float, folder: Path) -> Outcome:
    """Offer `rate` messages a second.

    The lag is the larger of how late the last messages left and how long after them the last PUBACK came.
    """
    told = msgspec.structs.replace(plan, rate=rate, seconds=seconds)
    lag_s, last = 0.0, None
    for report in start(told, folder / "sent.npz").reports():
        if not report.done:
            lag_s = report.lag_s
        last = report
    assert last is not None
    return Outcome(seconds, last.acknowledged, max(lag_s, last.seconds - seconds), last.faults + last.dead)


def counted(known: StoreStatus) -> int:
    return known.stored + known.late + known.duplicate + known.refused_old


def settled(dsn: str) -> StoreStatus:
    """The store's counts once they stand still."""
    with session(dsn, "tocsin-bench") as connection:
        last = status(connection)
        while True:
            time.sleep(3.0)
            now = status(connection)
            if counted(now) == counted(last):
                return now
            last = now
