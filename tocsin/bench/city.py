"""Sensors and readings for benches that run without a socket: drawn by seed, believable, mostly quiet."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from schemas.entries import Sensor, Sensors
from schemas.identity import id_of
from schemas.readings import I64, ReadingBatch

MEASURES = ("temperature", "smoke", "gas", "current")
START_US = 1_790_000_000_000_000
_LEVEL = np.array([21.0, 0.2, 1.0, 6.0])
_SPREAD = np.array([0.4, 0.05, 0.4, 1.0])


def sensors(count: int, first: int = 0) -> Iterator[Sensors]:
    """Declarations of `count` sensors, four a device, ten devices an enterprise, 4,096 an entry."""
    made: list[Sensor] = []
    for number in range(first, first + count):
        device = number // len(MEASURES)
        enterprise, name = f"shop-{device // 10}", f"unit-{device}"
        measure = MEASURES[number % len(MEASURES)]
        made.append(Sensor(id_of(f"{enterprise}/{name}/{measure}"), enterprise, name, measure))
        if len(made) == 4096:
            yield Sensors(made)
            made = []
    if made:
        yield Sensors(made)


def readings(ids: I64, at_us: int, count: int, random: np.random.Generator) -> ReadingBatch:
    """`count` readings of sensors drawn at random from `ids`, all good, each with the time `at_us`."""
    chosen = random.integers(0, len(ids), count)
    kind = chosen % len(MEASURES)
    value = _LEVEL[kind] + _SPREAD[kind] * random.standard_normal(count).clip(-3, 3)
    at = np.full(count, at_us, np.int64)
    zeros = np.zeros(count, np.uint8)
    return ReadingBatch(ids[chosen], at, at, value, zeros, zeros)
