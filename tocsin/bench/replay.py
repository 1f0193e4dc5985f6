"""`tocsin bench replay`: a Parquet of 50 million readings through tiers 0 and 1, as `tocsin replay` reads it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tocsin.bench.report import Options, Row

READINGS = 50_000_000
COLUMNS = 50


def run(options: Options) -> list[Row]:
    assert options.keep is not None
    rows = max(10_000, int(READINGS * options.scale) // COLUMNS)
    file = options.keep / "replay.parquet"
    _write(file, rows, options.seed)
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "tocsin", "replay", str(file), "--time", "t:seconds", "--sensor",
         "*=temperature[Cel]:c*", "--alarms", str(options.keep / "alarms.jsonl"), "--json"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    took_s = time.monotonic() - begun
    count = rows * COLUMNS
    note = f"{count:,} readings in {took_s:.1f} s, the process's start included; {len(done.stdout)} bytes said"
    return [Row("replay.parquet", count / took_s, "/s", 700_000, 2_000_000, note=note)]


def _write(file: Path, rows: int, seed: int) -> None:
    """A reading a second of fifty quiet rooms."""
    random = np.random.default_rng(seed)
    columns = {"t": np.arange(rows, dtype=np.float64)}
    for number in range(COLUMNS):
        columns[f"c{number:02d}"] = 21.0 + 0.3 * random.standard_normal(rows).clip(-3, 3)
    pq.write_table(pa.table(columns), file)
