"""Doors over a real Kafka: what is acknowledged is there; alarms reach every door."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from ingest.commit_kafka import RoundRecords
from ingest.door.hearing import Hearing
from ingest.quarantine import keep_records, waiting
from ingest.shared_sessions import SharedSessions
from schemas.kafka import ALARMS_STATE, Topic
from schemas.mqtt import Ack, Publish, Type
from schemas.readings import ReadingBatch
from streams.log.kafka import KafkaLog, Record
from streams.log.kafka_reader import KafkaPartitionsReader
from streams.log.kafka_topics import make_topics
from streams.log.kafka_topics_reader import KafkaTopicsReader
from tests.door_world import WAIT_S, Client
from tests.doors_world import OneDoor, WallClock, several_doors
from tests.kafka_topics import fresh_topic
from tests.waiting import until
from tocsin.local.kafka import Kafka

pytestmark = [pytest.mark.integration, pytest.mark.kafka]

P = 4
ALARMS_TOPIC = "tocsin/v1/shop-1/alarms"
STATE_TOPIC = "tocsin/v1/shop-1/alarms/state"


@contextmanager
def doors_over(dsn: str, kafka: Kafka, topic: str, refused: str) -> Iterator[Callable[[str], OneDoor]]:
    """Makes doors whose log is `topic` and whose quarantine is the topic `refused`."""
    logs: list[KafkaLog] = []

    def make(shared: SharedSessions) -> RoundRecords:
        log = KafkaLog(kafka.servers, topic, P, patience_s=WAIT_S)
        logs.append(log)
        return RoundRecords(
            log.append, lambda records: log.produce_many(Record(refused, *one) for one in records), shared.keep
        )

    doors: list[OneDoor] = []

    def open_door(name: str) -> OneDoor:
        door = OneDoor(dsn, name, WallClock(), {}, make)
        doors.append(door)
        return door

    try:
        yield open_door
    finally:
        for door in doors:
            door.end()
        for log in logs:
            log.close()


def values_in(kafka: Kafka, topic: str) -> Counter[float]:
    reader = KafkaPartitionsReader(kafka.servers, topic, range(P))
    places, found = dict.fromkeys(range(P), 0), Counter[float]()
    while entries := reader.read(places, 500):
        for entry in entries:
            places[entry.partition] = entry.number
            if isinstance(entry.payload, ReadingBatch):
                found.update(entry.payload.value.tolist())
    reader.close()
    return found


def test_two_doors_write_one_log(dsn: str, kafka: Kafka) -> None:
    """And what is refused goes into quarantine by way of Kafka."""
    topic, refused = fresh_topic(kafka, P), fresh_topic(kafka, 1)
    with doors_over(dsn, kafka, topic, refused) as open_door:
        clients = [open_door(name).connected(name) for name in ("a", "b")]
        for number in range(1, 101):
            client = clients[number % 2]
            client.publish(b'{"temperature": %d}' % number, f"tocsin/v1/shop-{number}/x/telemetry", packet_id=number)
            assert client.read() == Ack(Type.PUBACK, number)
        clients[0].publish(b'{"temperatur": 1}', packet_id=7)
        assert clients[0].read() == Ack(Type.PUBACK, 7)
    assert values_in(kafka, topic) == Counter(float(number) for number in range(1, 101))
    reader = KafkaTopicsReader(kafka.servers, from_start=[refused])
    bodies: list[bytes] = []
    until(lambda: bool(bodies.extend(body for _, _, body in reader.read(0.1)) or bodies), "the record is there")
    reader.close()
    with psycopg.connect(dsn, autocommit=True) as connection:
        assert keep_records(connection, bodies) == {}
        (kept,) = waiting(connection)
    assert (kept.source, kept.payload) == ("a", b'{"temperatur": 1}')


def next_on(client: Client, topic: str) -> Publish:
    while (heard := client.expect(Publish)).topic != topic:
        pass
    return heard


def test_alarms_reach_the_subscribers_of_every_door(dsn: str, kafka: Kafka) -> None:
    """The open ones also those who come later, and a door that starts later."""
    events = fresh_topic(kafka, 1)
    make_topics(kafka.servers, [Topic(ALARMS_STATE, 1, -1, compacted=True)])
    with several_doors(dsn) as doors, KafkaLog(kafka.servers, "none", 1, patience_s=WAIT_S) as log:
        log.produce(ALARMS_STATE, STATE_TOPIC.encode(), b'{"alarms": ["old"]}')
        log.produce(events, ALARMS_TOPIC.encode(), b"before any door")
        stops = []
        for name in ("a", "b"):
            door = doors.open(name)
            reader = KafkaTopicsReader(kafka.servers, from_end=[events], from_start=[ALARMS_STATE])
            hearing = Hearing(reader.read, door.door.publish)
            thread = threading.Thread(target=hearing.run)
            thread.start()
            stops.append((hearing, thread, reader))
            door.wait(lambda door=door: STATE_TOPIC in door.door.state.retained)
            client = door.connected(name)
            client.subscribe(ALARMS_TOPIC, STATE_TOPIC)
            state = client.expect(Publish)
            assert (state.topic, state.payload, state.retain) == (STATE_TOPIC, b'{"alarms": ["old"]}', True)
            log.produce(events, ALARMS_TOPIC.encode(), name.encode())
            assert next_on(client, ALARMS_TOPIC).payload == name.encode()
            log.produce(ALARMS_STATE, STATE_TOPIC.encode(), b'{"alarms": ["old"]}')
            assert next_on(client, STATE_TOPIC).payload == b'{"alarms": ["old"]}'
        for hearing, thread, reader in stops:
            hearing.stop()
            thread.join(WAIT_S)
            reader.close()
            assert hearing.trouble() == ""
