"""`tocsin bench latency`: from the intended send of the message that completes an alarm to its arrival at a webhook.

5,000 messages a second over 500 connections, open loop, of which at least 2,000 complete an alarm, each in its own
enterprise. Every alarm that is due by the generator's own file is looked for: missing, wrong and twice are counted.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from schemas.alarms import Grade
from schemas.readings import F64
from sensors_sim import webhook_sink
from sensors_sim.load_plan import LoadPlan
from sensors_sim.loadgen import start
from sensors_sim.sent import Sent
from sensors_sim.webhook_sink import Arrival
from tocsin.bench.report import Options, Row
from tocsin.bench.service import tocsin_up

ALARMS = 2000
SECONDS = 60.0
RATE = 5000.0
CONNECTIONS = 500


def run(options: Options) -> list[Row]:
    assert options.keep is not None
    folder = options.keep / "latency"
    folder.mkdir(parents=True, exist_ok=True)
    sink = webhook_sink.start(folder / "arrivals.jsonl")
    try:
        told = {"TOCSIN_WEBHOOK_URL": sink.url, "TOCSIN_WEBHOOK_SECRET": "of the bench, 24 letters"}
        with tocsin_up(folder / "data", environment=told) as service:
            plan = plan_of(options, service.running.mqtt_port)
            # A first run without alarms makes the sensors known, as those of a running city are.
            start(quiet(plan), folder / "first.npz").wait()
            _, sent = start(plan, folder / "sent.npz").wait()
        return rows_of(sent, sink.arrivals())
    finally:
        sink.stop()


def plan_of(options: Options, port: int) -> LoadPlan:
    """5,000 messages a second, alarms among them."""
    return LoadPlan(
        port=port,
        connections=CONNECTIONS,
        rate=RATE,
        seconds=max(5.0, SECONDS * options.scale),
        devices=20,
        alarms=max(20, int(ALARMS * options.scale)),
        quantum_us=0,
        seed=options.seed,
    )


def quiet(plan: LoadPlan) -> LoadPlan:
    """The same sensors without alarms, for a few seconds."""
    return LoadPlan(
        port=plan.port, connections=plan.connections, rate=plan.rate, seconds=5.0, devices=plan.devices, seed=plan.seed
    )


def rows_of(sent: Sent, arrivals: list[Arrival]) -> list[Row]:
    """Every alarm that was due, by its arrival; missing, wrong and twice in the note."""
    due = sent.due_alarms()
    came: Counter[str] = Counter()
    took_ms: list[float] = []
    wrong = 0
    for arrival in arrivals:
        message = arrival.notification()
        for line in message.lines:
            came[line.subject] += 1
            wrong += line.subject not in due or line.grade is not Grade.RED
            if line.subject in due and came[line.subject] == 1:
                took_ms.append((arrival.at_us - due[line.subject]) / 1e3)
    missing = sum(1 for subject in due if not came[subject])
    twice = sum(count - 1 for subject, count in came.items() if subject in due)
    note = f"{len(due):,} alarms due, {missing} missing, {wrong} wrong, {twice} twice"
    exact = not (missing or wrong or twice)
    acked = sent.messages()
    answered = acked.acked_us >= 0
    puback_ms = (acked.acked_us[answered] - acked.sent_us[answered]) / 1e3
    return [
        _row("latency.alarm_p50", took_ms, 0.5, 10, 3, note if exact else f"NOT EXACT: {note}"),
        _row("latency.alarm_p99", took_ms, 0.99, 40, 10, note if exact else f"NOT EXACT: {note}"),
        _row("latency.puback_p50", puback_ms, 0.5, 3, 1, f"{len(puback_ms):,} messages"),
        _row("latency.puback_p99", puback_ms, 0.99, 10, 4, f"{len(puback_ms):,} messages"),
    ]


def _row(name: str, values: list[float] | F64, q: float, needed: float, goal: float, note: str) -> Row:
    value = float(np.quantile(values, q)) if len(values) else float("inf")
    return Row(name, value, "ms", needed, goal, smaller=True, note=note)
