"""`tocsin bench memory`: growth of resident memory for a million sensors, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from schemas.entries import Entry, Tick
from streams.engine import Engine
from streams.packs import load_pack
from tocsin.bench import city
from tocsin.bench.report import Options, Row

SENSORS = 1_000_000


def run(options: Options) -> list[Row]:
    count = max(4096, int(SENSORS * options.scale))
    done = subprocess.run(
        [sys.executable, "-m", "tocsin.bench.memory", str(count), str(options.seed)],
        check=True,
        capture_output=True,
        text=True,
    )
    grown = int(done.stdout)
    note = f"{grown / count:.0f} bytes a sensor, {count:,} sensors, each judged"
    return [Row("memory.million_sensors", grown / 1e6, "MB", 170, 110, smaller=True, note=note)]


def _rss() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def _grow(count: int, seed: int) -> int:
    """Bytes by which this process grows when `count` sensors are declared and each is judged twice."""
    random = np.random.default_rng(seed)
    engine = Engine(load_pack())
    for entry in city.sensors(4096):
        engine.apply(Entry(1, entry))
        ids = np.array([sensor.id for sensor in entry.sensors], np.int64)
        engine.apply(Entry(2, city.readings(ids, city.START_US, len(ids), random)))
    before = _rss()
    for entry in city.sensors(count, first=4096):
        engine.apply(Entry(3, entry))
        ids = np.array([sensor.id for sensor in entry.sensors], np.int64)
        for turn in range(2):
            batch = city.readings(ids, city.START_US + turn * 1_000_000, 4 * len(ids), random)
            engine.apply(Entry(4, batch))
    engine.apply(Entry(5, Tick(city.START_US + 2_000_000)))
    return _rss() - before


if __name__ == "__main__":
    print(_grow(int(sys.argv[1]), int(sys.argv[2])))  # noqa: T201  its answer to the bench
