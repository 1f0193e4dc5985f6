"""The log in Kafka: what it keeps when Kafka is killed, away, or has dropped what somebody needs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psycopg
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.entries import Entry, EntryKind, Sensor, Sensors, Tick, encode
from schemas.errors import ConfigError, CorruptState, ServiceAway
from schemas.identity import id_of, partition_of
from schemas.kafka import Topic
from schemas.readings import ReadingBatch
from streams.log.kafka import KafkaLog, Record
from streams.log.kafka_reader import KafkaLogReader, KafkaPartitionsReader
from streams.log.kafka_topics import Ends, ends_of, make_topics, partitions_of
from streams.log.unreadable import unreadable_rows
from tests.kafka_topics import PATIENCE_S, fresh_topic
from tests.log_reading import read_all
from tests.waiting import until
from tocsin.local.kafka import Kafka
from tocsin.local.mosquitto import free_port

pytestmark = [pytest.mark.integration, pytest.mark.kafka]
P = 4


def sensor(enterprise: str) -> Sensor:
    return Sensor(id_of(f"{enterprise}/kitchen/temperature"), enterprise, "kitchen", "temperature")


SENSORS = [sensor(f"shop-{n}") for n in range(40)]
PARTITION = {one.id: partition_of(one.enterprise, P) for one in SENSORS}


def batch(first: int, count: int) -> ReadingBatch:
    """Readings of all sensors in turn, numbered by event time from `first`."""
    times = np.arange(first, first + count)
    ids = np.array([one.id for one in SENSORS])[times % len(SENSORS)]
    return ReadingBatch.of(ids, times, times, times.astype(float), [0] * count, [0] * count)


def all_of(reader: KafkaPartitionsReader) -> list[Entry]:
    after = dict.fromkeys(reader.partitions, 0)
    found: list[Entry] = []
    while entries := reader.read(after, 50):
        found += entries
        after |= {entry.partition: entry.number for entry in entries}
    return found


def places(entries: list[Entry]) -> set[tuple[int, int]]:
    return {(entry.partition, entry.number) for entry in entries}


@pytest.fixture
def topic(kafka: Kafka) -> str:
    return fresh_topic(kafka, P)


@pytest.fixture
def log(kafka: Kafka, topic: str) -> Iterator[KafkaLog]:
    with KafkaLog(kafka.servers, topic, P, patience_s=PATIENCE_S) as made:
        yield made


@pytest.fixture
def reader(kafka: Kafka, topic: str) -> Iterator[KafkaPartitionsReader]:
    made = KafkaPartitionsReader(kafka.servers, topic, range(P))
    yield made
    made.close()


def test_readings_go_where_their_enterprise_belongs_and_keep_their_order(
    log: KafkaLog, reader: KafkaPartitionsReader
) -> None:
    """All that concerns an enterprise is judged in one place, in the order it was received."""
    last = log.append([Sensors(SENSORS), batch(0, 1000), Tick(7)])
    assert sorted(last) == list(range(P))
    entries = all_of(reader)
    assert {e.partition: e.number for e in entries} == last
    for entry in entries:
        if isinstance(entry.payload, ReadingBatch):
            assert {PARTITION[number] for number in entry.payload.sensor_id.tolist()} == {entry.partition}
            assert (np.diff(entry.payload.event_time) > 0).all()
        elif isinstance(entry.payload, Sensors):
            assert {partition_of(one.enterprise, P) for one in entry.payload.sensors} == {entry.partition}
    kinds = [[type(e.payload) for e in entries if e.partition == p] for p in range(P)]
    assert kinds == [[Sensors, ReadingBatch, Tick]] * P
    assert sum(len(e.payload) for e in entries if isinstance(e.payload, ReadingBatch)) == 1000


def test_a_long_batch_becomes_several_records(log: KafkaLog, reader: KafkaPartitionsReader) -> None:
    """A topic takes records of a bounded size."""
    log.append([Sensors(SENSORS[:1]), ReadingBatch.concat([batch(0, 1)] * 150_000)])
    sizes = [len(e.payload) for e in all_of(reader) if isinstance(e.payload, ReadingBatch)]
    assert sum(sizes) == 150_000
    assert len(sizes) == 3


def test_one_partition_is_written_and_numbered_by_itself(log: KafkaLog, reader: KafkaPartitionsReader) -> None:
    """What people ask for concerns one partition, and each entry's number is written down."""
    writer = log.at(2)
    assert writer.last_number() == 0
    assert writer.put([Tick(1), Tick(2)]) == [1, 2]
    log.append([Tick(3)])
    assert writer.append([Tick(4)]) == 4
    assert writer.last_number() == 4
    with pytest.raises(TypeError):
        writer.append([Tick(5)], lambda cursor, last: None)
    entries = read_all(reader, {0: 1, 1: 1, 2: 0, 3: 1}, 4)
    assert [e.payload for e in entries] == [Tick(1), Tick(2), Tick(3), Tick(4)]


def test_other_topics_are_written_by_the_same_client(kafka: Kafka, log: KafkaLog) -> None:
    """A process has one connection to a broker, not one a purpose."""
    other = fresh_topic(kafka, 1)
    log.produce(other, b"k", b"v")
    log.produce_many([Record(other, b"k", b"%d" % n) for n in range(500)])
    assert ends_of(kafka.servers, other, [0]) == {0: Ends(1, 501)}


def test_a_reader_goes_back_where_it_is_asked_to(log: KafkaLog, reader: KafkaPartitionsReader) -> None:
    """Whoever takes a position over reads from there again."""
    log.append([Tick(1)])
    log.append([Tick(2)])
    zero = dict.fromkeys(range(P), 0)
    both = {(p, n) for p in range(P) for n in (1, 2)}
    assert places(read_all(reader, zero, 2 * P)) == both
    assert places(read_all(reader, zero | {1: 1}, 2 * P - 1)) == both - {(1, 1)}
    assert reader.wait(zero, 60.0)
    assert places(read_all(reader, zero, 2 * P)) == both
    assert not reader.wait(dict.fromkeys(range(P), 2), 0.0)


def test_what_retention_has_dropped_is_not_skipped_in_silence(
    kafka: Kafka, topic: str, log: KafkaLog, reader: KafkaPartitionsReader
) -> None:
    """An engine that goes on over a hole would have missed a fire."""
    for n in range(1, 6):
        log.append([Tick(n)])
    admin = AdminClient({"bootstrap.servers": kafka.servers})
    for future in admin.delete_records([TopicPartition(topic, 1, 3)]).values():
        future.result(30.0)
    after = {0: 0, 1: 0, 2: 0, 3: 0}
    with pytest.raises(CorruptState, match="entry 1 of partition 1"):
        while True:
            after |= {e.partition: e.number for e in reader.read(after) if reader.wait(after, 1.0)}
    behind = KafkaLogReader(kafka.servers, topic, 1)
    assert [e.number for e in read_all(behind, 3, 2)] == [4, 5]
    behind.close()


def test_a_log_that_ends_before_the_position_is_told(log: KafkaLog, reader: KafkaPartitionsReader) -> None:
    """Kafka lost what was acknowledged, or it is another log."""
    log.append([Tick(1)])
    with pytest.raises(CorruptState, match="entry 8 of partition 0"):
        reader.read({0: 7, 1: 1, 2: 1, 3: 1})
        reader.wait({0: 7, 1: 1, 2: 1, 3: 1}, 10.0)


def test_a_record_that_is_no_entry_is_kept_and_passed_over(kafka: Kafka, topic: str, log: KafkaLog, dsn: str) -> None:
    """One bad record must never block its partition."""
    reader = KafkaPartitionsReader(kafka.servers, topic, range(P), unreadable=unreadable_rows(dsn, topic))
    tick = bytes([EntryKind.TICK])
    bad = [(b"\x09", b"?"), (tick, b"\xff\xff"), (bytes([EntryKind.BATCH]), b"not arrow"), (b"", b"")]
    log.append([Tick(1)])
    log.produce_many([Record(topic, key, value, 1) for key, value in bad] + [Record(topic, tick, encode(Tick(2)), 1)])
    log.produce_many([Record(topic, key, value, 1) for key, value in bad])
    entries = all_of(reader)
    assert [(e.number, e.payload) for e in entries if e.partition == 1] == [(1, Tick(1)), (6, Tick(2))]
    assert reader.read({0: 1, 1: 6, 2: 1, 3: 1}) == []
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "SELECT partition, number, kind, body FROM unreadable_entries ORDER BY number"
        ).fetchall()
    assert rows == [(1, n, *bad[place]) for n, place in zip((2, 3, 4, 5, 7, 8, 9, 10), [0, 1, 2, 3] * 2, strict=True)]
    reader.close()


def test_a_closed_reader_ends_a_wait_in_another_thread(reader: KafkaPartitionsReader) -> None:
    """A process stops within seconds, whoever waits for what."""
    ended: list[object] = []

    def wait() -> None:
        try:
            ended.append(reader.wait(dict.fromkeys(range(P), 0), 60.0))
        except ServiceAway as error:
            ended.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    reader.close()
    thread.join(10.0)
    assert len(ended) == 1


def test_topics_are_made_once_and_brought_to_what_is_declared(kafka: Kafka) -> None:
    """`tocsin migrate` runs at every upgrade."""
    name = fresh_topic(kafka, 3)
    hour, day = Topic(name, 3, 3_600_000), Topic(name, 3, 86_400_000)
    assert make_topics(kafka.servers, [hour]) == []
    assert make_topics(kafka.servers, [day]) == []
    assert partitions_of(kafka.servers, [name, "no-such-topic"]) == {name: 3}
    with pytest.raises(ConfigError, match="has 3 partitions, and 4 are wanted"):
        make_topics(kafka.servers, [Topic(name, 4, 3_600_000)])


def test_an_append_without_its_topic_names_the_mend(kafka: Kafka) -> None:
    """A cluster that was never migrated."""
    with (
        KafkaLog(kafka.servers, "no-such-topic", P) as log,
        pytest.raises(ServiceAway, match="tocsin migrate"),
    ):
        log.append([Tick(1)])


def test_kafka_away_at_the_start_is_told_and_then_found(kafka: Kafka, tmp_path: Path) -> None:
    """A door may start before Kafka does; it says so, and goes on by itself."""
    own = Kafka(tmp_path / "kafka", free_port())
    with KafkaLog(own.servers, "tocsin-log", P, patience_s=0.5) as log:
        reader = KafkaLogReader(own.servers, "tocsin-log")
        with pytest.raises(ServiceAway, match="Kafka"):
            log.append([Tick(1)])
        assert log.trouble()
        with pytest.raises(ServiceAway, match="Kafka"):
            until(lambda: reader.wait(0, 0.1), "it says that no broker answers")
        with own:
            make_topics(own.servers, [Topic("tocsin-log", P, 3_600_000)])
            until(lambda: appended(log, Tick(2)), "the log takes entries")
            assert not log.trouble()
            # A try that was given up may have been written all the same.
            until(lambda: read(reader) == {Tick(2)}, "the reader has them")
            reader.close()


def appended(log: KafkaLog, payload: Tick | Sensors) -> bool:
    try:
        log.append([payload])
    except ServiceAway:
        return False
    return True


def read(reader: KafkaLogReader) -> set[object]:
    try:
        return {entry.payload for entry in reader.read(0)}
    except ServiceAway:
        return set()


def test_a_killed_kafka_loses_nothing_acknowledged_and_keeps_the_order(kafka: Kafka, tmp_path: Path) -> None:
    """A device's PUBACK follows an append's return."""
    port = free_port()
    with Kafka(tmp_path / "kafka", port) as own:
        topic = fresh_topic(own, P)
        log = KafkaLog(own.servers, topic, P, patience_s=2.0)
        until(lambda: appended(log, Sensors(SENSORS)), "the sensors are declared")
        acknowledged: list[int] = []
        tried = threading.Event()
        stop = threading.Event()
        failures: list[ServiceAway] = []

        def append() -> None:
            first = 0
            while not stop.is_set():
                try:
                    log.append([batch(first, 40)])
                except ServiceAway as error:
                    failures.append(error)
                    tried.set()
                    continue
                acknowledged.append(first)
                first += 40
                tried.set()

        def appended_more() -> None:
            """Wait for an append that began after now."""
            for _ in range(2):
                tried.clear()
                assert tried.wait(60.0)

        writer = threading.Thread(target=append)
        writer.start()
        for _ in range(3):
            appended_more()
            own.kill()
            while not failures:
                appended_more()
            own.start()
            failures.clear()
        count = len(acknowledged)
        while len(acknowledged) < count + 20:
            appended_more()
        stop.set()
        writer.join(60.0)
        log.close()
        reader = KafkaPartitionsReader(own.servers, topic, range(P))
        seen: dict[int, list[int]] = {p: [] for p in range(P)}
        for entry in all_of(reader):
            if isinstance(entry.payload, ReadingBatch):
                seen[entry.partition] += entry.payload.event_time.tolist()
        reader.close()
    for partition, times in seen.items():
        wanted = [
            t
            for first in acknowledged
            for t in range(first, first + 40)
            if PARTITION[SENSORS[t % len(SENSORS)].id] == partition
        ]
        once = list(dict.fromkeys(times))
        assert once[: len(wanted)] == wanted, "first copies stand in the order of their appends, none is missing"
        assert (np.diff(np.array(times) // 40) >= 0).all(), "no repeat stands behind what was appended after it"
