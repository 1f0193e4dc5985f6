"""The store's blocks against a row at a time, in one run on one PostgreSQL, so that a fall is seen on any machine.

Only generous ratios are asserted; `pytest -s` prints what was measured, ours and PostgreSQL's time together.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import psycopg
import pytest

from schemas.readings import ReadingBatch
from streams.log.memory import MemoryLog
from streams.log.one_partition import OnePartition
from streams.store.closing import close_part, due_part
from streams.store.edge import session
from streams.store.editions import edition_of
from streams.store.parts import DAY_US
from streams.store.queries import history
from streams.store.writer import BlockWriter

pytestmark = pytest.mark.integration

START = 20_000 * DAY_US
SENSORS = 100_000
BLOCK = 100_000
BLOCKS = 5
NAIVE = 5_000


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def blocks() -> list[ReadingBatch]:
    random = np.random.default_rng(1)
    ids = random.integers(0, 1 << 63, SENSORS)
    made = []
    for k in range(BLOCKS):
        time_us = START + k * 1_000_000 + np.sort(random.integers(0, 1_000_000, BLOCK))
        zeros = np.zeros(BLOCK, np.uint8)
        chosen = ids[random.integers(0, SENSORS, BLOCK)]
        made.append(ReadingBatch.of(chosen, time_us, time_us + 500, random.random(BLOCK), zeros, zeros))
    return made


def test_blocks_beat_inserting_rows(dsn: str) -> None:
    """The naive way keeps the same promise, each (sensor, time) once, by its primary key; both are found by sensor."""
    made = blocks()
    with session(dsn, "bench-store") as connection:
        writer = BlockWriter(connection, OnePartition(MemoryLog()), 30 * DAY_US)
        writer.write(made[0], {0: 1}, START, 0.0)
        rest = made[1:]
        writing = seconds(lambda: [writer.write(b, {0: k + 2}, START, 0.0) for k, b in enumerate(rest)])
        part = due_part(connection, START + DAY_US)
        assert part is not None
        closing = seconds(lambda: close_part(connection, edition_of(connection), part, lambda _: None))
        found = seconds(lambda: [history(connection, int(i), START, START + DAY_US) for i in made[0].sensor_id[:100]])
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE naive (LIKE timely_readings INCLUDING ALL)")
        columns = made[0].take(slice(NAIVE)).columns()
        rows = list(zip(*(column.tolist() for column in columns), strict=True))

        def insert() -> None:
            with connection.transaction(), connection.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO naive VALUES (%s, to_timestamp(%s / 1e6), to_timestamp(%s / 1e6), %s, %s, %s)"
                    " ON CONFLICT DO NOTHING",
                    rows,
                )

        naive = seconds(insert)
    hot, whole = writing / (BLOCK * len(rest)), (writing / len(rest) * BLOCKS + closing) / (BLOCK * BLOCKS)
    slow = naive / NAIVE
    print(
        f"\na reading: {hot * 1e6:.2f} µs in a block, {whole * 1e6:.2f} µs with its index, naive {slow * 1e6:.1f} µs;"
        f" a history {found * 10:.2f} ms"
    )
    assert slow / hot > 10
    assert slow / whole > 4
