"""The fields that MQTT packets are made of: integers, strings, and the properties of version 5.

Source: OASIS MQTT 5.0, sections 1.5 and 2.2.2. What does not read raises `ProtocolFault` with its reason code.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, TypeAlias

from schemas.errors import TocsinError


class Reason(IntEnum):
    """Reason codes of version 5 that we send or read."""

    SUCCESS = 0x00
    GRANTED_QOS_1 = 0x01
    DISCONNECT_WITH_WILL = 0x04
    NO_SUBSCRIPTION_EXISTED = 0x11
    UNSPECIFIED = 0x80
    MALFORMED = 0x81
    PROTOCOL_ERROR = 0x82
    UNSUPPORTED_VERSION = 0x84
    CLIENT_ID_NOT_VALID = 0x85
    BAD_LOGIN = 0x86
    NOT_AUTHORIZED = 0x87
    SERVER_UNAVAILABLE = 0x88
    SHUTTING_DOWN = 0x8B
    BAD_AUTHENTICATION_METHOD = 0x8C
    KEEP_ALIVE_TIMEOUT = 0x8D
    TAKEN_OVER = 0x8E
    TOPIC_FILTER_INVALID = 0x8F
    TOPIC_NAME_INVALID = 0x90
    ID_IN_USE = 0x91
    ID_NOT_FOUND = 0x92
    RECEIVE_MAXIMUM_EXCEEDED = 0x93
    TOPIC_ALIAS_INVALID = 0x94
    PACKET_TOO_LARGE = 0x95
    QUOTA_EXCEEDED = 0x97
    ADMINISTRATIVE = 0x98
    QOS_NOT_SUPPORTED = 0x9B
    SHARED_NOT_SUPPORTED = 0x9E
    CONNECTION_RATE_EXCEEDED = 0x9F
    SUBSCRIPTION_IDS_NOT_SUPPORTED = 0xA1


class ProtocolFault(TocsinError):
    """Bytes that break MQTT; `reason` is what a version 5 peer is told."""

    def __init__(self, what: str, reason: Reason = Reason.MALFORMED) -> None:
        super().__init__(what)
        self.reason = reason


class Prop(IntEnum):
    PAYLOAD_FORMAT = 0x01
    MESSAGE_EXPIRY = 0x02
    CONTENT_TYPE = 0x03
    RESPONSE_TOPIC = 0x08
    CORRELATION_DATA = 0x09
    SUBSCRIPTION_ID = 0x0B
    SESSION_EXPIRY = 0x11
    ASSIGNED_CLIENT_ID = 0x12
    SERVER_KEEP_ALIVE = 0x13
    AUTH_METHOD = 0x15
    AUTH_DATA = 0x16
    REQUEST_PROBLEM_INFO = 0x17
    WILL_DELAY = 0x18
    REQUEST_RESPONSE_INFO = 0x19
    RESPONSE_INFO = 0x1A
    SERVER_REFERENCE = 0x1C
    REASON_STRING = 0x1F
    RECEIVE_MAXIMUM = 0x21
    TOPIC_ALIAS_MAXIMUM = 0x22
    TOPIC_ALIAS = 0x23
    MAXIMUM_QOS = 0x24
    RETAIN_AVAILABLE = 0x25
    USER = 0x26
    MAXIMUM_PACKET_SIZE = 0x27
    WILDCARDS_AVAILABLE = 0x28
    SUBSCRIPTION_IDS_AVAILABLE = 0x29
    SHARED_AVAILABLE = 0x2A


Properties: TypeAlias = Mapping[Prop, Any]
"""Values by property: int, str or bytes; `USER` holds a list of pairs of str, `SUBSCRIPTION_ID` a list of int."""

_BYTE = frozenset({Prop.PAYLOAD_FORMAT, Prop.REQUEST_PROBLEM_INFO, Prop.REQUEST_RESPONSE_INFO, Prop.MAXIMUM_QOS,
                   Prop.RETAIN_AVAILABLE, Prop.WILDCARDS_AVAILABLE, Prop.SUBSCRIPTION_IDS_AVAILABLE,
                   Prop.SHARED_AVAILABLE})  # fmt: skip
_SHORT = frozenset({Prop.SERVER_KEEP_ALIVE, Prop.RECEIVE_MAXIMUM, Prop.TOPIC_ALIAS_MAXIMUM, Prop.TOPIC_ALIAS})
_WORD = frozenset({Prop.MESSAGE_EXPIRY, Prop.SESSION_EXPIRY, Prop.WILL_DELAY, Prop.MAXIMUM_PACKET_SIZE})
_BINARY = frozenset({Prop.CORRELATION_DATA, Prop.AUTH_DATA})
_NOT_ZERO = frozenset({Prop.RECEIVE_MAXIMUM, Prop.MAXIMUM_PACKET_SIZE, Prop.SUBSCRIPTION_ID})
LARGEST_REMAINING = 268_435_455


class Reader:
    """Reads fields one after the other from the body of one packet."""

    __slots__ = ("_at", "_body")

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._body) - self._at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise ProtocolFault("a packet ends within a field")
        piece = self._body[self._at : self._at + count]
        self._at += count
        return piece

    def rest(self) -> bytes:
        return self.take(self.left)

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def varint(self) -> int:
        value = 0
        for shift in (0, 7, 14, 21):
            byte = self.number(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if shift and byte == 0:
                    raise ProtocolFault("a length is written with more bytes than it needs")
                return value
        raise ProtocolFault("a length has more than four bytes")

    def binary(self) -> bytes:
        return self.take(self.number(2))

    def text(self) -> str:
        return read_text(self.binary())

    def end(self) -> None:
        if self.left:
            raise ProtocolFault("a packet has bytes after its last field")

    def properties(self, allowed: frozenset[Prop]) -> dict[Prop, Any]:
        inner = Reader(self.take(self.varint()))
        found: dict[Prop, Any] = {}
        while inner.left:
            number = inner.varint()
            try:
                prop = Prop(number)
            except ValueError:
                raise ProtocolFault(f"there is no property {number}") from None
            if prop not in allowed:
                raise ProtocolFault(f"property {prop.name} does not belong to this packet", Reason.PROTOCOL_ERROR)
            value = inner.value(prop)
            if prop in (Prop.USER, Prop.SUBSCRIPTION_ID):
                found.setdefault(prop, []).append(value)
            elif prop in found:
                raise ProtocolFault(f"property {prop.name} stands twice", Reason.PROTOCOL_ERROR)
            else:
                found[prop] = value
        return found

    def value(self, prop: Prop) -> Any:
        value: Any
        if prop in _BYTE:
            value = self.number(1)
            if value > 1:
                raise ProtocolFault(f"{prop.name} is 0 or 1", Reason.PROTOCOL_ERROR)
        elif prop in _SHORT:
            value = self.number(2)
        elif prop in _WORD:
            value = self.number(4)
        elif prop is Prop.SUBSCRIPTION_ID:
            value = self.varint()
        elif prop is Prop.USER:
            value = (self.text(), self.text())
        else:
            value = self.binary() if prop in _BINARY else self.text()
        if prop in _NOT_ZERO and value == 0:
            raise ProtocolFault(f"{prop.name} is not 0", Reason.PROTOCOL_ERROR)
        return value


def read_text(raw: bytes) -> str:
    """UTF-8 as MQTT allows it: no surrogates, no U+0000."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise ProtocolFault("a string is not UTF-8") from None
    if "\0" in text:
        raise ProtocolFault("a string holds U+0000")
    return text


def varint(value: int) -> bytes:
    if not 0 <= value <= LARGEST_REMAINING:
        raise ValueError(f"{value} cannot be written as a length")
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | 0x80 if value else low)
        if not value:
            return bytes(out)


def binary(value: bytes) -> bytes:
    if len(value) > 0xFFFF:
        raise ValueError("a field of MQTT has at most 65,535 bytes")
    return len(value).to_bytes(2, "big") + value


def text(value: str) -> bytes:
    return binary(value.encode())


def properties(values: Properties) -> bytes:
    out = bytearray()
    for prop, value in values.items():
        for one in value if prop in (Prop.USER, Prop.SUBSCRIPTION_ID) else (value,):
            out += varint(prop) + _write(prop, one)
    return varint(len(out)) + bytes(out)


def _write(prop: Prop, value: Any) -> bytes:
    if prop is Prop.USER:
        return text(value[0]) + text(value[1])
    if prop is Prop.SUBSCRIPTION_ID:
        return varint(value)
    for props, width in ((_BYTE, 1), (_SHORT, 2), (_WORD, 4)):
        if prop in props:
            return int(value).to_bytes(width, "big")
    return binary(value) if prop in _BINARY else text(value)
