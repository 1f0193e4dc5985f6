"""The real engine in a cluster's worker: its alarms are those of one engine over the same log, wherever it runs."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from alerting.channels.mqtt_events import MqttEvents
from schemas.alarms import AlarmEvent
from schemas.entries import DeviceFacts, Sensor, Sensors, Tick, encode
from schemas.identity import id_of, partition_of
from schemas.readings import ReadingBatch
from streams.commands import ControlDispatcher, ensure_pack
from streams.engine import Engine
from streams.log.kafka import KafkaLog
from streams.log.kafka_reader import KafkaLogReader
from streams.log.unreadable import unreadable_rows
from streams.packs import load_pack, parse_pack
from streams.ports import LogReader
from streams.risk_keeper import RiskKeeper
from streams.worker.app import Worker
from tests.kafka_topics import fresh_topic
from tests.waiting import until
from tests.workers_world import OneWorker, positions, stored
from tocsin.cluster.partition_life import JudgedPartition
from tocsin.local.kafka import Kafka
from tocsin.parts import make_judging
from tocsin.settings import Settings

pytestmark = [pytest.mark.integration, pytest.mark.kafka]
P = 2
START = 1_790_000_000_000_000
ENTERPRISES = [f"shop-{n}" for n in range(6)]


def hot(log: KafkaLog, second: int) -> None:
    """Every shop's room is at 95 °C in this second."""
    at = START + second * 1_000_000
    ids = [id_of(f"{enterprise}/room/temperature") for enterprise in ENTERPRISES]
    n = len(ids)
    log.append([ReadingBatch.of(ids, [at] * n, [at] * n, [95.0] * n, [0] * n, [0] * n), Tick(at)])


def wanted(kafka: Kafka, topic: str, partition: int) -> list[AlarmEvent]:
    reader = KafkaLogReader(kafka.servers, topic, partition)
    engine = Engine(None, partition=partition, read_pack=parse_pack)
    try:
        events: list[AlarmEvent] = []
        after = 0
        while entries := reader.read(after):
            for entry in entries:
                events += engine.apply(entry).events
            after = entries[-1].number
        return events
    finally:
        reader.close()


def test_alarms_are_those_of_one_engine_over_the_log(kafka: Kafka, dsn: str, tmp_path: Path) -> None:
    """Over a worker that joins and one that leaves, and with facts that a person told meanwhile."""
    topic = fresh_topic(kafka, P)
    quarantine = fresh_topic(kafka, 1)
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE log_layout SET topic = %s, partitions = %s", (topic, P))
    settings = Settings.told(data=tmp_path)
    with KafkaLog(kafka.servers, topic, P, patience_s=60.0) as log:

        def live(partition: int, reader: LogReader) -> JudgedPartition:
            engine, judging = make_judging(
                settings, dsn, reader, topic=topic, partition=partition,
                on_events=lambda: None, failpoint=lambda name: None,
            )  # fmt: skip
            events = MqttEvents(dsn, lambda *published: None, partition=partition)
            control = ControlDispatcher(dsn, log.at(partition), partition=partition)
            risk = RiskKeeper(dsn, lambda: 0, partition=partition)
            return JudgedPartition(partition, engine, judging, events, control, risk)

        def start() -> OneWorker:
            worker = Worker(
                kafka.servers, topic, live=live, keep=lambda run: None, unreadable=unreadable_rows(dsn, topic),
                data=tmp_path, quarantine=quarantine,
            )  # fmt: skip
            return OneWorker(worker, [])

        def is_judged() -> bool:
            return positions(dsn) == {partition: log.last_number(partition) for partition in range(P)}

        pack = load_pack()
        for partition in range(P):
            ensure_pack(log.at(partition), dsn, pack, partition=partition)
        log.append([Sensors([Sensor(id_of(f"{e}/room/temperature"), e, "room", "temperature") for e in ENTERPRISES])])
        assert {partition_of(enterprise, P) for enterprise in ENTERPRISES} == set(range(P))
        first = start()
        workers = [first]
        try:
            hot(log, 0)
            until(is_judged, "the beginning is judged")
            second = start()
            workers.append(second)
            until(lambda: bool(second.owned()) and bool(first.owned()), "both have a partition")
            facts = DeviceFacts(ENTERPRISES[0], "room", period_s=1.0)
            with psycopg.connect(dsn) as connection:
                connection.execute(
                    "INSERT INTO control_outbox (body, partition) VALUES (%s, %s)",
                    (encode(facts), partition_of(ENTERPRISES[0], P)),
                )
            for at in range(1, 15):
                hot(log, at)
            second.end()
            for at in range(15, 30):
                hot(log, at)
            until(lambda: not waiting(dsn), "what was told is in the log")
            until(is_judged, "everything is judged")
        finally:
            for worker in workers:
                worker.end()
        for partition in range(P):
            events = wanted(kafka, topic, partition)
            assert events
            assert stored(dsn, partition) == events


def waiting(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT count(*) FROM control_outbox WHERE logged_number IS NULL").fetchone()
    assert row is not None
    return int(row[0])
