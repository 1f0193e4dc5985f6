"""What is asked for becomes entries of a log in Kafka, and a kill between entry and row is harmless."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import psycopg
import pytest

from schemas.entries import ClockStepped, DeviceFacts, PackActivated, Payload, ResetAsked, Sensor, Sensors, Tick, encode
from schemas.errors import ServiceAway
from schemas.readings import ReadingBatch
from schemas.rules import RulePack
from streams.commands import ControlDispatcher, active_pack_version, ensure_pack
from streams.log.kafka import KafkaLog, KafkaPartition
from streams.log.kafka_reader import KafkaLogReader
from streams.log.kafka_times import last_logged_in_kafka_us
from streams.ticking import run_ticks
from streams.ticks import HouseTime
from tests.integration.test_commands import FACTS, PACK, rows
from tests.kafka_topics import PATIENCE_S, fresh_topic
from tocsin.local.kafka import Kafka

pytestmark = [pytest.mark.integration, pytest.mark.kafka]
P = 3
HERE = 1
"""The partition that is asked."""


@pytest.fixture
def log(kafka: Kafka) -> Iterator[KafkaLog]:
    with KafkaLog(kafka.servers, fresh_topic(kafka, P), P, patience_s=PATIENCE_S) as made:
        yield made


def payloads(kafka: Kafka, log: KafkaLog, partition: int = HERE) -> list[Payload]:
    reader = KafkaLogReader(kafka.servers, log.topic, partition)
    try:
        found: list[Payload] = []
        after = 0
        while entries := reader.read(after, 1000):
            found += [entry.payload for entry in entries]
            after = entries[-1].number
        return found
    finally:
        reader.close()


def ask(dsn: str, *keys: str, alarm: str = "") -> None:
    with psycopg.connect(dsn) as connection:
        for key in keys:
            connection.execute(
                "INSERT INTO commands (key, action, alarm_key, seen_step, asked_by, partition)"
                " VALUES (%s, 'reset', %s, 3, 'ann', %s)",
                (key, alarm or f"of {key}", HERE),
            )


def offer(dsn: str, *asked: Payload) -> None:
    with psycopg.connect(dsn) as connection:
        for payload in asked:
            connection.execute("INSERT INTO control_outbox (body, partition) VALUES (%s, %s)", (encode(payload), HERE))


def judged(dsn: str, position: int) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO positions (consumer, partition, position, owner) VALUES ('engine', %s, %s, 1)"
            " ON CONFLICT (consumer, partition) DO UPDATE SET position = excluded.position",
            (HERE, position),
        )


def test_each_row_becomes_one_entry_of_its_partition_and_knows_its_number(
    kafka: Kafka, log: KafkaLog, dsn: str
) -> None:
    """Others write between; a number is never guessed."""
    ask(dsn, "c1", "c2")
    offer(dsn, FACTS, PACK)
    dispatcher = ControlDispatcher(dsn, log.at(HERE), partition=HERE)
    assert dispatcher.dispatch() == 4
    log.append([Tick(1)])
    offer(dsn, FACTS)
    assert dispatcher.dispatch() == 1
    assert dispatcher.dispatch() == 0
    dispatcher.close()
    resets = [ResetAsked(key, f"of {key}", 3, "ann") for key in ("c1", "c2")]
    assert payloads(kafka, log) == [FACTS, PACK, *resets, Tick(1), FACTS]
    assert payloads(kafka, log, 0) == [Tick(1)]
    assert rows(dsn, "SELECT logged_number FROM control_outbox ORDER BY id") == [(1,), (2,), (6,)]
    assert rows(dsn, "SELECT key, logged_number FROM commands ORDER BY key") == [("c1", 3), ("c2", 4)]
    assert active_pack_version(dsn, partition=HERE) == "abc123"
    assert active_pack_version(dsn, partition=0) is None


def test_rows_wait_until_all_that_was_said_before_is_judged(kafka: Kafka, log: KafkaLog, dsn: str) -> None:
    """The dispatcher before may have been killed behind its entry: what is answered then is not said again."""
    ask(dsn, "c1")
    log.at(HERE).put([ResetAsked("c1", "of c1", 3, "ann")])
    dispatcher = ControlDispatcher(dsn, log.at(HERE), partition=HERE)
    assert dispatcher.dispatch() == 0
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE commands SET answered_at = now(), accepted = true")
    judged(dsn, 1)
    ask(dsn, "c2")
    assert dispatcher.dispatch() == 1
    dispatcher.close()
    assert [p.command for p in payloads(kafka, log) if isinstance(p, ResetAsked)] == ["c1", "c2"]


class Killed(KafkaPartition):
    """A writer whose process dies after the entries and before the rows are marked."""

    def put(self, payloads: Sequence[Payload]) -> list[int]:
        super().put(payloads)
        raise ServiceAway("test", "killed")


def test_a_repeat_never_brings_back_what_was_replaced(kafka: Kafka, log: KafkaLog, dsn: str) -> None:
    """A pack or facts may stand twice, but not the older behind the newer."""
    first = [DeviceFacts("shop", "kitchen", rated_current_a=16.0), PackActivated("one", "1")]
    second = [DeviceFacts("shop", "kitchen", rated_current_a=32.0), PackActivated("two", "2")]
    offer(dsn, *first, *second)
    for _ in range(4):
        dying = ControlDispatcher(dsn, Killed(log, HERE), partition=HERE)
        judged(dsn, log.last_number(HERE))
        with pytest.raises(ServiceAway):
            dying.dispatch()
        dying.close()
        living = ControlDispatcher(dsn, log.at(HERE), partition=HERE)
        judged(dsn, log.last_number(HERE))
        assert living.dispatch() in (0, 2)
        living.close()
        if not rows(dsn, "SELECT FROM control_outbox WHERE logged_number IS NULL"):
            break
    said = payloads(kafka, log)
    assert said == [*first, *first, *second, *second]


def test_two_dispatchers_do_not_take_the_same_row(kafka: Kafka, log: KafkaLog, dsn: str) -> None:
    """While a partition moves, its old owner may still be at work."""
    offer(dsn, FACTS)
    other = ControlDispatcher(dsn, log.at(HERE), partition=HERE)

    class Overtaken(KafkaPartition):
        def put(self, payloads: Sequence[Payload]) -> list[int]:
            assert other.dispatch() == 0
            return super().put(payloads)

    first = ControlDispatcher(dsn, Overtaken(log, HERE), partition=HERE)
    assert first.dispatch() == 1
    for one in (first, other):
        one.close()
    assert payloads(kafka, log) == [FACTS]


def test_a_pack_is_activated_once_in_each_partition(kafka: Kafka, log: KafkaLog, dsn: str) -> None:
    """A start with the same rules changes nothing."""
    pack = RulePack("one", "hash-one", (), toml="name = 'one'")
    for partition in range(P):
        assert ensure_pack(log.at(partition), dsn, pack, partition=partition)
        assert not ensure_pack(log.at(partition), dsn, pack, partition=partition)
        assert payloads(kafka, log, partition) == [PackActivated("hash-one", "name = 'one'")]


def test_the_latest_time_is_the_largest_of_all_partitions(kafka: Kafka, log: KafkaLog) -> None:
    """A door's clock goes on where the log's time stands, whoever wrote it."""

    def latest() -> int:
        return last_logged_in_kafka_us(kafka.servers, log.topic, P)

    assert latest() == 0
    log.append([Tick(500)])
    log.at(2).put([Tick(900)])
    log.at(0).put([FACTS] * 100)
    assert latest() == 900
    sensor = Sensor(1, "shop", "kitchen", "temperature")
    batch = ReadingBatch.of([1], [100], [1000], [20.0], [0], [0])
    log.append([Sensors([sensor]), batch])
    assert latest() == 1000


def test_ticks_and_steps_of_the_clock_go_into_every_partition(kafka: Kafka, log: KafkaLog) -> None:
    """An engine's now is its largest tick, whichever partition it judges."""
    stop = threading.Event()

    class Clock:
        """Steps back by an hour at its third second."""

        now = 0

        def wall_us(self) -> int:
            return 7_200_000_000 + self.now - (3_600_000_000 if self.now >= 3_000_000 else 0)

        def monotonic_us(self) -> int:
            return self.now

        def wait_s(self, due_in_us: int) -> float:
            self.now += due_in_us
            if self.now > 5_000_000:
                stop.set()
            return 0.0

    clock = Clock()
    run_ticks(log, clock, HouseTime(0, clock.wall_us(), 0), stop)
    told = [payloads(kafka, log, partition) for partition in range(P)]
    assert told[0] == told[1] == told[2]
    assert any(isinstance(payload, ClockStepped) for payload in told[0])
