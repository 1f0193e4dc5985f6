"""The engine against its naive twin in one run: a ratio, so that a fall is seen on any machine."""

from __future__ import annotations

from time import perf_counter

import numpy as np

from schemas.entries import Entry, Sensor, Sensors
from schemas.identity import id_of
from schemas.readings import ReadingBatch
from scoring.naive import NaiveEngine
from streams.engine import Engine
from streams.packs import load_pack

SENSORS, READINGS, SLOWEST_RATIO = 2_000, 20_000, 60.0
TURNS = 3
"""Each engine's best counts: the first turn of ours reads its compiled form from the disk."""
START = 1_790_000_000_000_000
LEVELS = {"temperature": 21.0, "smoke": 0.1, "current": 5.0, "humidity": 40.0}


def workload() -> tuple[Entry, list[Entry]]:
    """Declarations and batches of quiet readings, sensors in random order; seeded."""
    names = list(LEVELS)
    sensors = []
    for i in range(SENSORS):
        device, measure = f"room-{i // 4}", names[i % 4]
        sensors.append(Sensor(id_of(f"shop/{device}/{measure}"), "shop", device, measure))
    rng = np.random.default_rng(3)
    which = rng.integers(0, SENSORS, READINGS)
    ids = np.array([sensor.id for sensor in sensors], np.int64)[which]
    base = np.array([LEVELS[sensor.measure] for sensor in sensors])[which]
    zeros = np.zeros(READINGS, np.uint8)
    batches = []
    for turn in range(TURNS):
        times = START + (turn * READINGS + np.arange(READINGS, dtype=np.int64)) * 1_000
        values = base + rng.normal(0.0, 0.02, READINGS)
        batches.append(Entry(2 + turn, ReadingBatch(ids, times, times, values, zeros, zeros)))
    return Entry(1, Sensors(sensors)), batches


def test_engine_is_many_times_faster_than_its_twin() -> None:
    """Measured 400 to 600 on a quiet machine; below 60 something that is compiled no longer is."""
    declare, batches = workload()
    pack = load_pack()
    took = {}
    for name, judge in (("engine", Engine(pack, capacity=4096)), ("twin", NaiveEngine(pack))):
        judge.apply(declare)
        turns = []
        for batch in batches:
            before = perf_counter()
            events = judge.apply(batch).events
            turns.append(perf_counter() - before)
            assert list(events) == []
        took[name] = min(turns)
    ours, theirs = (took[name] / READINGS * 1e6 for name in ("engine", "twin"))
    ratio = theirs / ours
    print(f"engine {ours:.3f} µs a reading, twin {theirs:.1f}: {ratio:.0f} ×")
    assert ratio > SLOWEST_RATIO
