"""The compiled reader against the obvious way: whatever it takes, admission takes without a word, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ingest.admission import admit_status, admit_telemetry
from ingest.codecs.tocsin_json import TAKEN, decode
from ingest.ports import MessageBatch
from ingest.sensors import SensorTable, Spoken
from schemas.identity import id_of
from schemas.topics import DeviceTopic

Row = tuple[int, int, int, bytes, int, int]
"""Sensor id, event time, arrival, the value's bits, quality, origin."""

TOPICS = ("tocsin/v1/shop/kitchen/telemetry", "tocsin/v1/shop/kitchen/status")
KEYS = ("value", "smoke", "temperature", "temperature.3", "current.L1", "gas", "co", "mains", "call_point", "oxygen")


def known_sensors() -> SensorTable:
    """A table in which the KEYS of both TOPICS are known, numbered as `Door` numbers them: 0 and 1."""
    sensors = SensorTable(seed=bytes(16))
    payload = "{" + ",".join(f'"{key}":1' for key in KEYS) + "}"
    readings = (admit_telemetry(payload.encode(), 0).readings, admit_status(b"online", 0).readings)
    for topic_id, (topic, spoken) in enumerate(zip(TOPICS, readings, strict=True)):
        parsed = DeviceTopic.parse(topic)
        assert parsed is not None
        sensors.settle([Spoken(topic_id, parsed, reading) for reading in spoken])
    return sensors


def compiled(batch: MessageBatch, sensors: SensorTable) -> list[list[Row] | None]:
    """What the compiled reader makes of each message, None where it leaves it to the obvious way."""
    decoded = decode(batch, np.arange(len(batch), dtype=np.int64), sensors)
    rows: list[list[Row] | None] = [[] if state == TAKEN else None for state in decoded.state.tolist()]
    columns = list(decoded.readings.columns())
    columns[3] = columns[3].view(np.int64)
    for message, *row in zip(decoded.message.tolist(), *(column.tolist() for column in columns), strict=True):
        of_message = rows[message]
        assert of_message is not None, "a reading of a message that was not taken"
        row[3] = row[3].to_bytes(8, "little", signed=True)
        of_message.append(tuple(row))
    return rows


def obvious(topic: str, payload: bytes, arrival_us: int) -> list[Row] | None:
    """The same by admission, None where it has a word to say to the device."""
    admit = admit_status if topic.endswith("/status") else admit_telemetry
    outcome = admit(payload, arrival_us)
    if outcome.rejects:
        return None
    return [
        (
            id_of(f"shop/kitchen/{one.key}"), one.event_us, arrival_us, np.float64(one.value).tobytes(),
            int(one.quality), int(one.origin),
        )
        for one in outcome.readings
    ]  # fmt: skip


def disagreements(batch: MessageBatch, messages: Sequence[tuple[str, bytes]], sensors: SensorTable) -> list[bytes]:
    """The payloads that the compiled reader took and read otherwise."""
    return [
        payload
        for (topic, payload), arrival_us, taken in zip(
            messages, batch.arrival_us.tolist(), compiled(batch, sensors), strict=True
        )
        if taken is not None and taken != obvious(topic, payload, arrival_us)
    ]
