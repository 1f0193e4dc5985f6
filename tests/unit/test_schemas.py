"""The common language: identities, entries and events keep their bytes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.alarms import AlarmEvent, Evidence, Grade, Kind, State, decode_event, encode_event
from schemas.entries import (
    ClockStepped,
    DeviceFacts,
    EntryKind,
    PackActivated,
    Payload,
    ResetAsked,
    Sensor,
    Sensors,
    Tick,
    decode,
    encode,
    kind_of,
)
from schemas.errors import CorruptState
from schemas.identity import VECTORS, SensorKey, alarm_key, id_of, partition_of
from schemas.measures import BY_CODE, BY_NAME, MEASURES
from schemas.readings import ReadingBatch
from schemas.topics import DeviceTopic, device_topic


@pytest.mark.parametrize(("key", "number"), VECTORS)
def test_ids_are_the_published_ones(key: str, number: int) -> None:
    """Other languages compute them too; a change would orphan every stored reading."""
    assert id_of(key) == number
    assert str(SensorKey.parse(key)) == key


def test_the_alarm_key_is_the_published_one() -> None:
    """Receivers of webhooks keep keys."""
    assert alarm_key("shop-1/kitchen/temperature", "heat", 1790000000000000) == "13d9591ab2029644035c77fc6e36c51e"


@pytest.mark.parametrize(
    "bad", ["a/b", "a/b/c/d", "/b/c", "a b/c/d", "a/b/c.", "a/b/c." + "x" * 17, "a/" + "b" * 65 + "/c"]
)
def test_a_malformed_sensor_key_is_refused(bad: str) -> None:
    """A key is an identity for ever."""
    with pytest.raises(ValueError, match=r"sensor key|channel|unpack"):
        SensorKey.parse(bad)


def test_an_enterprise_stays_in_one_partition() -> None:
    """Its sensors and alarms stay in order and in one place."""
    assert {partition_of("shop-1", 8) for _ in range(3)} == {id_of("shop-1") % 8}


def test_measures_have_stable_unique_names_and_codes() -> None:
    """Codes stand in checkpoints."""
    assert len(BY_NAME) == len(BY_CODE) == len(MEASURES)
    assert [m.code for m in MEASURES] == list(range(len(MEASURES)))
    for m in MEASURES:
        assert m.physical[0] <= m.instrument[0] < m.instrument[1] <= m.physical[1], m.name


PAYLOADS: list[Payload] = [
    Sensors([Sensor(1, "e", "d", "temperature", "3")]),
    Tick(5),
    PackActivated("v", "[[rule]]"),
    DeviceFacts("e", "d", rated_current_a=32.0, profiles=("co.us",)),
    ResetAsked("c", "a" * 32, 3, "somebody"),
    ClockStepped(3_600_000_000, 7),
]


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda p: type(p).__name__)
def test_an_entry_reads_back_as_written(payload: Payload) -> None:
    """The log is the truth."""
    assert decode(kind_of(payload), encode(payload)) == payload


@pytest.mark.parametrize("kind", EntryKind)
def test_bytes_that_are_no_entry_are_said_to_be_corrupt(kind: EntryKind) -> None:
    """Never a silent skip."""
    with pytest.raises(CorruptState):
        decode(kind, b"\x93not an entry")


@given(st.lists(st.tuples(st.integers(0, 2**63 - 1), st.integers(-(2**62), 2**62), st.floats(allow_nan=False))))
def test_a_batch_reads_back_as_written(rows: list[tuple[int, int, float]]) -> None:
    """Every bit of every column, the empty batch included."""
    n = len(rows)
    batch = ReadingBatch.of(
        [r[0] for r in rows], [r[1] for r in rows], [r[1] for r in rows], [r[2] for r in rows], [1] * n, [2] * n
    )
    back = ReadingBatch.from_ipc(batch.to_ipc())
    for a, b in zip(batch.columns(), back.columns(), strict=True):
        assert a.dtype == b.dtype
        assert a.tolist() == b.tolist()


@pytest.mark.parametrize("part", [slice(0), slice(1), slice(3, 8), slice(None), slice(None, None, 2)])
def test_a_batch_is_the_stream_that_arrow_writes(part: slice) -> None:
    """Anybody reads the log with a library of his own, so we write nothing of our making."""
    numbers = np.arange(1000)
    batch = ReadingBatch.of(numbers, numbers, numbers, numbers / 7, [1] * 1000, [2] * 1000).take(part)
    body = batch.to_ipc()
    stream = pa.ipc.open_stream(body)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, stream.schema) as writer:
        writer.write_table(stream.read_all())
    if len(batch):
        assert sink.getvalue().to_pybytes() == body
    assert stream.schema.field("event_time").type == pa.timestamp("us", tz="UTC")
    assert ReadingBatch.from_ipc(body).value.tolist() == batch.value.tolist()


def test_an_alarm_event_reads_back_as_written() -> None:
    """It stands in a table for years."""
    event = AlarmEvent(
        key="k", step=1, partition=0, seq=1, state=State.RAISED, subject="e/d/temperature", enterprise="e", device="d",
        measure="temperature", family="heat", kind=Kind.FIRE, grade=Grade.RED, previous=Grade.NONE, active=True,
        latched=True, onset_us=1, event_us=2, received_us=3, now_us=4, entry=5,
        evidence=Evidence("heat.fire", "v", 60.0, 56.0, "Cel", 10.0, None),
    )  # fmt: skip
    assert decode_event(encode_event(event)) == event


@pytest.mark.parametrize(
    "topic", ["tocsin/v1/e/d/other", "tocsin/v2/e/d/telemetry", "tocsin/v1/e d/d/telemetry", "tocsin/v1/e/d", ""]
)
def test_a_foreign_topic_is_no_device_topic(topic: str) -> None:
    """Only version 1's own words are ours."""
    assert DeviceTopic.parse(topic) is None
    assert DeviceTopic.parse(device_topic("e", "d", "status")) == ("e", "d", "status")
