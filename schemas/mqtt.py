"""MQTT 3.1.1 and 5 packets as bytes, both ways. No I/O.

`decode(frame, version)` takes one whole frame, `encode(packet, version)` gives one. `version` is 4 (3.1.1) or 5; a
CONNECT names its own. Sources: OASIS MQTT 3.1.1 and 5.0.
"""

from __future__ import annotations

from collections.abc import Callable

from schemas import mqtt_fields as fields
from schemas.mqtt_fields import Prop, Properties, ProtocolFault, Reader, Reason
from schemas.mqtt_packets import (
    V5,
    V311,
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

__all__ = [
    "V5",
    "V311",
    "Ack",
    "Auth",
    "Bare",
    "Connack",
    "Connect",
    "Disconnect",
    "Packet",
    "Publish",
    "Suback",
    "Subscribe",
    "Subscription",
    "Type",
    "Unsubscribe",
    "Will",
    "decode",
    "decode_topic",
    "encode",
]

_NOTE = frozenset({Prop.REASON_STRING, Prop.USER})
_MESSAGE = frozenset({Prop.PAYLOAD_FORMAT, Prop.MESSAGE_EXPIRY, Prop.CONTENT_TYPE, Prop.RESPONSE_TOPIC,
                      Prop.CORRELATION_DATA, Prop.USER})  # fmt: skip
_WILL = _MESSAGE | {Prop.WILL_DELAY}
_PUBLISH = _MESSAGE | {Prop.TOPIC_ALIAS, Prop.SUBSCRIPTION_ID}
_CONNECT = frozenset({Prop.SESSION_EXPIRY, Prop.RECEIVE_MAXIMUM, Prop.MAXIMUM_PACKET_SIZE, Prop.USER,
                      Prop.TOPIC_ALIAS_MAXIMUM, Prop.REQUEST_RESPONSE_INFO, Prop.REQUEST_PROBLEM_INFO,
                      Prop.AUTH_METHOD, Prop.AUTH_DATA})  # fmt: skip
_CONNACK = _NOTE | {Prop.SESSION_EXPIRY, Prop.RECEIVE_MAXIMUM, Prop.MAXIMUM_QOS, Prop.RETAIN_AVAILABLE,
                    Prop.MAXIMUM_PACKET_SIZE, Prop.ASSIGNED_CLIENT_ID, Prop.TOPIC_ALIAS_MAXIMUM,
                    Prop.WILDCARDS_AVAILABLE, Prop.SUBSCRIPTION_IDS_AVAILABLE, Prop.SHARED_AVAILABLE,
                    Prop.SERVER_KEEP_ALIVE, Prop.RESPONSE_INFO, Prop.SERVER_REFERENCE, Prop.AUTH_METHOD,
                    Prop.AUTH_DATA}  # fmt: skip
_DISCONNECT = _NOTE | {Prop.SESSION_EXPIRY, Prop.SERVER_REFERENCE}
_AUTH = _NOTE | {Prop.AUTH_METHOD, Prop.AUTH_DATA}
_SUBSCRIBE = frozenset({Prop.SUBSCRIPTION_ID, Prop.USER})
_FLAGS = {Type.PUBREL: 2, Type.SUBSCRIBE: 2, Type.UNSUBSCRIBE: 2}
"""The lower half of the first byte, where it is not 0."""


def decode(frame: bytes, version: int) -> Packet:
    """Read one whole frame. Raises ProtocolFault with the reason code a version 5 peer is told."""
    reader = Reader(frame)
    first = reader.number(1)
    if reader.varint() != reader.left:
        raise ProtocolFault("a frame is not as long as it says")
    if first >> 4 == 0:
        raise ProtocolFault("there is no packet of type 0")
    kind, flags = Type(first >> 4), first & 0x0F
    if kind is Type.PUBLISH:
        return _publish(reader, flags, version)
    if flags != _FLAGS.get(kind, 0):
        raise ProtocolFault(f"the flags of a {kind.name} are wrong")
    if kind is Type.AUTH and version != V5:
        raise ProtocolFault("there is no AUTH in MQTT 3.1.1")
    packet = _READERS[kind](reader, kind, version)
    reader.end()
    return packet


def decode_topic(topic: bytes) -> str:
    """The topic name of a PUBLISH: text without wildcards, not empty."""
    name = fields.read_text(topic)
    if not name or "+" in name or "#" in name:
        raise ProtocolFault("a topic name is empty or has a wildcard", Reason.TOPIC_NAME_INVALID)
    return name


def _publish(reader: Reader, flags: int, version: int) -> Publish:
    qos = flags >> 1 & 3
    if qos == 3 or (qos == 0 and flags & 8):
        raise ProtocolFault("a PUBLISH with QoS 3, or with DUP and QoS 0")
    raw = reader.binary()
    packet_id = _packet_id(reader) if qos else 0
    props = reader.properties(_PUBLISH) if version == V5 else {}
    if not raw and Prop.TOPIC_ALIAS in props:
        raise ProtocolFault("a topic alias that was never allowed", Reason.TOPIC_ALIAS_INVALID)
    return Publish(decode_topic(raw), reader.rest(), qos, bool(flags & 1), bool(flags & 8), packet_id, props)


def _packet_id(reader: Reader) -> int:
    number = reader.number(2)
    if number == 0:
        raise ProtocolFault("a packet identifier is 0", Reason.PROTOCOL_ERROR)
    return number


def _connect(reader: Reader, _kind: Type, _version: int) -> Connect:
    protocol, version = reader.binary(), reader.number(1)
    if protocol != b"MQTT" or version not in (V311, V5):
        raise ProtocolFault("neither MQTT 3.1.1 nor 5", Reason.UNSUPPORTED_VERSION)
    flags = reader.number(1)
    will_qos, has_will = flags >> 3 & 3, bool(flags & 0x04)
    if flags & 1 or will_qos == 3 or (not has_will and flags & 0x38):
        raise ProtocolFault("the flags of a CONNECT are wrong")
    if version == V311 and flags & 0x40 and not flags & 0x80:
        raise ProtocolFault("a password without a user name")
    keep_alive = reader.number(2)
    props = reader.properties(_CONNECT) if version == V5 else {}
    if Prop.AUTH_DATA in props and Prop.AUTH_METHOD not in props:
        raise ProtocolFault("authentication data without a method", Reason.PROTOCOL_ERROR)
    client_id = reader.text()
    will = None
    if has_will:
        will_props = reader.properties(_WILL) if version == V5 else {}
        will = Will(decode_topic(reader.binary()), reader.binary(), will_qos, bool(flags & 0x20), will_props)
    username = reader.text() if flags & 0x80 else None
    password = reader.binary() if flags & 0x40 else None
    return Connect(client_id, version, bool(flags & 2), keep_alive, username, password, will, props)


def _connack(reader: Reader, _kind: Type, version: int) -> Connack:
    present, code = reader.number(1), reader.number(1)
    return Connack(bool(present & 1), code, reader.properties(_CONNACK) if version == V5 else {})


def _ack(reader: Reader, kind: Type, version: int) -> Ack:
    packet_id = _packet_id(reader)
    reason = reader.number(1) if version == V5 and reader.left else 0
    if version == V5 and reader.left:
        reader.properties(_NOTE)
    return Ack(kind, packet_id, reason)


def _subscribe(reader: Reader, _kind: Type, version: int) -> Subscribe:
    packet_id = _packet_id(reader)
    props = reader.properties(_SUBSCRIBE) if version == V5 else {}
    wanted = []
    while reader.left:
        name, options = reader.text(), reader.number(1)
        if options & (0xC0 if version == V5 else 0xFC) or options & 3 == 3 or options & 0x30 == 0x30:
            raise ProtocolFault("the options of a subscription are wrong")
        wanted.append(Subscription(name, options & 3, bool(options & 4), bool(options & 8), options >> 4 & 3))
    if not wanted:
        raise ProtocolFault("a SUBSCRIBE without a topic filter", Reason.PROTOCOL_ERROR)
    return Subscribe(packet_id, tuple(wanted), props)


def _unsubscribe(reader: Reader, _kind: Type, version: int) -> Unsubscribe:
    packet_id = _packet_id(reader)
    if version == V5:
        reader.properties(frozenset({Prop.USER}))
    filters = []
    while reader.left:
        filters.append(reader.text())
    if not filters:
        raise ProtocolFault("an UNSUBSCRIBE without a topic filter", Reason.PROTOCOL_ERROR)
    return Unsubscribe(packet_id, tuple(filters))


def _suback(reader: Reader, kind: Type, version: int) -> Suback:
    packet_id = _packet_id(reader)
    if version == V5:
        reader.properties(_NOTE)
    return Suback(kind, packet_id, tuple(reader.rest()))


def _bare(_reader: Reader, kind: Type, _version: int) -> Bare:
    return Bare(kind)


def _farewell(reader: Reader, kind: Type, version: int) -> Disconnect | Auth:
    reason = reader.number(1) if version == V5 and reader.left else 0
    allowed = _AUTH if kind is Type.AUTH else _DISCONNECT
    props = reader.properties(allowed) if version == V5 and reader.left else {}
    return Auth(reason, props) if kind is Type.AUTH else Disconnect(reason, props)


_READERS: dict[Type, Callable[[Reader, Type, int], Packet]] = {
    Type.CONNECT: _connect, Type.CONNACK: _connack, Type.PUBACK: _ack, Type.PUBREC: _ack, Type.PUBREL: _ack,
    Type.PUBCOMP: _ack, Type.SUBSCRIBE: _subscribe, Type.SUBACK: _suback, Type.UNSUBSCRIBE: _unsubscribe,
    Type.UNSUBACK: _suback, Type.PINGREQ: _bare, Type.PINGRESP: _bare, Type.DISCONNECT: _farewell,
    Type.AUTH: _farewell,
}  # fmt: skip


def encode(packet: Packet, version: int) -> bytes:
    """One frame. Raises ValueError when a field is longer than MQTT can say."""
    kind, flags, body = _body(packet, version == V5)
    return bytes([kind << 4 | flags]) + fields.varint(len(body)) + body


def _body(packet: Packet, five: bool) -> tuple[Type, int, bytes]:
    match packet:
        case Publish():
            flags = packet.dup << 3 | packet.qos << 1 | packet.retain
            head = fields.text(packet.topic) + (_short(packet.packet_id) if packet.qos else b"")
            return Type.PUBLISH, flags, head + _props(packet.properties, five) + packet.payload
        case Ack():
            reason = bytes([packet.reason]) if five and packet.reason else b""
            return packet.type, _FLAGS.get(packet.type, 0), _short(packet.packet_id) + reason
        case Connect():
            return Type.CONNECT, 0, _connect_body(packet)
        case Connack():
            head = bytes([packet.session_present, packet.code])
            return Type.CONNACK, 0, head + _props(packet.properties, five)
        case Subscribe():
            body = _short(packet.packet_id) + _props(packet.properties, five)
            for one in packet.subscriptions:
                options = one.qos | one.no_local << 2 | one.retain_as_published << 3 | one.retain_handling << 4
                body += fields.text(one.filter) + bytes([options])
            return Type.SUBSCRIBE, 2, body
        case Unsubscribe():
            body = _short(packet.packet_id) + _props({}, five)
            return Type.UNSUBSCRIBE, 2, body + b"".join(map(fields.text, packet.filters))
        case Suback():
            codes = packet.codes if five or packet.type is Type.SUBACK else ()
            return packet.type, 0, _short(packet.packet_id) + _props({}, five) + bytes(codes)
        case Bare():
            return packet.type, 0, b""
        case Disconnect() | Auth():
            kind = Type.AUTH if isinstance(packet, Auth) else Type.DISCONNECT
            if not five or not (packet.reason or packet.properties):
                return kind, 0, b""
            return kind, 0, bytes([packet.reason]) + _props(packet.properties, five)


def _connect_body(packet: Connect) -> bytes:
    five, will = packet.version == V5, packet.will
    flags = packet.clean << 1 | (packet.username is not None) << 7 | (packet.password is not None) << 6
    if will is not None:
        flags |= 4 | will.qos << 3 | will.retain << 5
    body = fields.text("MQTT") + bytes([packet.version, flags]) + _short(packet.keep_alive_s)
    body += _props(packet.properties, five) + fields.text(packet.client_id)
    if will is not None:
        body += _props(will.properties, five) + fields.text(will.topic) + fields.binary(will.payload)
    if packet.username is not None:
        body += fields.text(packet.username)
    return body if packet.password is None else body + fields.binary(packet.password)


def _short(number: int) -> bytes:
    return number.to_bytes(2, "big")


def _props(values: Properties, five: bool) -> bytes:
    return fields.properties(values) if five else b""
