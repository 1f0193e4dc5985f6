"""The reading store on each edition of its database: the same readings, roll-ups and counts, whatever they lie in.

Late and doubled readings, closing, merging, retention, take-over; on PostgreSQL alone and with TimescaleDB.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
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
from streams.store.editions import edition_of
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

    def __init__(self, dsn: str, log: MemoryLog, retention_us: int) -> None:
        self._stack = ExitStack()
        self.connection = self._stack.enter_context(session(dsn, "test-store"))
        self.writer = BlockWriter(self.connection, OnePartition(log), retention_us)
        self.follower = Follower(OnePartition(log), self.writer)
        edition = edition_of(self.connection)
        self.keeper = Keeper(dsn, self.writer, edition, retention_us=retention_us, failpoint=lambda _: None)
        self.log = log

    def follow(self) -> None:
        while self.follower.gather():
            pass
        self.follower.write()

    def keep(self) -> None:
        while self.keeper.step(self.connection):
            pass

    def take(self, *batches: ReadingBatch) -> None:
        """They come and are written."""
        self.log.append(list(batches))
        self.follow()

    def tick(self, now_us: int) -> None:
        """Time goes on to `now_us`, and everything that is due is done."""
        self.log.append([Tick(now_us)])
        self.follow()
        self.keep()

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def open_store(any_dsn: str, log: MemoryLog) -> Iterator[OpenStore]:
    """Makes a store; whatever is still open in the end is closed."""
    with ExitStack() as stack:

        def make(retention_us: int = 30 * DAY_US) -> Store:
            made = Store(any_dsn, log, retention_us)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def store(open_store: OpenStore) -> Store:
    return open_store()


OpenStore = Callable[..., Store]
Row = tuple[float, int, int, int]
"""Value, arrival, quality, origin."""


def readings(*rows: tuple[int, float, float], lag_us: int = 0) -> ReadingBatch:
    """(sensor, seconds after START, value), arriving `lag_us` after their event."""
    sensor = [row[0] for row in rows]
    time = np.array([START + round(row[1] * S) for row in rows], np.int64)
    return ReadingBatch.of(sensor, time, time + lag_us, [row[2] for row in rows], [0] * len(rows), [0] * len(rows))


def random_readings(seed: int, n: int, sensors: int, span_s: int) -> ReadingBatch:
    random = np.random.default_rng(seed)
    ids = random.integers(0, 1 << 63, sensors)
    time = np.sort(START + random.integers(0, span_s * 10, n) * (S // 10))
    return ReadingBatch.of(
        ids[random.integers(0, sensors, n)], time, time + 1000, random.normal(size=n),
        random.integers(0, 3, n).astype(np.uint8), random.integers(0, 2, n).astype(np.uint8),
    )  # fmt: skip


def once(*batches: ReadingBatch) -> dict[tuple[int, int], Row]:
    """The naive store: a dictionary in which the first stays."""
    kept: dict[tuple[int, int], Row] = {}
    for batch in batches:
        for sensor, event, arrival, value, quality, origin in zip(*(c.tolist() for c in batch.columns()), strict=True):
            kept.setdefault((sensor, event), (value, arrival, quality, origin))
    return kept


def stored(connection: psycopg.Connection, start: int = ALL[0], end: int = ALL[1]) -> dict[tuple[int, int], Row]:
    found = list(readings_between(connection, start, end))
    kept = once(*found)
    assert len(kept) == sum(map(len, found))
    return kept


def through_the_view(connection: psycopg.Connection) -> dict[tuple[int, int], Row]:
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
    # Two hours of parts: most closed as the stream moved on; then hours; then the day. A chunk is a day from the start.
    assert seen[0][1] > 0
    assert seen[1] == (2 if edition_of(store.connection).native else 1, 0)
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


def test_how_long_the_oldest_of_a_block_waited_is_kept(store: Store) -> None:
    """By PostgreSQL's clock; a block of ticks alone says nothing of it."""
    now_us = time.time_ns() // 1000
    arrivals = [now_us - 60 * S, now_us - 5 * S]
    store.log.append([ReadingBatch.of([1, 2], arrivals, arrivals, [1.0, 1.0], [0, 0], [0, 0])])
    store.follow()
    waited_us = status(store.connection).waited_us
    assert 60 * S <= waited_us <= time.time_ns() // 1000 - now_us + 60 * S
    store.log.append([Tick(now_us)])
    store.follow()
    assert status(store.connection).waited_us == waited_us


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


def test_older_than_the_retention_is_counted_and_refused_and_partitions_go(
    open_store: OpenStore, log: MemoryLog
) -> None:
    """What nobody may keep is not kept, whether it comes too old or grows too old."""
    store = open_store(DAY_US)
    log.append([readings((1, 0, 1.0)), readings((1, -100_000, 1.0), (2, -90_000, 1.0), lag_us=100_000 * S)])
    store.follow()
    assert (status(store.connection).refused_old, status(store.connection).stored) == (2, 1)
    log.append([Tick(START + 3 * HOUR_US)])
    store.follow()
    store.keep()
    assert status(store.connection).partitions == 1
    log.append([Tick(START + 2 * DAY_US)])
    store.follow()
    store.keep()
    assert status(store.connection).partitions == 0
    assert stored(store.connection) == {}


def test_memory_after_a_restart_is_what_it_was(open_store: OpenStore, log: MemoryLog) -> None:
    """Saved last values and the log after them give the newest exactly, so a repeated reading is known."""
    sent = random_readings(3, 4000, 100, 600)
    store = open_store()
    for k in range(0, 4000, 400):
        log.append([sent.take(slice(k, k + 400))])
        store.follow()
        if k == 1600:
            store.keeper.save(store.connection)
    store.close()
    again = open_store()
    log.append([sent])
    again.follow()
    assert stored(again.connection) == once(sent)
    again.keeper.save(again.connection)
    last = last_values(again.connection, sent.sensor_id.tolist())
    ordered = in_order(sent)
    ends = np.flatnonzero(np.append(np.diff(ordered.sensor_id) != 0, True))
    found = dict(zip(last.sensor_id.tolist(), last.event_time.tolist(), strict=True))
    assert found == dict(zip(ordered.sensor_id[ends].tolist(), ordered.event_time[ends].tolist(), strict=True))


def test_after_a_block_that_was_not_committed_its_memory_is_not_saved(
    any_dsn: str, open_store: OpenStore, log: MemoryLog, store: Store
) -> None:
    """Saved, it would say "seen already" of the very readings that were lost with the block."""
    batch = readings((1, 0, 20.0), (2, 0, 21.0), (1, 1, 20.5))
    log.append([batch])
    assert not store.follower.gather()
    with psycopg.connect(any_dsn, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (store.connection.info.backend_pid,))
    with pytest.raises(ServiceAway):
        store.follower.write()
    with session(any_dsn, "test-keeper") as connection, pytest.raises(ServiceAway):
        store.keeper.save(connection)
    again = open_store()
    again.follow()
    assert stored(again.connection) == once(batch)


def test_a_second_store_fences_the_first(open_store: OpenStore, log: MemoryLog, store: Store) -> None:
    """Two of them would store readings twice."""
    log.append([readings((1, 0, 1.0))])
    other = open_store()
    other.follow()
    with pytest.raises(Fenced):
        store.follow()
    assert len(stored(store.connection)) == 1


def test_a_part_closed_by_another_keeper_is_not_written_to(open_store: OpenStore, log: MemoryLog, store: Store) -> None:
    """The backend of a store that was killed may finish closing a part after the next store has begun."""
    log.append([readings((1, 0, 1.0))])
    store.follow()
    other = open_store()
    store.connection.execute("UPDATE open_parts SET closes_us = 0")
    store.keep()
    log.append([readings((1, 1, 2.0))])
    other.follow()
    other.keep()
    log.append([Tick(START + PART_US + CLOSES_AFTER_US)])
    other.follow()
    other.keep()
    assert len(stored(other.connection)) == 2


def rolled_up(*batches: ReadingBatch, width_us: int) -> dict[tuple[int, int], tuple[int, float, float, float]]:
    """(sensor, start) → how many, lowest, highest, sum; by the naive store."""
    groups: dict[tuple[int, int], list[float]] = {}
    for (sensor, event), (value, *_) in once(*batches).items():
        groups.setdefault((sensor, event // width_us * width_us), []).append(value)
    return {key: (len(values), min(values), max(values), sum(values)) for key, values in groups.items()}


def seen_rolled_up(store: Store, width_us: int) -> dict[tuple[int, int], tuple[int, float, float, float]]:
    view, time = ("readings_hourly", "hour") if width_us == HOUR_US else ("readings_daily", "day")
    rows = store.connection.execute(
        f"SELECT sensor_id, (extract(epoch FROM {time}) * 1000000)::bigint, readings, lowest, highest, total, mean"
        f" FROM {view}"
    ).fetchall()
    assert all(row[6] == row[5] / row[2] for row in rows)
    found = {(row[0], row[1]): (row[2], row[3], row[4], row[5]) for row in rows}
    assert len(found) == len(rows)
    return found


def test_hours_and_days_that_are_over_are_rolled_up_with_what_comes_late(store: Store) -> None:
    """An hour shows once it is over; late readings and a back-fill reach hours and days that were counted."""
    now = readings(*((s, m * 60, float(s + m % 7)) for m in range(150) for s in (1, 2, 3)))
    store.take(now)
    store.tick(START + 160 * 60 * S)
    assert {hour for _, hour in seen_rolled_up(store, HOUR_US)} == {START, START + HOUR_US}
    assert seen_rolled_up(store, DAY_US) == {}
    store.tick(START + DAY_US)
    assert seen_rolled_up(store, HOUR_US) == rolled_up(now, width_us=HOUR_US)
    assert seen_rolled_up(store, DAY_US) == rolled_up(now, width_us=DAY_US)
    late = readings((1, 90, -5.0), (1, 60, 99.0), (2, 7000.5, 50.0), (3, -7 * 3600, 1.0), lag_us=DAY_US)
    # New sensors, so their past is a part of a day of its own; one of their hours was never rolled up, one was.
    fourth, fifth = ((4, m * 30, float(m)) for m in range(100)), ((5, 20_000 + m, 2.0) for m in range(9))
    past = readings(*fourth, *fifth, lag_us=DAY_US)
    store.take(late, past)
    store.tick(START + 2 * DAY_US)
    store.tick(START + 3 * DAY_US)
    everything = (now, late, past)
    assert stored(store.connection) == once(*everything)
    assert seen_rolled_up(store, HOUR_US) == rolled_up(*everything, width_us=HOUR_US)
    assert seen_rolled_up(store, DAY_US) == rolled_up(*everything, width_us=DAY_US)


def test_days_outlive_the_readings_they_were_counted_from(open_store: OpenStore) -> None:
    """Years are compared by them."""
    store = open_store(2 * DAY_US)
    sent = readings(*((s, m * 600, float(m)) for m in range(60) for s in (1, 2)))
    store.take(sent)
    store.tick(START + DAY_US)
    assert seen_rolled_up(store, HOUR_US) == rolled_up(sent, width_us=HOUR_US)
    for day in range(2, 30):
        store.tick(START + day * DAY_US)
    assert stored(store.connection) == {}
    assert seen_rolled_up(store, HOUR_US) == {}
    assert seen_rolled_up(store, DAY_US) == rolled_up(sent, width_us=DAY_US)


def test_what_is_weeks_old_still_takes_late_readings_in(open_store: OpenStore) -> None:
    """Also where it is compressed by then."""
    store = open_store(60 * DAY_US)
    sent = readings(*((s, m * 60, float(m)) for m in range(300) for s in range(1, 20)))
    store.take(sent)
    for day in (1, 5, 10):
        store.tick(START + day * DAY_US)
    compressed = edition_of(store.connection).aggregates
    assert compressed == (chunks_compressed(store) > 0)
    late = readings((1, 60, 7.0), (1, 30, 8.0), (2, -100, 9.0), lag_us=10 * DAY_US)
    store.take(late)
    store.tick(START + 12 * DAY_US)
    assert stored(store.connection) == once(sent, late)
    assert once(history(store.connection, 1, *ALL)) == {k: v for k, v in once(sent, late).items() if k[0] == 1}
    assert seen_rolled_up(store, HOUR_US) == rolled_up(sent, late, width_us=HOUR_US)


def chunks_compressed(store: Store) -> int:
    if edition_of(store.connection).native:
        return 0
    row = store.connection.execute("SELECT count(*) FROM timescaledb_information.chunks WHERE is_compressed").fetchone()
    return int(row[0]) if row else 0


def test_timescaledb_is_used_where_it_is(store: Store) -> None:
    """A hypertable with it, native partitions without; aggregates by its licence."""
    extension = store.connection.execute("SELECT FROM pg_extension WHERE extname = 'timescaledb'").fetchone()
    edition = edition_of(store.connection)
    assert edition.native == (extension is None)
    if extension is not None:
        assert edition.chunk_us == DAY_US
        row = store.connection.execute("SHOW timescaledb.license").fetchone()
        assert edition.aggregates == (row == ("timescale",))
