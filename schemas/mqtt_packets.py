"""MQTT 3.1.1 and 5 packets as values. `schemas.mqtt` reads and writes them. Sources: OASIS MQTT 3.1.1 and 5.0."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

from schemas.mqtt_fields import Properties

V311 = 4
V5 = 5


class Type(IntEnum):
    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


@dataclass(frozen=True, slots=True)
class Will:
    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: Properties = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Connect:
    client_id: str
    version: int = V311
    clean: bool = True
    """Clean Session in 3.1.1, Clean Start in 5."""
    keep_alive_s: int = 60
    username: str | None = None
    password: bytes | None = None
    will: Will | None = None
    properties: Properties = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Connack:
    session_present: bool
    code: int = 0
    """A reason code in 5, a return code (0 to 5) in 3.1.1."""
    properties: Properties = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Publish:
    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    dup: bool = False
    packet_id: int = 0
    properties: Properties = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ack:
    """PUBACK, PUBREC, PUBREL or PUBCOMP."""

    type: Type
    packet_id: int
    reason: int = 0


@dataclass(frozen=True, slots=True)
class Subscription:
    filter: str
    qos: int = 0
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0


@dataclass(frozen=True, slots=True)
class Subscribe:
    packet_id: int
    subscriptions: tuple[Subscription, ...]
    properties: Properties = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    packet_id: int
    filters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Suback:
    """SUBACK, or UNSUBACK (which has no codes in 3.1.1)."""

    type: Type
    packet_id: int
    codes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Bare:
    """PINGREQ or PINGRESP."""

    type: Type


@dataclass(frozen=True, slots=True)
class Disconnect:
    reason: int = 0
    properties: Properties = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Auth:
    reason: int = 0
    properties: Properties = field(default_factory=dict)


Packet: TypeAlias = Connect | Connack | Publish | Ack | Subscribe | Unsubscribe | Suback | Bare | Disconnect | Auth
