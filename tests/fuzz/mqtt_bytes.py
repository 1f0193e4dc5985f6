"""Streams of MQTT for the fuzzers: packets as clients send them, then torn."""

from __future__ import annotations

import random

from schemas import mqtt
from schemas.mqtt import (
    Ack,
    Auth,
    Bare,
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
from schemas.mqtt_fields import Prop

TOPICS = (
    "tocsin/v1/shop-1/kitchen/telemetry",
    "tocsin/v1/shop-1/kitchen/status",
    "tocsin/v1/x/y/telemetry",
    "a",
    "é/+",
)
PAYLOADS = (b'{"value": 1}', b"online", b"", b"{", b"x" * 200, b"y" * 5000)
_LENGTHS = (b"\xff\xff\xff\x7f", b"\xff" * 5, b"\x80\x80\x00", b"\x30\xff\xff\x7f", b"\x00")
"""Lengths that lie."""
FILTERS = (f"{TOPICS[0][:-9]}#", "#", "+/+", "a/#/b", "$share/g/a", "tocsin/v1/shop-1/alarms", "")


def packet(rng: random.Random) -> Packet:
    number = rng.choice((1, 2, 3, rng.randint(1, 65535)))
    qos = rng.choice((0, 1, 1, 1, 2))
    properties = {Prop.USER: [("a", "b")]} if rng.random() < 0.1 else {}
    if rng.random() < 0.02:
        properties = {Prop.TOPIC_ALIAS: 1}
    publish = Publish(
        rng.choice(TOPICS), rng.choice(PAYLOADS), qos, rng.random() < 0.1, qos > 0 and rng.random() < 0.1, number,
        properties,
    )  # fmt: skip
    if rng.random() < 0.7:
        return publish
    return rng.choice(
        (
            Bare(Type.PINGREQ),
            Ack(Type.PUBREL, number),
            Ack(Type.PUBACK, number),
            Ack(Type.PUBREC, number),
            Subscribe(number, (Subscription(rng.choice(FILTERS), qos), Subscription(rng.choice(FILTERS)))),
            Unsubscribe(number, (rng.choice(FILTERS),)),
            Suback(Type.SUBACK, number, (0,)),
            Auth(0x18, {Prop.AUTH_METHOD: "m"}),
            Disconnect(rng.choice((0, 4)), {Prop.SESSION_EXPIRY: 9} if rng.random() < 0.3 else {}),
            connect(rng, 4),
        )
    )


def connect(rng: random.Random, version: int) -> Connect:
    will = Will(rng.choice(TOPICS[:3]), rng.choice(PAYLOADS[:3]), rng.randrange(2), rng.random() < 0.5)
    properties = {Prop.SESSION_EXPIRY: rng.choice((0, 5, 0xFFFFFFFF)), Prop.RECEIVE_MAXIMUM: rng.choice((1, 9))}
    return Connect(
        rng.choice(("", "a", "b", "c")), version, rng.random() < 0.5, rng.choice((0, 1, 60)),
        will=will if rng.random() < 0.5 else None, properties=properties if version == mqtt.V5 else {},
    )  # fmt: skip


def stream(rng: random.Random, version: int, packets: int) -> bytes:
    return b"".join(mqtt.encode(packet(rng), version) for _ in range(packets))


def tear(data: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, cut, doubled, or made into lengths that lie."""
    torn = bytearray(data)
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        at = rng.randint(0, len(torn))
        to = min(len(torn), at + rng.choice((0, 1, 1, 2, 8, 40)))
        match rng.randrange(5):
            case 0:
                torn[at:to] = bytes(rng.randrange(256) for _ in range(to - at))
            case 1:
                torn[at:to] = b""
            case 2:
                torn[at:at] = torn[at:to] * rng.choice((1, 2, 20))
            case 3:
                torn[at:at] = rng.choice(
                    (b"\xff\xff\xff\x7f", b"\xff" * 5, b"\x80\x80\x00", b"\x30\xff\xff\x7f", b"\x00")
                )
            case _:
                torn[at:to] = rng.choice((b"\x00\x00", b"\xff\xff", b"\x32", b"\x3a", b"\x31", b"\x82"))
    return bytes(torn)
