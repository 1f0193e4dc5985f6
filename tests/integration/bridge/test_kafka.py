"""`tocsin bridge` from Mosquitto into a real Kafka."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from ingest.commit_kafka import RoundRecords
from ingest.quarantine import decode_kept
from schemas.kafka import Topic, log_topic
from schemas.readings import ReadingBatch
from streams.log.kafka import KafkaLog, Record
from streams.log.kafka_reader import KafkaPartitionsReader
from streams.log.kafka_topics import make_topics
from streams.log.kafka_topics_reader import KafkaTopicsReader
from tests.bridge_world import BridgeWorld, device
from tests.kafka_topics import PATIENCE_S, forget_cluster, fresh_topic
from tests.waiting import until
from tocsin.local.cluster import Member
from tocsin.local.kafka import Kafka
from tocsin.local.mosquitto import Mosquitto

pytestmark = [pytest.mark.integration, pytest.mark.kafka]

P = 4
MESSAGES = 3_000
SHOPS = 7


@pytest.fixture
def log(kafka: Kafka) -> Iterator[KafkaLog]:
    with KafkaLog(kafka.servers, fresh_topic(kafka, P), P, patience_s=PATIENCE_S) as log:
        yield log


def values_in(kafka: Kafka, topic: str) -> Counter[float]:
    """Readings by value, from the start of every partition to its end."""
    reader = KafkaPartitionsReader(kafka.servers, topic, range(P))
    places, found = dict.fromkeys(range(P), 0), Counter[float]()
    while entries := reader.read(places, 500):
        for entry in entries:
            places[entry.partition] = entry.number
            if isinstance(entry.payload, ReadingBatch):
                found.update(entry.payload.value.tolist())
    reader.close()
    return found


def test_what_a_broker_has_is_in_kafka_once_it_is_acknowledged(
    kafka: Kafka, log: KafkaLog, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """Seven enterprises over four partitions, each message once; what is refused is a record, too."""
    refused = f"{log.topic}-refused"
    make_topics(kafka.servers, [Topic(refused, 1, 3_600_000)])
    world = BridgeWorld(mosquitto.url, settings={"group": ""}).start(
        RoundRecords(log.append, lambda records: log.produce_many(Record(refused, *one) for one in records))
    )
    try:
        world.wait_until_connected()
        with device(mosquitto.port) as kitchen:
            for number in range(MESSAGES):
                topic = f"tocsin/v1/shop-{number % SHOPS}/kitchen/telemetry"
                kitchen.publish(b'{"ts":%d,"value":%d}' % (1_790_000_000_000 + number, number), topic)
            kitchen.publish(b"no JSON")
            until(lambda: world.bridge.counts.acknowledged == MESSAGES + 1, "all is acknowledged", 120.0)
    finally:
        world.end()
    assert values_in(kafka, log.topic) == Counter(map(float, range(MESSAGES)))
    reader = KafkaTopicsReader(kafka.servers, from_end=[], from_start=[refused])
    found = list(reader.read(10.0))
    reader.close()
    assert [decode_kept(value).payload for _, _, value in found] == [b"no JSON"]


def test_the_command_brings_a_broker_into_a_cluster(
    kafka: Kafka, dsn: str, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """As a unit of systemd runs it: ready once it reads, gone cleanly when it is told to."""
    forget_cluster(kafka)
    told = {
        "TOCSIN_DSN": dsn, "TOCSIN_KAFKA": kafka.servers, "TOCSIN_BROKER": mosquitto.url, "TOCSIN_HTTP_PORT": "0",
    }  # fmt: skip
    subprocess.run(
        [sys.executable, "-m", "tocsin", "migrate", "--partitions", str(P)], env={**os.environ, **told}, check=True
    )
    bridge = Member("bridge-1", tmp_path, told)
    bridge.launch()
    try:
        bridge.wait_until_ready(300.0)
        with device(mosquitto.port) as kitchen:
            for number in range(100):
                kitchen.publish(b'{"ts":%d,"value":%d}' % (1_790_000_000_000 + number, number))
            until(lambda: _metric(bridge, "tocsin_bridge_acknowledged_total") == 100, "all is acknowledged", 120.0)
    finally:
        code = bridge.stop(30.0)
    assert code == 0, bridge.last_words()
    assert values_in(kafka, log_topic(P)) == Counter(map(float, range(100)))
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT count(*) FROM bridges").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM bridge_sessions").fetchone() == (2,)


def _metric(member: Member, name: str) -> float:
    text = httpx.get(f"http://127.0.0.1:{member.running.http_port}/metrics", timeout=10).text
    return float(next(line.split()[1] for line in text.splitlines() if line.startswith(f"{name} ")))
