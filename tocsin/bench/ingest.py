"""`tocsin bench ingest`: QoS 1 messages through socket, log, engine and store, sustained; and history beside it.

Load is open loop. A rate is sustained when at the end the generator is at most 1 s behind, every acknowledged reading
is counted in the store 5 s later, and at most two parts wait for their index. Rates are tried from the highest that a
short flat-out run suggests, downwards.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console

from schemas.readings import I64
from sensors_sim.frames import device_of
from sensors_sim.load_plan import LoadPlan
from sensors_sim.loadgen import start
from streams.store.edge import session
from streams.store.queries import StoreStatus, history, status
from tocsin.bench.history import DAY_US, fill
from tocsin.bench.report import Options, Row
from tocsin.bench.service import Service, tocsin_up
from tocsin.settings import connect_dsn

PAST = 100_000_000
SECONDS = 60.0
SETTLE_S = 5.0
MOST_LAG_S = 1.0
MOST_WAITING = 2
QUERIES = 200
_TURN_S = 5.0
_MOST_TURNS = 8
_LEARNING_RATE = 25_000.0
_STEPS = (1.0, 0.85, 0.7, 0.55, 0.4, 0.25)
_console = Console(stderr=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    plan: LoadPlan
    needed: float
    goal: float


def _cases(seed: int) -> list[Case]:
    few = LoadPlan(connections=4, devices=25_000, burst=20, seed=seed)
    many = LoadPlan(connections=2000, devices=50, window=100, seed=seed + 1)
    wide = LoadPlan(connections=4, devices=250, readings=100, window=500, seed=seed + 2)
    return [
        Case("ingest.4_connections", few, 150_000, 600_000),
        Case("ingest.2000_connections", many, 20_000, 120_000),
        Case("ingest.100_readings_a_message", wide, 300_000, 800_000),
    ]


def run(options: Options) -> list[Row]:
    assert options.keep is not None
    data = options.keep / "ingest"
    few, *others = _cases(options.seed)
    known = [device_of(row, few.plan.rows) for row in range(few.plan.rows)]
    past = int(PAST * options.scale)
    ids = fill(data, known, past, _progress(past))
    rows: list[Row] = []
    seconds = max(5.0, SECONDS * options.scale)
    with tocsin_up(data) as service:
        # First, while the store holds the past and little else.
        rows.append(_ask(service, few, ids, options.seed, seconds, past))
        for case in (few, *others):
            rows += _measure(service, case, seconds)
    return rows


def _ask(service: Service, case: Case, ids: I64, seed: int, seconds: float, past: int) -> Row:
    """History while the load runs at the rate that the case needs: at the highest rate both cores are taken."""
    plan = msgspec.structs.replace(case.plan, port=service.running.mqtt_port)
    _learn(plan, service.data)
    questions = _Questions(connect_dsn(service.data), ids, seed)
    asking = threading.Thread(target=questions.ask, args=(seconds,))
    asking.start()
    outcome = _sustain(plan, case.needed, seconds, service.data)
    asking.join()
    return questions.row(past, f"at {case.needed:,.0f}/s, lag {outcome.lag_s:.2f} s")


def _progress(past: int) -> Callable[[int], None]:
    told = time.monotonic()

    def progress(done: int) -> None:
        nonlocal told
        if time.monotonic() - told >= 5.0:
            told = time.monotonic()
            _console.print(f"  a past of {past:,} readings: {done:,} are in the log")

    return progress


class _Questions:
    """Asks for the last 24 hours of random sensors, one after the other, while the load runs."""

    def __init__(self, dsn: str, ids: I64, seed: int) -> None:
        self._dsn = dsn
        self._chosen = random.Random(seed).choices(ids.tolist(), k=QUERIES)  # noqa: S311  a draw for a bench
        self.took_ms: list[float] = []
        self.found = 0

    def ask(self, seconds: float) -> None:
        """Spread over the run, so that every state of the open parts is met."""
        pause = threading.Event()
        with session(self._dsn, "tocsin-bench-questions") as connection:
            for sensor in self._chosen:
                now_us = time.time_ns() // 1000
                begun = time.perf_counter()
                found = history(connection, sensor, now_us - DAY_US, now_us)
                self.took_ms.append((time.perf_counter() - begun) * 1e3)
                self.found += len(found)
                pause.wait(0.9 * seconds / QUERIES)

    def row(self, past: int, load: str) -> Row:
        each = self.found // max(1, len(self.took_ms))
        note = f"{load}; {len(self.took_ms)} sensors, {each} readings each, {past:,} stored"
        p99 = float(np.quantile(self.took_ms, 0.99))
        p50 = float(np.quantile(self.took_ms, 0.5))
        return Row("ingest.history_24h_p99", p99, "ms", 50, 10, smaller=True, note=f"{note}; p50 {p50:.1f} ms")


def _measure(service: Service, case: Case, seconds: float) -> list[Row]:
    dsn = connect_dsn(service.data)
    plan = msgspec.structs.replace(case.plan, port=service.running.mqtt_port)
    reached = _flat_out(plan, service.data) * plan.readings
    for step in _STEPS:
        rate = reached * step
        before = _settled(dsn)
        outcome = _sustain(plan, rate / plan.readings, seconds, service.data)
        time.sleep(SETTLE_S)
        with session(dsn, "tocsin-bench") as connection:
            after = status(connection)
        stored = _counted(after) - _counted(before)
        wanted = outcome.acknowledged * plan.readings
        words = f"lag {outcome.lag_s:.2f} s, {stored:,} of {wanted:,} stored, {after.closing} parts wait"
        _console.print(f"  {case.name}: {rate:,.0f}/s offered: {words}")
        if outcome.lag_s <= MOST_LAG_S and stored == wanted and after.closing <= MOST_WAITING and not outcome.faults:
            value = wanted / outcome.seconds
            note = f"{seconds:.0f} s, {words}; RSS {service.rss_bytes() / 1e6:.0f} MB; flat out {reached:,.0f}"
            return [Row(case.name, value, "/s", case.needed, case.goal, note=note)]
    return [Row(case.name, 0.0, "/s", case.needed, case.goal, note="no rate was sustained")]


@dataclass(frozen=True, slots=True)
class _Outcome:
    seconds: float
    acknowledged: int
    lag_s: float
    faults: int


def _flat_out(plan: LoadPlan, folder: Path) -> float:
    """Messages a second that the machine takes once every sensor is known."""
    _learn(plan, folder)
    return _sustain(plan, 0.0, _TURN_S, folder).acknowledged / _TURN_S


def _learn(plan: LoadPlan, folder: Path) -> None:
    """Let every device speak twice, so that the door knows its sensors."""
    acknowledged, turn = 0, 0
    while acknowledged < 2 * plan.rows and turn < _MOST_TURNS:
        acknowledged += _sustain(plan, _LEARNING_RATE, 2.0 * plan.rows / _LEARNING_RATE, folder).acknowledged
        turn += 1


def _sustain(plan: LoadPlan, rate: float, seconds: float, folder: Path) -> _Outcome:
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
    return _Outcome(seconds, last.acknowledged, max(lag_s, last.seconds - seconds), last.faults + last.dead)


def _counted(known: StoreStatus) -> int:
    return known.stored + known.late + known.duplicate + known.refused_old


def _settled(dsn: str) -> StoreStatus:
    """The store's counts once they stand still."""
    with session(dsn, "tocsin-bench") as connection:
        last = status(connection)
        while True:
            time.sleep(3.0)
            now = status(connection)
            if _counted(now) == _counted(last):
                return now
            last = now
