"""The store as a process: it follows, it is killed, it ends when it should."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import psycopg
import pytest

from schemas.entries import Tick
from schemas.readings import ReadingBatch
from streams.lifeline import FENCED_EXIT
from streams.log.postgres import PostgresLogWriter
from streams.store.parts import DAY_US, HOUR_US
from streams.store.process import StoreSettings
from streams.store.queries import status
from tests.store_children import Start, all_done, assert_each_once, await_rolled_up, await_status, end, store_children

pytestmark = pytest.mark.integration

START = 1_790_000_400_000_000 // HOUR_US * HOUR_US
BATCHES = 240


@pytest.fixture
def writer(dsn: str) -> Iterator[PostgresLogWriter]:
    made = PostgresLogWriter(dsn)
    yield made
    made.close()


@pytest.fixture
def connection(dsn: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dsn, autocommit=True) as made:
        yield made


@pytest.fixture
def start() -> Iterator[Start]:
    with store_children() as begin:
        yield begin


def minute(k: int) -> ReadingBatch:
    """Minute k of 50 sensors, one reading in ten repeated from an earlier minute: a duplicate."""
    random = np.random.default_rng(k)
    ids = np.arange(50, dtype=np.int64) << 56
    now = START + k * 60_000_000
    event = np.where(random.random(50) < 0.1, now - 60_000_000 * random.integers(1, 20, 50), now)
    value = (event // 60_000_000 % 1000).astype(np.float64) + np.arange(50)
    return ReadingBatch.of(ids, event, np.full(50, now + 1000), value, np.zeros(50, np.uint8), np.zeros(50, np.uint8))


def await_position(connection: psycopg.Connection, position: int) -> None:
    await_status(connection, lambda now: now.positions == {0: position})


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_killed_at_random_each_reading_is_stored_once(dsn: str, start: Start, seed: int) -> None:
    """Rows and position are one commit, and what is in memory is read anew."""
    kill_at_random(dsn, start, seed)


@pytest.mark.timescale
def test_so_it_is_with_timescaledb(timescale_dsn: str, start: Start) -> None:
    """Chunks and roll-ups are in the same commits as native partitions are."""
    kill_at_random(timescale_dsn, start, 3)


def kill_at_random(dsn: str, start: Start, seed: int) -> None:
    with closing(PostgresLogWriter(dsn)) as writer, psycopg.connect(dsn, autocommit=True) as connection:
        random = np.random.default_rng(seed)
        settings = StoreSettings(dsn, gather_s=0.02, block_readings=200)
        batches = [minute(k) for k in range(BATCHES)]
        child = start(settings)
        last = 0
        for k, batch in enumerate(batches):
            last = writer.append([batch, Tick(START + k * 60_000_000 + 2000)])
            if k % 30 == 29:
                try:
                    child.wait(random.uniform(0.4, 1.5))
                except subprocess.TimeoutExpired:
                    child.kill()
                child.wait()
                child = start(settings)
        last = writer.append([Tick(START + DAY_US)])
        now = await_status(connection, all_done({0: last}))
        # Parts that were made in the block of that tick close after it.
        writer.append([Tick(START + DAY_US + HOUR_US)])
        await_rolled_up(connection, batches)
        end(child)
        assert_each_once(connection, batches)
        assert now.stored + now.late + now.duplicate == 50 * BATCHES
        assert now.conflicting == now.refused_old == 0


@pytest.mark.parametrize("passes", [1, 2])
def test_killed_while_a_partition_closes_each_reading_is_stored_once(
    dsn: str, writer: PostgresLogWriter, connection: psycopg.Connection, start: Start, passes: int
) -> None:
    """The close is one transaction: none of it is there, and it is done again."""
    child = start(StoreSettings(dsn, gather_s=0.02))
    batches = [minute(k) for k in range(20)]
    for k, batch in enumerate(batches):
        await_position(connection, writer.append([batch, Tick(START + k * 60_000_000 + 2000)]))
    end(child)
    last = writer.append([Tick(START + HOUR_US)])
    child = start(StoreSettings(dsn, failpoint=f"while_partition_closes:{passes}"))
    assert child.wait(120) == -signal.SIGKILL
    assert status(connection).closing > 0
    child = start(StoreSettings(dsn))
    await_status(connection, all_done({0: last}))
    end(child)
    assert_each_once(connection, batches)


def test_it_ends_cleanly_with_what_it_gathered_written(
    dsn: str, writer: PostgresLogWriter, connection: psycopg.Connection, start: Start
) -> None:
    """On SIGTERM, and when its parent is gone."""
    child = start(StoreSettings(dsn, gather_s=3600.0))
    first = writer.append([minute(0)])
    await_status(connection, lambda now: now.positions == {0: first})
    second = writer.append([minute(1)])
    child.send_signal(signal.SIGTERM)
    assert child.wait(120) == 0
    assert status(connection).positions[0] in (first, second)
    child = start(StoreSettings(dsn))
    await_status(connection, lambda now: now.positions == {0: second})
    end(child)
    assert_each_once(connection, [minute(0), minute(1)])


def test_a_second_process_fences_the_first_which_says_so(
    dsn: str, writer: PostgresLogWriter, connection: psycopg.Connection, start: Start
) -> None:
    """Whoever started it must know not to start it again."""
    first = start(StoreSettings(dsn, gather_s=0.05))
    number = writer.append([minute(0)])
    await_status(connection, lambda now: now.positions == {0: number})
    second = start(StoreSettings(dsn, gather_s=0.05))
    until = time.monotonic() + 120
    while first.poll() is None:
        assert time.monotonic() < until
        writer.append([minute(0)])
        connection.execute("SELECT pg_sleep(0.05)")
    assert first.returncode == FENCED_EXIT
    end(second)


def test_it_goes_on_when_its_backends_are_ended(
    dsn: str, writer: PostgresLogWriter, connection: psycopg.Connection, start: Start
) -> None:
    """PostgreSQL may restart; the store waits and reads its memory anew."""
    child = start(StoreSettings(dsn, gather_s=0.05))
    batches = [minute(k) for k in range(20)]
    for k, batch in enumerate(batches):
        number = writer.append([batch])
        if k % 5 == 4:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'tocsin-store%'"
                " AND datname = current_database()"
            )
    await_status(connection, lambda now: now.positions == {0: number})
    end(child)
    assert_each_once(connection, batches)
