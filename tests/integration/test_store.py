"""The reading store on a real PostgreSQL: late and doubled readings, closing, merging, retention, take-over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np
import psycopg
import pytest

from schemas.entries import Tick
from schemas.errors import Fenced, ServiceAway
from schemas.readings import ReadingBatch
from streams.log.memory import MemoryLog
from streams.log.one_partition import OnePartition
from streams.store.blocks import in_order
from streams.store.edge import session
from streams.store.follower import Follower
from streams.store.keeper import Keeper
from streams.store.parts import CLOSES_AFTER_US, DAY_US, HOUR_US, PART_US
from streams.store.queries import count_between, history, last_values, readings_between, status
from streams.store.writer import BlockWriter

pytestmark = pytest.mark.integration

START = 1_790_000_400_000_000 // DAY_US * DAY_US + 12 * HOUR_US
"""A noon."""
S = 1_000_000
ALL = (0, START + 365 * DAY_US)


class Store:
    """Writer, follower and keeper on one database, driven step by step."""

    def __init__(self, dsn: str, log: MemoryLog, retention_us: int = 30 * DAY_US) -> None:
        self._stack = ExitStack()
        self.connection = self._stack.enter_context(session(dsn, "test-store"))
        self.writer = BlockWriter(self.connection, OnePartition(log), retention_us)
        self.follower = Follower(OnePartition(log), self.writer)
        self.keeper = Keeper(dsn, self.writer, retention_us=retention_us, failpoint=lambda _: None)
        self.log = log

    def follow(self) -> None:
        while self.follower.gather():
            pass
        self.follower.write()

    def keep(self) -> None:
        while self.keeper.step(self.connection):
            pass

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def store(dsn: str, log: MemoryLog) -> Iterator[Store]:
    made = Store(dsn, log)
    yield made
    made.close()


def readings(*rows: tuple[int, int, float], lag_us: int = 0) -> ReadingBatch:
    """(sensor, seconds after START, value), arriving `lag_us` after their event."""
    sensor = [row[0] for row in rows]
    time = np.array([START + round(row[1] * S) for row in rows], np.int64)
    return ReadingBatch.of(sensor, time, time + lag_us, [row[2] for row in rows], [0] * len(rows), [0] * len(rows))


def random_readings(seed: int, n: int, sensors: int, span_s: int) -> ReadingBatch:
    random = np.random.default_rng(seed)
    ids = random.integers(0, 1 << 63, sensors)
    time = np.sort(START + random.integers(0, span_s * 10, n) * (S // 10))
    return ReadingBatch.of(
        ids[random.integers(0, sensors, n)], time, time + 1000, random.normal(size=n), random.integers(0, 3, n),
        random.integers(0, 2, n),
    )  # fmt: skip


def once(*batches: ReadingBatch) -> dict[tuple[int, int], tuple[float, int, int, int]]:
    """The naive store: a dictionary in which the first stays."""
    kept: dict[tuple[int, int], tuple[float, int, int, int]] = {}
    for batch in batches:
        for sensor, event, arrival, value, quality, origin in zip(*(c.tolist() for c in batch.columns()), strict=True):
            kept.setdefault((sensor, event), (value, arrival, quality, origin))
    return kept


def stored(connection: psycopg.Connection, start: int = ALL[0], end: int = ALL[1]) -> dict[tuple[int, int], tuple]:
    found = list(readings_between(connection, start, end))
    kept = once(*found)
    assert len(kept) == sum(map(len, found))
    return kept


def through_the_view(connection: psycopg.Connection) -> dict[tuple[int, int], tuple]:
    rows = connection.execute(
        "SELECT sensor_id, (extract(epoch FROM event_time) * 1000000)::bigint, value,"
        " (extract(epoch FROM arrival_time) * 1000000)::bigint, quality, origin FROM readings"
    ).fetchall()
    kept = {(row[0], row[1]): (row[2], row[3], row[4], row[5]) for row in rows}
    assert len(kept) == len(rows)
    return kept


def test_every_reading_is_found_while_open_when_closed_and_when_merged(store: Store) -> None:
    """Moving a reading from block to partition to day changes nothing that a reader sees."""
    sent = random_readings(1, 5000, 300, 2 * 3600)
    for k in range(0, 5000, 500):
        store.log.append([sent.take(slice(k, k + 500))])
        store.follow()
    expected = once(sent)
    sensor = int(sent.sensor_id[7])
    of_one = {key: row for key, row in expected.items() if key[0] == sensor}
    seen = []
    for after in (0, 4 * HOUR_US, 3 * DAY_US):
        store.log.append([Tick(int(sent.arrival_time.max()) + after)])
        store.follow()
        store.keep()
        now = status(store.connection)
        seen.append((now.partitions, now.open_parts))
        assert stored(store.connection) == expected == through_the_view(store.connection)
        assert once(history(store.connection, sensor, *ALL)) == of_one
        assert count_between(store.connection, *ALL) == len(expected) == now.stored
        middle = (START + 600 * S, START + 4242 * S)
        assert count_between(store.connection, *middle) == sum(middle[0] <= t < middle[1] for _, t in expected)
    # Two hours of parts: most closed as the stream moved on; then hours; then the day.
    assert seen[0][1] > 0
    assert seen[1] == (2, 0)
    assert seen[2] == (1, 0)


def test_a_late_reading_is_stored_once_and_the_first_stays(store: Store) -> None:
    """Late: not newer than its sensor's newest; its part may be open or long closed."""
    batches = [
        readings((1, 0, 1.0), (1, 10, 2.0), (2, 0, 3.0)),
        readings((1, 5, 4.0), (1, 10, 2.0), (1, 0, 9.0), (2, 0, 8.0)),
        readings((1, 5, 5.0), (1, 5, 4.0), (2, 7, 1.0)),
    ]
    for batch in batches:
        store.log.append([batch])
        store.follow()
    expected = once(*batches)
    assert stored(store.connection) == expected == through_the_view(store.connection)
    assert count_between(store.connection, *ALL) == len(expected)
    store.log.append([Tick(START + 2 * HOUR_US)])
    store.follow()
    store.keep()
    store.log.append([readings((1, 6, 1.0), (1, 5, 7.0), lag_us=2 * HOUR_US)])
    store.follow()
    expected |= {(1, START + 6 * S): (1.0, START + 6 * S + 2 * HOUR_US, 0, 0)}
    assert stored(store.connection) == expected
    store.keep()
    assert stored(store.connection) == expected == through_the_view(store.connection)
    now = status(store.connection)
    assert (now.stored, now.late, now.duplicate, now.conflicting, now.late_waiting) == (4, 2, 6, 4, False)


def test_a_back_fill_of_past_days_becomes_few_partitions(store: Store) -> None:
    """Whether its sensors are new or have newer readings."""
    fresh = readings((1, 0, 1.0), (2, 0, 1.0))
    past = readings(*((s, -d * 86400 + m * 600, float(m)) for s in (1, 3) for d in (3, 2) for m in range(144)))
    past = ReadingBatch(past.sensor_id, past.event_time, past.arrival_time + 4 * DAY_US, *past.columns()[3:])
    for batch in (fresh, past, past):
        store.log.append([batch])
        store.follow()
    expected = once(fresh, past)
    assert stored(store.connection) == expected
    store.log.append([Tick(START + 5 * DAY_US)])
    store.follow()
    store.keep()
    assert stored(store.connection) == expected == through_the_view(store.connection)
    now = status(store.connection)
    assert now.open_parts == 0
    assert now.partitions <= 4
    assert now.stored + now.late == len(expected)
    assert now.duplicate == len(past)


def test_older_than_the_retention_is_counted_and_refused_and_partitions_go(dsn: str, log: MemoryLog) -> None:
    """What nobody may keep is not kept, whether it comes too old or grows too old."""
    store = Store(dsn, log, retention_us=DAY_US)
    log.append([readings((1, 0, 1.0)), readings((1, -100_000, 1.0), (2, -90_000, 1.0), lag_us=100_000 * S)])
    store.follow()
    assert (status(store.connection).refused_old, status(store.connection).stored) == (2, 1)
    log.append([Tick(START + 3 * HOUR_US)])
    store.follow()
    store.keep()
    assert status(store.connection).partitions == 1
    log.append([Tick(START + DAY_US + 2 * PART_US)])
    store.follow()
    store.keep()
    assert status(store.connection).partitions == 0
    assert stored(store.connection) == {}
    store.close()


def test_memory_after_a_restart_is_what_it_was(dsn: str, log: MemoryLog) -> None:
    """Saved last values and the log after them give the newest exactly, so a repeated reading is known."""
    sent = random_readings(3, 4000, 100, 600)
    store = Store(dsn, log)
    for k in range(0, 4000, 400):
        log.append([sent.take(slice(k, k + 400))])
        store.follow()
        if k == 1600:
            store.keeper.save(store.connection)
    store.close()
    again = Store(dsn, log)
    log.append([sent])
    again.follow()
    assert stored(again.connection) == once(sent)
    again.keeper.save(again.connection)
    last = last_values(again.connection, sent.sensor_id.tolist())
    ordered = in_order(sent)
    ends = np.flatnonzero(np.append(np.diff(ordered.sensor_id) != 0, True))
    found = dict(zip(last.sensor_id.tolist(), last.event_time.tolist(), strict=True))
    assert found == dict(zip(ordered.sensor_id[ends].tolist(), ordered.event_time[ends].tolist(), strict=True))
    again.close()


def test_after_a_block_that_was_not_committed_its_memory_is_not_saved(dsn: str, log: MemoryLog, store: Store) -> None:
    """Saved, it would say "seen already" of the very readings that were lost with the block."""
    batch = readings((1, 0, 20.0), (2, 0, 21.0), (1, 1, 20.5))
    log.append([batch])
    assert not store.follower.gather()
    with psycopg.connect(dsn, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (store.connection.info.backend_pid,))
    with pytest.raises(ServiceAway):
        store.follower.write()
    with session(dsn, "test-keeper") as connection, pytest.raises(ServiceAway):
        store.keeper.save(connection)
    again = Store(dsn, log)
    again.follow()
    assert stored(again.connection) == once(batch)
    again.close()


def test_a_second_store_fences_the_first(dsn: str, log: MemoryLog, store: Store) -> None:
    """Two of them would store readings twice."""
    log.append([readings((1, 0, 1.0))])
    other = Store(dsn, log)
    other.follow()
    with pytest.raises(Fenced):
        store.follow()
    other.close()
    assert len(stored(store.connection)) == 1


def test_a_part_closed_by_another_keeper_is_not_written_to(dsn: str, log: MemoryLog, store: Store) -> None:
    """The backend of a store that was killed may finish closing a part after the next store has begun."""
    log.append([readings((1, 0, 1.0))])
    store.follow()
    other = Store(dsn, log)
    store.connection.execute("UPDATE open_parts SET closes_us = 0")
    store.keep()
    log.append([readings((1, 1, 2.0))])
    other.follow()
    other.keep()
    log.append([Tick(START + PART_US + CLOSES_AFTER_US)])
    other.follow()
    other.keep()
    assert len(stored(other.connection)) == 2
    other.close()
