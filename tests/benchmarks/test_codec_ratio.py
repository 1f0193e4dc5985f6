"""The compiled codec against a message at a time, in one run, so that a fall is seen on any machine.

Only a generous ratio is asserted; `pytest -s` prints what was measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
import pytest

from ingest.intake import JsonIntake
from tests.messages import Door

MESSAGES = 2000
_decode = msgspec.json.Decoder(dict[str, float]).decode


def best_of(runs: int, work: Callable[[], object]) -> float:
    """Seconds of the fastest run."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


@pytest.mark.parametrize(("readings", "least"), [(1, 2.0), (20, 1.5)])
def test_the_intake_beats_decoding_a_message_at_a_time(readings: int, least: float) -> None:
    """The naive way only decodes to a dict and looks its sensors up; it checks nothing and makes no columns."""
    door, intake = Door(), JsonIntake()
    fields = ",".join(f'"temperature.{channel}": {20 + channel / 10}' for channel in range(readings))
    payload = f'{{"ts": 1790000000000, {fields}}}'.encode()
    messages = [(f"tocsin/v1/shop-{place % 500}/panel/telemetry", payload) for place in range(MESSAGES)]
    batch = door.batch(messages)
    first = intake.take(batch)
    intake.committed()
    assert len(first.readings) == MESSAGES * readings
    known = {(topic, f"temperature.{channel}"): channel for topic, _ in messages for channel in range(readings)}

    def naive() -> list[tuple[int, float]]:
        rows = []
        for topic, body in messages:
            values = _decode(body)
            values.pop("ts")
            rows += [(known[topic, key], value) for key, value in values.items()]
        return rows

    ours, theirs = best_of(7, lambda: intake.take(batch)), best_of(7, naive)
    each = 1e9 / (MESSAGES * readings)
    print(f"\n{readings} readings a message: {ours * each:.0f} ns a reading, naive {theirs * each:.0f} ns")
    assert theirs / ours > least
