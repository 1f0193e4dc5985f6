"""Refused messages enter a log in Kafka again: the same readings, in the partition of their enterprise."""

from __future__ import annotations

import psycopg
import pytest

from ingest.payloads import Payloads, WantedRefusals
from ingest.ports import Kept
from ingest.quarantine import keep
from ingest.replaying import Replayer, write_behind
from schemas.errors import Reject
from schemas.identity import id_of, partition_of
from schemas.payloads import Mend
from schemas.readings import Origin, ReadingBatch
from schemas.viewers import house
from streams.log.kafka import KafkaLog
from streams.log.kafka_reader import KafkaLogReader
from tests.kafka_topics import PATIENCE_S, fresh_topic
from tests.log_reading import read_all
from tocsin.local.kafka import Kafka

pytestmark = [pytest.mark.integration, pytest.mark.kafka]
AT_US = 1_790_000_000_000_000
NOW_US = AT_US + 600_000_000
WRONG = (Reject("unknown_measure", "temprature", "There is no measure of this name.", "Use a measure's name."),)


def test_a_replay_reaches_the_partition_of_its_enterprise(kafka: Kafka, dsn: str) -> None:
    """Sensors are declared first, so a worker that has never heard of the device knows what it reads."""
    payload = b'{"temprature": 21.5, "smoke": 0.1}'
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        keep(cursor, [
            Kept(AT_US + k, shop, "boiler", f"tocsin/v1/{shop}/boiler/telemetry", "c", payload, WRONG, "door-1")
            for k, shop in enumerate(("shop-1", "shop-2"))
        ])  # fmt: skip
    payloads = Payloads(dsn)
    with KafkaLog(kafka.servers, fresh_topic(kafka, 3), 3, patience_s=PATIENCE_S) as log:
        replayer = Replayer(dsn, write_behind(log.append, dsn), lambda: NOW_US)
        assert payloads.replay(house(), WantedRefusals(), Mend(rename={"temprature": "temperature"})).asked == 2
        assert replayer.turn() == 2
        assert replayer.turn() == 0
        assert not payloads.quarantine(house()).messages
        for k, shop in enumerate(("shop-1", "shop-2")):
            reader = KafkaLogReader(kafka.servers, log.topic, partition_of(shop, 3))
            sensors = {id_of(f"{shop}/boiler/{one}") for one in ("temperature", "smoke")}
            said = [
                one.payload
                for one in read_all(reader, 0, 2 if partition_of("shop-1", 3) != partition_of("shop-2", 3) else 4)
            ]
            batches = [one for one in said if isinstance(one, ReadingBatch)]
            found = {
                (number, event_us, origin)
                for batch in batches
                for number, event_us, origin in zip(
                    batch.sensor_id.tolist(), batch.event_time.tolist(), batch.origin.tolist(), strict=True
                )
                if number in sensors
            }
            assert found == {(number, AT_US + k, Origin.REPLAY_END) for number in sensors}
            reader.close()
        replayer.close()
    payloads.close()
