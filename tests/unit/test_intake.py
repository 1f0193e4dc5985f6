"""Codec and admission together: order, declarations, back-fill, status, bounds."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from ingest.intake import JsonIntake
from ingest.quarantine import Name
from ingest.replaying import Again, admit_again
from schemas.identity import id_of
from schemas.readings import Origin
from tests.messages import ARRIVAL_US, Door

KITCHEN = "tocsin/v1/shop/kitchen/telemetry"
PANEL = "tocsin/v1/shop/panel/telemetry"
STATUS = "tocsin/v1/shop/kitchen/status"
TEMPERATURE = id_of("shop/kitchen/temperature")


def warm(door: Door, intake: JsonIntake, payload: bytes = b'{"temperature":1,"smoke":1}') -> None:
    """Make the kitchen's sensors known, so that the next messages take the compiled way."""
    intake.take(door.batch([(KITCHEN, payload)]))
    intake.committed()


def test_a_reading_without_a_time_is_as_of_its_arrival() -> None:
    """Arrivals rise strictly, so no two readings of a sensor share an event time."""
    door, intake = Door(), JsonIntake()
    readings = intake.take(door.batch([(KITCHEN, b'{"temperature": %d}' % i) for i in range(100)])).readings
    assert readings.value.tolist() == list(range(100))
    assert readings.event_time.tolist() == readings.arrival_time.tolist()
    assert readings.arrival_time.tolist() == list(range(ARRIVAL_US, ARRIVAL_US + 100))
    assert set(readings.sensor_id.tolist()) == {TEMPERATURE}


def test_readings_come_out_in_the_order_of_their_messages_whichever_way_they_took() -> None:
    """A sensor's readings must stand in the log in the order in which they were received."""
    door, intake = Door(), JsonIntake()
    warm(door, intake)
    admitted = intake.take(
        door.batch(
            [
                (KITCHEN, b'{"temperature": 1}'),
                (PANEL, b'{"current.L1": 2}'),  # a new sensor
                (KITCHEN, b'{"temperature": 3, "wrong": 1}'),  # refused in part
                (KITCHEN, b'{"temperature": 4}'),
                (PANEL, b'{"current.L1": 5}'),
            ]
        )
    )
    assert admitted.readings.value.tolist() == [1, 2, 3, 4, 5]
    assert [refused.message for refused in admitted.refused] == [2]


def test_new_sensors_are_declared_until_the_log_has_them() -> None:
    """The log may refuse a round; what it does not hold must be said again."""
    door, intake = Door(), JsonIntake()
    first = intake.take(door.batch([(PANEL, b'{"current.L1": 1, "current.L2": 2}')]))
    assert [sensor.key for sensor in first.sensors] == ["shop/panel/current.L1", "shop/panel/current.L2"]
    assert [sensor.id for sensor in first.sensors] == first.readings.sensor_id.tolist()
    assert {sensor.unit for sensor in first.sensors} == {"A"}
    again = intake.take(door.batch([(PANEL, b'{"current.L1": 1}'), (PANEL, b'{"voltage.L1": 230}')]))
    assert [sensor.channel for sensor in again.sensors] == ["L1", "L2", "L1"]
    assert len(first.sensors) == 2, "what was handed out does not change afterwards"
    intake.committed()
    assert not intake.take(door.batch([(PANEL, b'{"current.L1": 1}')])).sensors


def test_the_last_reading_of_each_sensor_of_an_array_ends_its_back_fill() -> None:
    """The engine tells of a back-fill's alarms at its end; compiled and obvious way alike."""
    door, intake = Door(), JsonIntake()
    payload = b'[{"ts":1789999990000,"smoke":1},{"ts":1789999991000,"temperature":2},{"ts":1789999992000,"smoke":3}]'
    expected = [Origin.REPLAY, Origin.REPLAY_END, Origin.REPLAY_END]
    for _ in range(2):
        both = intake.take(door.batch([(KITCHEN, payload), (KITCHEN, payload)])).readings
        assert both.origin.tolist() == expected * 2
        assert both.event_time[:3].tolist() == [ARRIVAL_US - 10_000_000 + i * 1_000_000 for i in range(3)]


def test_status_words_are_readings_of_online() -> None:
    """A device's last will is a reading like any other."""
    door, intake = Door(), JsonIntake()
    for _ in range(2):
        batch = door.batch([(STATUS, b"online"), (STATUS, b"offline"), (STATUS, b'"online"'), (STATUS, b"")])
        admitted = intake.take(batch)
        assert admitted.readings.value.tolist() == [1.0, 0.0]
        assert set(admitted.readings.sensor_id.tolist()) == {id_of("shop/kitchen/online")}
        assert [(r.message, r.rejects[0].code) for r in admitted.refused] == [(2, "status"), (3, "status")]


def test_a_device_that_names_too_many_sensors_is_told_and_bounded() -> None:
    """A client that invents channels must not fill memory; its known sensors go on."""
    door, intake = Door(), JsonIntake(sensors_per_device=3)
    payload = b"{" + b",".join(b'"value.c%d":%d' % (i, i) for i in range(10)) + b"}"
    for _ in range(2):
        admitted = intake.take(door.batch([(KITCHEN, payload), (PANEL, b'{"value": 1}')]))
        assert admitted.readings.value.tolist() == [0, 1, 2, 1]
        (refused,) = admitted.refused
        assert refused.kept
        assert [(reject.code, reject.field) for reject in refused.rejects] == [("too_many_sensors", "value.c3")]
    assert intake.known_sensors == 4


def test_a_clock_to_mend_is_an_answer_and_refuses_nothing() -> None:
    """The message needs no quarantine: every reading of it is in the log."""
    door, intake = Door(), JsonIntake()
    admitted = intake.take(door.batch([(KITCHEN, b'{"ts": 1790000000, "temperature": 20}')]))
    assert admitted.readings.value.tolist() == [20]
    assert [(r.kept, r.rejects[0].code) for r in admitted.refused] == [(False, "ts_unit")]


def test_a_topic_that_nothing_is_read_from_is_refused() -> None:
    """The door lets no such topic pass; if it did, the message would not vanish without a word."""
    door, intake = Door(), JsonIntake()
    admitted = intake.take(door.batch([("tocsin/v1/a/b/errors", b'{"smoke":1}'), ("x", b"online")]))
    assert [r.rejects[0].code for r in admitted.refused] == ["topic", "topic"]


def test_a_refused_message_is_handed_over_whole() -> None:
    """Quarantine replays it after the mend."""
    door, intake = Door(), JsonIntake()
    (refused,) = intake.take(door.batch([(KITCHEN, b'{"temperature": "warm"}')])).refused
    assert (refused.enterprise, refused.device, refused.topic) == ("shop", "kitchen", KITCHEN)
    assert (refused.payload, refused.arrival_us, refused.kept) == (b'{"temperature": "warm"}', ARRIVAL_US, True)


def test_an_empty_round_gives_nothing() -> None:
    """The door may call with only control packets read."""
    admitted = JsonIntake().take(Door().batch([]))
    assert (len(admitted.readings), len(admitted.sensors), list(admitted.refused)) == (0, 0, [])


def test_a_message_outside_its_buffer_stops_the_round() -> None:
    """That is our own mistake, and the kernel must not read foreign memory for it."""
    batch = Door().batch([(KITCHEN, b'{"temperature": 1}')])
    batch.payload_end[0] += 1000
    with pytest.raises(IndexError):
        JsonIntake().take(batch)


def test_a_round_of_one_new_sensor_in_thousands_of_messages_keeps_every_reading() -> None:
    """Only the first messages go the obvious way; the others are tried compiled again."""
    door, intake = Door(), JsonIntake()
    messages = [(f"tocsin/v1/shop/d{i % 70}/telemetry", b'{"temperature": %d}' % (i % 100)) for i in range(5000)]
    admitted = intake.take(door.batch(messages))
    assert admitted.readings.value.tolist() == [i % 100 for i in range(5000)]
    assert len(admitted.sensors) == 70
    assert np.array_equal(np.sort(np.unique(admitted.readings.sensor_id)), np.sort([s.id for s in admitted.sensors]))


def test_messages_that_are_tried_again_are_read_by_what_was_compiled_for_the_door() -> None:
    """Whoever mends a device's words must not wait half a minute for a compiler, nor the door with him."""
    intake = JsonIntake()
    for _ in range(2):
        intake.take(Door().batch([(KITCHEN, b'{"ts":1790000000000,"temperature":1}')]))
        intake.committed()
    before = signatures()
    verdicts = admit_again([Again(Name(ARRIVAL_US, 0), KITCHEN, b'{"temperature":21.5}')], ARRIVAL_US + 1)
    assert verdicts.entered and signatures() == before


def signatures() -> dict[str, int]:
    """How many kinds of arguments each kernel is compiled for."""
    return {
        f"{module.__name__}.{name}": len(value.signatures)
        for module in list(sys.modules.values())
        if module.__name__.startswith("ingest.")
        for name, value in vars(module).items()
        if hasattr(value, "signatures")
    }
