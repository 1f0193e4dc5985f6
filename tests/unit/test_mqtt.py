"""MQTT packets: what is written reads back, and what breaks MQTT is refused with its reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import mqtt
from schemas.mqtt import (
    Ack,
    Auth,
    Bare,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Publish,
    Suback,
    Subscribe,
    Subscription,
    Type,
    Unsubscribe,
    Will,
)
from schemas.mqtt_fields import LARGEST_REMAINING, Prop, ProtocolFault, Reader, Reason, varint

EVERY = [
    Connect("c"),
    Connect("", clean=False, keep_alive_s=0, username="u", password=b"\x00p", will=Will("t", b"w", 1, True)),
    Connack(True, 0),
    Publish("t/ä", b"", 0, True),
    Publish("t", b"x" * 300, 2, False, True, 65535),
    *(Ack(kind, 7) for kind in (Type.PUBACK, Type.PUBREC, Type.PUBREL, Type.PUBCOMP)),
    Subscribe(1, (Subscription("a/#", 2), Subscription("b", 0))),
    Suback(Type.SUBACK, 1, (0, 1, 0x80)),
    Unsubscribe(2, ("a/#", "b")),
    Suback(Type.UNSUBACK, 2),
    Bare(Type.PINGREQ),
    Bare(Type.PINGRESP),
    Disconnect(),
]
EVERY_5 = [
    Connect("c", 5, properties={Prop.SESSION_EXPIRY: 9, Prop.RECEIVE_MAXIMUM: 3, Prop.USER: [("a", "b"), ("a", "c")]}),
    Connect("c", 5, password=b"only", will=Will("t", b"w", properties={Prop.WILL_DELAY: 5})),
    Connack(False, 0x87, {Prop.REASON_STRING: "no", Prop.ASSIGNED_CLIENT_ID: "x", Prop.SERVER_KEEP_ALIVE: 30}),
    Publish("t", b"x", 1, packet_id=1, properties={Prop.TOPIC_ALIAS: 4, Prop.CORRELATION_DATA: b"\x00"}),
    Publish("t", b"x", properties={Prop.SUBSCRIPTION_ID: [1, 200_000]}),
    Ack(Type.PUBACK, 7, 0x87),
    Subscribe(1, (Subscription("a", 1, True, True, 2),), {Prop.SUBSCRIPTION_ID: [5]}),
    Suback(Type.UNSUBACK, 2, (0, 0x11)),
    Disconnect(0x8E, {Prop.REASON_STRING: "taken"}),
    Auth(0x18, {Prop.AUTH_METHOD: "m", Prop.AUTH_DATA: b"d"}),
]


@pytest.mark.parametrize("packet", EVERY, ids=repr)
def test_what_is_written_in_3_1_1_reads_back(packet: Packet) -> None:
    assert mqtt.decode(mqtt.encode(packet, mqtt.V311), mqtt.V311) == packet


@pytest.mark.parametrize("packet", [*EVERY[2:], *EVERY_5], ids=repr)
def test_what_is_written_in_5_reads_back(packet: Packet) -> None:
    assert mqtt.decode(mqtt.encode(packet, mqtt.V5), mqtt.V5) == packet


def test_a_connect_as_the_standard_prints_it() -> None:
    """MQTT 3.1.1, figure 3.6, with a client id: the bytes are the contract, not our own reading of them."""
    frame = bytes.fromhex("10 0d 0004 4d515454 04 02 000a 0001 61")
    assert mqtt.encode(Connect("a", keep_alive_s=10), mqtt.V311) == frame


@pytest.mark.parametrize(("value", "wanted"), [(0, "00"), (127, "7f"), (128, "8001"), (16_383, "ff7f"),
                                               (16_384, "808001"), (LARGEST_REMAINING, "ffffff7f")])  # fmt: skip
def test_lengths_as_the_standard_prints_them(value: int, wanted: str) -> None:
    """Table 2.4."""
    assert varint(value).hex() == wanted
    assert Reader(varint(value)).varint() == value


def test_a_field_or_a_length_that_mqtt_cannot_say_is_refused() -> None:
    with pytest.raises(ValueError):
        varint(LARGEST_REMAINING + 1)
    with pytest.raises(ValueError):
        mqtt.encode(Publish("t" * 65_536, b""), mqtt.V311)


REFUSED = [
    ("no type 0", "0000", 4, Reason.MALFORMED),
    ("shorter than it says", "300500016100", 4, Reason.MALFORMED),
    ("longer than it says", "c00000", 4, Reason.MALFORMED),
    ("flags of PINGREQ", "c100", 4, Reason.MALFORMED),
    ("flags of SUBSCRIBE", "8006000100016100", 4, Reason.MALFORMED),
    ("AUTH in 3.1.1", "f000", 4, Reason.MALFORMED),
    ("QoS 3", "36050001610001", 4, Reason.MALFORMED),
    ("DUP with QoS 0", "3803000161", 4, Reason.MALFORMED),
    ("packet id 0", "32050001610000", 4, Reason.PROTOCOL_ERROR),
    ("wildcard in a topic", "300300012b", 4, Reason.TOPIC_NAME_INVALID),
    ("empty topic", "30020000", 4, Reason.TOPIC_NAME_INVALID),
    ("empty topic with an alias", "3006000003230001", 5, Reason.TOPIC_ALIAS_INVALID),
    ("U+0000 in a string", "3003000100", 4, Reason.MALFORMED),
    ("not UTF-8", "30030001ff", 4, Reason.MALFORMED),
    ("a surrogate", "30050003eda080", 4, Reason.MALFORMED),
    ("no filter", "82020001", 4, Reason.PROTOCOL_ERROR),
    ("options", "8206000100016103", 4, Reason.MALFORMED),
    ("no filter to leave", "a2020001", 4, Reason.PROTOCOL_ERROR),
    ("another protocol", "100c00044d51545503020000" + "0000", 4, Reason.UNSUPPORTED_VERSION),
    ("reserved flag", "100c00044d51545404030000" + "0000", 4, Reason.MALFORMED),
    ("will flags without a will", "100c00044d515454040a0000" + "0000", 4, Reason.MALFORMED),
    ("password without a name", "100e00044d51545404420000" + "00000000", 4, Reason.MALFORMED),
    ("property of another packet", "3007000161" + "03210001", 5, Reason.PROTOCOL_ERROR),
    ("property twice", "3008000161" + "0401000100", 5, Reason.PROTOCOL_ERROR),
    ("a subscription id of 0", "8209000102" + "0b00" + "000161" + "00", 5, Reason.PROTOCOL_ERROR),
    ("no such property", "3006000161027f00", 5, Reason.MALFORMED),
    ("a flag of 2", "3006000161020102", 5, Reason.PROTOCOL_ERROR),
]


@pytest.mark.parametrize(("what", "frame", "version", "reason"), REFUSED, ids=str)
def test_what_breaks_mqtt_is_refused(what: str, frame: str, version: int, reason: Reason) -> None:
    with pytest.raises(ProtocolFault) as refused:
        mqtt.decode(bytes.fromhex(frame), version)
    assert refused.value.reason is reason, what


@given(st.binary(max_size=80), st.sampled_from([mqtt.V311, mqtt.V5]))
def test_any_bytes_read_or_are_refused(data: bytes, version: int) -> None:
    """Nothing but ProtocolFault comes out, and what reads is written and read the same."""
    frame = data[:1] + varint(max(len(data) - 1, 0)) + data[1:]
    try:
        packet = mqtt.decode(frame, version)
    except ProtocolFault:
        return
    told = packet.version if isinstance(packet, Connect) else version
    assert mqtt.decode(mqtt.encode(packet, told), told) == packet
