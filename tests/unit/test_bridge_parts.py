"""The parts of a bridge that need no broker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ingest.bridge.committed import Committed
from ingest.bridge.limits import BridgeSettings, Counts, Dropped
from ingest.bridge.outbox import Outbox, Way
from ingest.bridge.oversize import KEPT, Oversize
from ingest.bridge.sessions import Role, adopted_session, common_session, own_session
from ingest.door.repeats import Fingerprints
from ingest.door.scan import Found
from schemas import mqtt
from schemas.errors import ConfigError
from schemas.mqtt import Bare, Publish, Type
from schemas.mqtt_fields import ProtocolFault
from schemas.readings import U8
from tests.door_world import ERRORS, TELEMETRY

# --- settings ---


def test_an_address_names_scheme_host_port_and_user() -> None:
    """The password may be in it, but is better kept apart; what is escaped is meant literally."""
    plain = BridgeSettings.of("b", "mqtt://broker")
    assert (plain.host, plain.port, plain.tls, plain.username) == ("broker", 1883, False, "")
    full = BridgeSettings.of("b", "mqtts://me%40here:in%3Aurl@broker:9999", group="")
    assert (full.port, full.tls, full.username, full.password) == (9999, True, "me@here", "in:url")
    assert BridgeSettings.of("b", "mqtts://me@broker", password="apart").password == "apart"
    assert "apart" not in repr(BridgeSettings.of("b", "mqtts://me@broker", password="apart"))


@pytest.mark.parametrize("url", ["broker:1883", "http://broker", "mqtt://", "mqtt://broker/topic", "mqtt://broker:x"])
def test_what_is_no_address_is_refused_with_the_form(url: str) -> None:
    """A typo must not look like a broker that is away."""
    with pytest.raises(ConfigError, match="mqtt://HOST:PORT"):
        BridgeSettings.of("b", url)


def test_a_group_and_an_authority_are_looked_at_early(tmp_path: Path) -> None:
    """Neither could ever work."""
    with pytest.raises(ConfigError, match="TOCSIN_BROKER_SHARE"):
        BridgeSettings.of("b", "mqtt://broker", group="a/b")
    with pytest.raises(ConfigError, match="TOCSIN_BROKER_CA"):
        BridgeSettings.of("b", "mqtt://broker", ca=tmp_path / "none.crt")


def test_sessions_of_a_group_and_without_one() -> None:
    """Shared subscriptions bring no retained status, so a group has a common session beside its own ones."""
    group = BridgeSettings.of("b", "mqtt://broker", group="g")
    own = own_session(group)
    assert own is not None and own.wanted == ("$share/g/tocsin/v1/+/+/telemetry",)
    assert common_session(group).wanted == ("tocsin/v1/+/+/status",)
    adopted = adopted_session(group, "dead")
    assert (adopted.role, adopted.wanted, adopted.unwanted) == (Role.ADOPTED, (), own.wanted)
    alone = BridgeSettings.of("b", "mqtt://broker", group="")
    assert own_session(alone) is None
    assert common_session(alone).wanted == ("tocsin/v1/+/+/telemetry", "tocsin/v1/+/+/status")


# --- answers on their way to the broker ---


class Wire:
    """What was sent, as packets."""

    def __init__(self) -> None:
        self.packets: list[Publish] = []

    def way(self, receive_maximum: int = 100, largest: int = 10_000) -> Way:
        return Way(mqtt.V5, receive_maximum, largest, self._send)

    def _send(self, frame: bytes) -> None:
        packet = mqtt.decode(frame, mqtt.V5)
        assert isinstance(packet, Publish)
        self.packets.append(packet)

    def taken(self) -> list[bytes]:
        payloads = [one.payload for one in self.packets]
        self.packets.clear()
        return payloads


def test_an_answer_stays_until_the_broker_has_it() -> None:
    """Over a reconnect it goes again, in order, marked as repeated where the session is the same."""
    counts, wire = Counts(), Wire()
    outbox = Outbox(10, counts)
    outbox.put(ERRORS, b"1")
    outbox.attach(wire.way(receive_maximum=2), is_resumed=False)
    outbox.put(ERRORS, b"2")
    outbox.put(ERRORS, b"3")
    first = list(wire.packets)
    assert wire.taken() == [b"1", b"2"]
    outbox.acknowledged(first[0].packet_id, 0)
    assert wire.taken() == [b"3"]
    outbox.detach()
    outbox.put(ERRORS, b"4")
    again = Wire()
    outbox.attach(again.way(), is_resumed=True)
    assert [(one.payload, one.dup) for one in again.packets] == [(b"2", True), (b"3", True), (b"4", False)]
    for packet in again.packets:
        outbox.acknowledged(packet.packet_id, 0)
    assert len(outbox) == 0


def test_what_the_broker_does_not_take_is_counted() -> None:
    """Refused, too large for it, or too many that wait."""
    counts, wire = Counts(), Wire()
    outbox = Outbox(2, counts)
    for payload in (b"1", b"2", b"3"):
        outbox.put(ERRORS, payload)
    assert counts.dropped[Dropped.QUEUE_FULL] == 1
    outbox.attach(wire.way(largest=200), is_resumed=False)
    packets = list(wire.packets)
    assert wire.taken() == [b"2", b"3"]
    outbox.acknowledged(packets[0].packet_id, 0x87)
    outbox.put(ERRORS, b"x" * 300)
    outbox.acknowledged(9_999, 0)
    assert counts.dropped[Dropped.UNPUBLISHED] == 2
    assert wire.taken() == [] and len(outbox) == 1


# --- messages over the limit ---


@pytest.mark.parametrize("version", [mqtt.V311, mqtt.V5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_of_a_message_over_the_limit_the_head_is_known(version: int, qos: int) -> None:
    """Whatever its version and level, and however its bytes come."""
    frame = mqtt.encode(Publish(TELEMETRY, b"y" * 10_000, qos, packet_id=7 if qos else 0), version)
    oversize = Oversize()
    oversize.begin(frame[:6_000], version, len(frame) - 6_000)
    assert oversize.is_passing and oversize.finish() is None
    assert oversize.pass_by(1_000) == 1_000 and oversize.finish() is None
    assert oversize.pass_by(100_000) == len(frame) - 7_000
    head = oversize.finish()
    assert head is not None and not oversize.is_passing
    assert (head.topic, head.payload, head.qos, head.packet_id) == (TELEMETRY, b"y" * KEPT, qos, 7 if qos else 0)
    refused = head.refused(5_000)
    assert refused is not None and refused.rejects[0].code == "too_large"


def test_a_large_packet_that_is_no_message_is_a_fault() -> None:
    """Its length cannot be believed either."""
    with pytest.raises(ProtocolFault):
        Oversize().begin(mqtt.encode(Bare(Type.PINGRESP), mqtt.V5), mqtt.V5, 100)


def test_a_message_over_the_limit_of_no_device_is_nobodys() -> None:
    """Quarantine is kept by device."""
    frame = mqtt.encode(Publish("elsewhere", b"y" * 100, 0), mqtt.V311)
    oversize = Oversize()
    oversize.begin(frame, mqtt.V311, 0)
    head = oversize.finish()
    assert head is not None and head.refused(10) is None


# --- what comes again ---


def found_of(*messages: tuple[int, bytes]) -> tuple[U8, Found]:
    """Packet id and payload of messages on one topic."""
    found, laid = Found(len(messages)), bytearray()
    for packet_id, payload in messages:
        start = len(laid)
        laid += TELEMETRY.encode() + payload
        middle = start + len(TELEMETRY)
        found.add(0, (start, middle), (middle, len(laid)), 1, packet_id)
    return np.frombuffer(laid, np.uint8), found


def test_a_message_is_known_by_its_packet_id_and_its_bytes() -> None:
    """Packet ids are used again, and devices say the same again: only both together are a repeat."""
    committed = Committed(Fingerprints())
    buffer, found = found_of((1, b"a"), (2, b"b"), (1, b"b"), (3, b"a"))
    assert not committed.holds(buffer, found, 0)
    committed.add(buffer, found, np.array([0, 1], np.int64))
    assert [committed.holds(buffer, found, row) for row in range(4)] == [True, True, False, False]
    committed.add(buffer, found, np.array([2], np.int64))
    assert [committed.holds(buffer, found, row) for row in range(4)] == [False, True, True, False]
    committed.forget()
    assert not any(committed.holds(buffer, found, row) for row in range(4))
