"""The stores of a cluster: one reads all partitions of the log, the others stand by; each reading is stored once."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import msgspec
import numpy as np
import psycopg
import pytest

from schemas.entries import Sensor, Sensors, Tick
from schemas.identity import id_of
from schemas.readings import ReadingBatch
from streams.log.kafka import KafkaLog
from streams.store.parts import DAY_US, HOUR_US
from streams.store.process import StoreSettings
from streams.store.queries import status
from tests.kafka_topics import PATIENCE_S, fresh_topic
from tests.store_children import Start, all_done, assert_each_once, await_status, end, store_children
from tests.waiting import until
from tocsin.local.kafka import Kafka

pytestmark = [pytest.mark.integration, pytest.mark.kafka]

P = 4
MINUTES = 160
START = 1_790_000_400_000_000 // HOUR_US * HOUR_US
SENSORS = [
    Sensor(id_of(f"shop-{n}/kitchen/temperature"), f"shop-{n}", "kitchen", "temperature") for n in range(50)
]


def minute(k: int) -> ReadingBatch:
    """Minute k of all sensors, one reading in ten repeated from an earlier minute: a duplicate."""
    random = np.random.default_rng(k)
    n = len(SENSORS)
    now = START + k * 60_000_000
    event = np.where(random.random(n) < 0.1, now - 60_000_000 * random.integers(1, 20, n), now)
    value = (event // 60_000_000 % 1000).astype(np.float64) + np.arange(n)
    ids = np.array([one.id for one in SENSORS])
    return ReadingBatch.of(ids, event, np.full(n, now + 1000), value, np.zeros(n, np.uint8), np.zeros(n, np.uint8))


@pytest.fixture
def topic(kafka: Kafka) -> str:
    return fresh_topic(kafka, P)


@pytest.fixture
def log(kafka: Kafka, topic: str) -> Iterator[KafkaLog]:
    with KafkaLog(kafka.servers, topic, P, patience_s=PATIENCE_S) as made:
        made.append([Sensors(SENSORS)])
        yield made


@pytest.fixture
def settings(dsn: str, kafka: Kafka, topic: str) -> StoreSettings:
    return StoreSettings(dsn, gather_s=0.02, block_readings=200, kafka=kafka.servers, topic=topic, partitions=P)


@pytest.fixture
def connection(dsn: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dsn, autocommit=True) as made:
        yield made


@pytest.fixture
def start() -> Iterator[Start]:
    with store_children() as begin:
        yield begin


def standing_by(connection: psycopg.Connection) -> int:
    """How many stores are there that do not lead."""
    row = connection.execute(
        "SELECT count(*) FROM pg_stat_activity AS a WHERE application_name = 'tocsin-store'"
        " AND datname = current_database() AND query LIKE '%pg_try_advisory_lock%'"
        " AND NOT EXISTS (SELECT FROM pg_locks AS l WHERE l.pid = a.pid AND locktype = 'advisory' AND granted)"
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_a_store_that_stands_by_goes_on_after_a_kill(
    settings: StoreSettings, log: KafkaLog, connection: psycopg.Connection, start: Start
) -> None:
    """Its lock ends with its session, and PostgreSQL ends that with the process."""
    first = start(settings)
    last = log.append([minute(0)])
    await_status(connection, lambda now: now.positions == last)
    second = start(settings)
    until(lambda: standing_by(connection) == 1, "the second stands by")
    last = log.append([minute(1)])
    await_status(connection, lambda now: now.positions == last)
    last = log.append([minute(2)])
    first.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    until(lambda: status(connection).positions == last, "the second goes on")
    print(f"\ngone on {time.monotonic() - killed:.2f} s after the kill")
    first.wait()
    end(second)
    assert_each_once(connection, [minute(k) for k in range(3)])


def test_a_store_that_hangs_loses_the_lead_and_stands_by_when_it_is_back(
    settings: StoreSettings, log: KafkaLog, connection: psycopg.Connection, start: Start
) -> None:
    """Its session, and the lock with it, would last as long as the process; what it had under way comes too late."""
    settings = msgspec.structs.replace(settings, silent_s=3.0)
    first = start(settings)
    last = log.append([minute(0)])
    await_status(connection, lambda now: now.positions == last)
    second = start(settings)
    until(lambda: standing_by(connection) == 1, "the second stands by")
    first.send_signal(signal.SIGSTOP)
    try:
        last = log.append([minute(1)])
        await_status(connection, lambda now: now.positions == last)
    finally:
        first.send_signal(signal.SIGCONT)
    until(lambda: standing_by(connection) == 1, "one stands by again")
    last = log.append([minute(2)])
    await_status(connection, lambda now: now.positions == last)
    end(second)
    last = log.append([minute(3)])
    await_status(connection, lambda now: now.positions == last)
    end(first)
    assert_each_once(connection, [minute(k) for k in range(4)])


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_stores_killed_at_random_leave_each_reading_stored_once(
    settings: StoreSettings, log: KafkaLog, connection: psycopg.Connection, start: Start, seed: int
) -> None:
    """The places in all partitions and the rows are one commit, whoever leads."""
    random = np.random.default_rng(seed)
    batches = [minute(k) for k in range(MINUTES)]
    children = [start(settings), start(settings)]
    for k, batch in enumerate(batches):
        last = log.append([batch, Tick(START + k * 60_000_000 + 2000)])
        if k % 30 == 29:
            until(lambda: standing_by(connection) == 1, "one stands by")
            which = int(random.integers(0, 2))
            children[which].kill()
            children[which].wait()
            children[which] = start(settings)
    last = log.append([Tick(START + DAY_US)])
    now = await_status(connection, all_done(last))
    for child in children:
        end(child)
    assert_each_once(connection, batches)
    assert now.stored + now.late + now.duplicate == len(SENSORS) * MINUTES
    assert now.conflicting == now.refused_old == 0
