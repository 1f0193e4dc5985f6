"""`tocsin bench engine`: one core, default pack, tiers 0 and 1, id to slot included."""

from __future__ import annotations

import time
from statistics import median

import numpy as np

from schemas.entries import Entry, Tick
from streams.engine import Engine
from streams.packs import load_pack
from tocsin.bench import city
from tocsin.bench.report import Options, Row

SENSORS = 1_000_000
BATCH = 20_000
ROUNDS = 150


def run(options: Options) -> list[Row]:
    count = max(4096, int(SENSORS * options.scale))
    random = np.random.default_rng(options.seed)
    engine = Engine(load_pack())
    pauses = []
    ids: list[int] = []
    for number, entry in enumerate(city.sensors(count), 1):
        begun = time.perf_counter()
        engine.apply(Entry(number, entry))
        pauses.append(time.perf_counter() - begun)
        ids.extend(sensor.id for sensor in entry.sensors)
    known = np.array(ids, np.int64)
    per_reading = []
    for turn in range(ROUNDS):
        batch = city.readings(known, city.START_US + turn * 1_000_000, BATCH, random)
        begun = time.perf_counter()
        engine.apply(Entry(turn + 1, batch))
        per_reading.append((time.perf_counter() - begun) / BATCH)
    begun = time.perf_counter()
    engine.apply(Entry(1, Tick(city.START_US + ROUNDS * 1_000_000)))
    tick_s = time.perf_counter() - begun
    begun = time.perf_counter()
    engine.snapshot(1)
    snapshot_s = time.perf_counter() - begun
    note = f"{count:,} sensors, random order, {engine.counters()['judged']:,} judged"
    return [
        Row("engine.reading", median(per_reading) * 1e6, "µs", 0.3, 0.1, smaller=True, note=note),
        Row("engine.reading_p99", float(np.quantile(per_reading, 0.99)) * 1e6, "µs", smaller=True),
        Row("engine.growth_pause", max(pauses) * 1e3, "ms", 100, 10, smaller=True, note="longest entry of 4,096 new"),
        Row("engine.tick", tick_s * 1e3, "ms", smaller=True),
        Row("engine.snapshot", snapshot_s * 1e3, "ms", smaller=True, note="every chunk changed"),
    ]
