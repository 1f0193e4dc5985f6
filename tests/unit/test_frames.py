"""Prepared frames: the same bytes as a packet that is built one at a time."""

from __future__ import annotations

import json

import numpy as np
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from schemas.mqtt import V311, Publish, decode, encode
from sensors_sim import frames


def stamped(built: frames.Frames, first: int, count: int, serial: int, ts_ms: int) -> list[Publish]:
    frames.stamp(
        built.rows, first, count, serial, ts_ms, built.id_at, built.ts_at, built.value_at, np.zeros(13, np.uint8)
    )
    packets = [decode(row.tobytes(), V311) for row in built.rows[first : first + count]]
    assert all(isinstance(packet, Publish) for packet in packets)
    return packets  # type: ignore[return-value]


@pytest.mark.parametrize("readings", [1, 3, 100])
@pytest.mark.parametrize("with_ts", [True, False])
def test_a_stamped_row_is_the_packet_that_the_schema_would_build(readings: int, with_ts: bool) -> None:
    built = frames.build(25, 3, readings, with_ts=with_ts)
    for offset, packet in enumerate(stamped(built, 0, 28, 65_530, 1_795_576_620_966)):
        enterprise, device = frames.device_of(offset, 25)
        whole = 23 if offset < 25 else 95
        body = {"ts": 1_795_576_620_966} if with_ts else {}
        for i, name in enumerate(frames.sensors_of(readings)):
            body[name] = round(whole + frames.decimals(65_530 + offset, offset, i) / 100, 2)
        assert packet.topic == f"tocsin/v1/{enterprise}/{device}/telemetry"
        assert packet.packet_id == frames.packet_id(65_530 + offset)
        assert packet.qos == 1
        assert json.loads(packet.payload) == body
        assert built.rows[offset].tobytes() == encode(packet, V311)


def test_a_row_is_what_paho_would_send() -> None:
    built = frames.build(1, 0, 2, with_ts=True)
    (packet,) = stamped(built, 0, 1, 6, 1_795_576_620_966)
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    sent: list[bytes] = []
    client._packet_queue = lambda _command, packet, *_rest: sent.append(bytes(packet))  # type: ignore[method-assign]
    client._sock = unused = object()  # type: ignore[assignment]
    client._send_publish(packet.packet_id, packet.topic.encode(), packet.payload, 1)
    assert client._sock is unused
    client._sock = None
    assert sent == [built.rows[0].tobytes()]


def test_packet_ids_run_from_1_to_65535_and_begin_again() -> None:
    assert [frames.packet_id(serial) for serial in (0, 65_534, 65_535)] == [1, 65_535, 1]


def test_every_device_of_a_load_is_another() -> None:
    assert len({frames.device_of(row, 1000) for row in range(1200)}) == 1200


@pytest.mark.parametrize(("quiet", "readings"), [(0, 1), (1, 0), (1, 1001)])
def test_a_load_of_nothing_is_refused(quiet: int, readings: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 1000"):
        frames.build(quiet, 0, readings, with_ts=True)
