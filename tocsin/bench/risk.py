"""How long it takes to make the risk of an enterprise anew when an alarm event touches it.

An enterprise with all its facts and fifty alarms of the last month, among them silent detectors and unanswered oranges.
One event is taken in and everything is made again, from the row's bytes to the row's bytes: score, terms, colour, next
due time, reasons, and what would lower it. What PostgreSQL costs beside it is not in it.
"""

from __future__ import annotations

import random
import time

import msgspec
import numpy as np

from schemas.alarms import AlarmEvent, Evidence, Grade, Kind, State
from schemas.enterprises import Flammables
from schemas.identity import alarm_key
from schemas.risk import RiskFacts, Strain
from scoring.risk import explain, judge
from scoring.risk_state import RiskState, apply_acknowledgement, apply_event, decode_state, encode_state
from scoring.risk_table import DAY_US, HOUR_US
from tocsin.bench.report import Options, Row

ALARMS = 50
ROUNDS = 3_000
NEEDED_US, GOAL_US = 300.0, 50.0
_NOW_US = 1_790_000_000_000_000
_FACTS = RiskFacts(
    trade="H6210", built=1995, wired=2001, open_flame=True, flammables=Flammables.SOME, area_m2=160.0, people=60,
    devices=24,
)  # fmt: skip
_KINDS = (
    (Kind.FIRE, "smoke"), (Kind.GAS, "gas"), (Kind.ELECTRICAL, "load"), (Kind.SILENCE, "silence"),
    (Kind.FAULT, "battery"), (Kind.ANOMALY, "anomaly"),
)  # fmt: skip


def run(options: Options) -> list[Row]:
    """A row of `tocsin bench console`."""
    took = measure(options.seed, max(200, int(ROUNDS * options.scale)))
    p50, p99 = (float(value) for value in np.percentile(took, (50, 99)))
    note = f"recomputed on an event: facts and {ALARMS} alarms, row to row; p99 {p99:.0f} µs"
    return [Row("console.risk_p50", p50, "µs", NEEDED_US, GOAL_US, smaller=True, note=note)]


def measure(seed: int, rounds: int) -> list[float]:
    """Microseconds of each round."""
    rng = random.Random(seed)  # noqa: S311 - a workload
    body = encode_state(_past(rng))
    took = []
    for number in range(rounds):
        at_us = _NOW_US + number * 60_000_000
        event = _event(rng, number + ALARMS, State.RAISED, at_us)
        begun = time.perf_counter_ns()
        state = decode_state(body)
        apply_event(state, event)
        curve, next_us = judge(state, at_us)
        explain("shop-1", state, curve, next_us)
        encode_state(state)
        took.append((time.perf_counter_ns() - begun) / 1e3)
    return took


def _past(rng: random.Random) -> RiskState:
    state = RiskState(facts=_FACTS, strain=Strain(8, 192, 11, "panel/current.L1"))
    for number in range(ALARMS):
        raised_us = _NOW_US - rng.randrange(30 * 24) * HOUR_US
        raised = _event(rng, number, State.RAISED, raised_us)
        apply_event(state, raised)
        if rng.random() < 0.8:
            apply_acknowledgement(state, raised.key, 1, raised_us + rng.randrange(400) * 1_000_000)
        if number % 10:
            over_us = min(_NOW_US, raised_us + rng.randrange(1, DAY_US))
            over = msgspec.structs.replace(raised, step=2, state=State.CLEARED, active=False, now_us=over_us)
            apply_event(state, over)
    judge(state, _NOW_US)
    return state


def _event(rng: random.Random, number: int, state: State, at_us: int) -> AlarmEvent:
    kind, family = rng.choice(_KINDS)
    grade = rng.choice((Grade.BLUE, Grade.BLUE, Grade.YELLOW, Grade.YELLOW, Grade.ORANGE))
    device = f"device-{rng.randrange(24)}"
    subject = f"shop-1/{device}/{family}"
    key = alarm_key(subject, family, at_us + number)
    return AlarmEvent(
        key, 1, 0, number, state, subject, "shop-1", device, family, family, kind, grade, Grade.NONE, True, False,
        at_us, at_us, at_us, at_us, 7, Evidence("rule", "pack"),
    )  # fmt: skip
