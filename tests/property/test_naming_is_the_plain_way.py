"""New sensors by the compiled way against the plain one: the same readings, declarations and refusals."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingest.intake import JsonIntake
from ingest.ports import Admitted, MessageBatch
from ingest.sensors import SENSORS_PER_DEVICE
from schemas.entries import Sensors
from schemas.identity import id_of
from schemas.readings import I64, U8
from tests.messages import Door
from tests.payloads import torn

Message = tuple[str, bytes]

TOPICS = (
    "tocsin/v1/shop/kitchen/telemetry",
    "tocsin/v1/shop/kitchen/status",
    "tocsin/v1/shop/panel/telemetry",
    f"tocsin/v1/{'e' * 64}/{'d' * 64}/telemetry",
    f"tocsin/v1/{'e' * 65}/d/telemetry",
    "tocsin/v1/shop//telemetry",
    "tocsin/v1/shop/a/b/telemetry",
    "tocsin/v1/shop/é/telemetry",
    "tocsin/v1//telemetry",
)
payloads = st.one_of(
    torn(),
    st.sampled_from(
        [
            b'{"current.L1":1,"current.L2":2}',
            b'{"ts":1790000000000,"residual_current.abcdefghijklmnop":3}',
            b'{"current.":1}',
            b'{"current.L1.L2":1}',
            b'{"current.abcdefghijklmnopq":1}',
            b'{"smoke":"current"}',
            b'[{"ts":1790000000000,"smoke":1},{"ts":1790000001000,"smoke":2,"gas":1}]',
            b"online",
        ]
    ),
)
batches = st.lists(st.lists(st.tuples(st.sampled_from(TOPICS), payloads), max_size=6), max_size=3)


class PlainIntake(JsonIntake):
    """Takes no new sensor by the compiled way."""

    def _name_new(self, messages: MessageBatch, which: I64, state: U8, parts: list[object]) -> U8:  # type: ignore[override]
        return state


def told(admitted: Admitted) -> tuple[object, ...]:
    columns = [column.tolist() for column in admitted.readings.columns()]
    return columns, {sensor.id: sensor for sensor in admitted.sensors}, list(admitted.refused)


@settings(deadline=None, max_examples=300)
@given(batches)
@example([[(TOPICS[0], b'{"smoke":1,"smok":2}'), (TOPICS[0], b'{"smoke":1,"gas":2}')]])
@example([[(TOPICS[0], b'{"smoke":1}')], [(TOPICS[0], b'{"smoke":1,"gas":2}'), (TOPICS[2], b'{"gas":1}')]])
def test_a_new_sensor_is_new_by_the_same_rules(rounds: list[list[Message]]) -> None:
    """Twice as many sensors, or other ids, would be other alarms."""
    door, other = Door(), Door()
    ours, plain = JsonIntake(), PlainIntake()
    for messages in rounds:
        assert told(ours.take(door.batch(messages))) == told(plain.take(other.batch(messages)))
        ours.committed()
        plain.committed()
        assert ours.known_sensors == plain.known_sensors


def test_a_morning_of_new_devices_goes_the_compiled_way() -> None:
    """Or a province that comes back at once would cost minutes."""
    door, intake = Door(), JsonIntake()
    topics = [f"tocsin/v1/shop-{i}/panel/telemetry" for i in range(300)]
    admitted = intake.take(door.batch([(topic, b'{"temperature.1":20.5,"online":true}') for topic in topics]))
    wanted = [id_of(f"shop-{i}/panel/{key}") for i in range(300) for key in ("temperature.1", "online")]
    assert admitted.readings.sensor_id.tolist() == wanted
    assert [sensor.id for sensor in admitted.sensors] == wanted
    assert {(s.device, s.measure, s.channel, s.unit) for s in admitted.sensors} == {
        ("panel", "temperature", "1", "Cel"),
        ("panel", "online", "", "flag"),
    }


def test_no_device_passes_its_limit_whichever_way_its_sensors_came() -> None:
    """A bad client cannot fill memory by sending everything in one round."""
    door, intake = Door(), JsonIntake()
    payloads = [
        ("{" + ",".join(f'"value.{part}x{i}":1' for i in range(200)) + "}").encode() for part in range(7)
    ]
    admitted = intake.take(door.batch([(TOPICS[0], payload) for payload in payloads]))
    assert len(admitted.sensors) == intake.known_sensors == SENSORS_PER_DEVICE
    assert len(np.unique(admitted.readings.sensor_id)) == SENSORS_PER_DEVICE
    assert [refused.message for refused in admitted.refused] == [5, 6]
    assert isinstance(admitted.sensors, Sensors)
