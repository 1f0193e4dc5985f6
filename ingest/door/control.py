"""Everything a connected client sends that is not a plain PUBLISH, one whole frame at a time, off the hot path."""

from __future__ import annotations

from typing import assert_never

import numpy as np

from ingest.door.access import is_filter, may_publish, may_read
from ingest.door.connection import Connection, TooLarge
from ingest.door.limits import Cause, Dropped
from ingest.door.repeats import Fingerprints
from ingest.door.scan import Found
from ingest.door.session import Session
from ingest.door.state import DoorState
from ingest.ports import Refused
from ingest.saved import IdReleased, IdStored, SubscriptionGone, SubscriptionKept
from schemas import mqtt
from schemas.errors import Reject
from schemas.mqtt import Ack, Auth, Bare, Connack, Connect, Disconnect, Publish, Suback, Subscribe, Type, Unsubscribe
from schemas.mqtt_fields import Prop, ProtocolFault, Reason
from schemas.readings import U8
from schemas.rejects import Code
from schemas.topics import DeviceTopic

HEAD_KEPT = 4_096
"""Bytes of a message over the limit that go into quarantine."""
_CAUSES = {
    Reason.TOPIC_ALIAS_INVALID: Cause.TOPIC_ALIAS,
    Reason.PROTOCOL_ERROR: Cause.PROTOCOL,
}


class Control:
    def __init__(self, state: DoorState, fingerprints: Fingerprints) -> None:
        self._state = state
        self._fingerprints = fingerprints

    def take(self, connection: Connection, place: int, buffer: U8, start: int, end: int, found: Found) -> None:
        """Act on the whole frame `buffer[start:end]`; a PUBLISH becomes a row of `found`, which has room for it.

        place: of the connection in the round. A frame that breaks MQTT closes the connection.
        """
        frame = buffer[start:end].tobytes()
        try:
            packet = mqtt.decode(frame, connection.version)
        except ProtocolFault as fault:
            self._state.leave(connection, _CAUSES.get(fault.reason, Cause.MALFORMED), fault.reason)
            return
        match packet:
            case Publish():
                self._publish(connection, place, buffer, (start, end), packet, found)
            case Ack():
                self._ack(connection, packet)
            case Subscribe():
                self._subscribe(connection, packet)
            case Unsubscribe():
                self._unsubscribe(connection, packet)
            case Bare():
                self._ping(connection, packet)
            case Disconnect():
                self._disconnect(connection, packet)
            case Auth():
                self._state.leave(connection, Cause.AUTH, Reason.BAD_AUTHENTICATION_METHOD)
            case Connect():
                self._state.leave(connection, Cause.SECOND_CONNECT, Reason.PROTOCOL_ERROR)
            case Connack() | Suback():
                self._state.leave(connection, Cause.PROTOCOL, Reason.PROTOCOL_ERROR)
            case _:
                assert_never(packet)

    def _publish(
        self, connection: Connection, place: int, buffer: U8, frame: tuple[int, int], packet: Publish, found: Found
    ) -> None:
        state = self._state
        if connection.version == mqtt.V5 and packet.qos == 2:
            state.leave(connection, Cause.QOS, Reason.QOS_NOT_SUPPORTED)
            return
        if Prop.TOPIC_ALIAS in packet.properties:
            state.leave(connection, Cause.TOPIC_ALIAS, Reason.TOPIC_ALIAS_INVALID)
            return
        if Prop.SUBSCRIPTION_ID in packet.properties:
            state.leave(connection, Cause.PROTOCOL, Reason.PROTOCOL_ERROR)
            return
        start, end = frame
        topic_start = _body_of(buffer, start) + 2
        topic = (topic_start, topic_start + len(packet.topic.encode()))
        payload = (end - len(packet.payload), end)
        if packet.qos == 2 and state.cannot_swear(connection.session):
            state.leave(connection, Cause.AWAY)
            return
        row = found.add(place, topic, payload, packet.qos, packet.packet_id, packet.retain)
        if packet.qos == 2:
            found.taken[row] = self._take_once(connection, packet.packet_id)
        elif packet.dup:
            mark = self._fingerprints.of(buffer, found, np.array([row], np.int64))[0]
            if (mark == state.columns.mark[connection.number]).all():
                found.taken[row] = 0
                state.counts.dropped[Dropped.REPEATED] += 1

    def _take_once(self, connection: Connection, packet_id: int) -> bool:
        """QoS 2: store the id with the message's commit; False for a repeat. PUBREC follows the commit."""
        session = connection.session
        connection.say(mqtt.encode(Ack(Type.PUBREC, packet_id), connection.version))
        if packet_id in session.received:
            self._state.counts.dropped[Dropped.REPEATED] += 1
            return False
        session.received.add(packet_id)
        if session.is_persistent:
            self._state.changes.append(IdStored(session.key, packet_id))
        return True

    def _ack(self, connection: Connection, packet: Ack) -> None:
        session = connection.session
        if packet.type is Type.PUBACK:
            session.acknowledged(packet.packet_id)
        elif packet.type is Type.PUBREL and connection.version == mqtt.V311:
            if self._state.cannot_swear(session):
                self._state.leave(connection, Cause.AWAY)
                return
            session.received.discard(packet.packet_id)
            if session.is_persistent:
                # Also of an unknown id: an earlier release may not be durable yet.
                self._state.changes.append(IdReleased(session.key, packet.packet_id))
            connection.say(mqtt.encode(Ack(Type.PUBCOMP, packet.packet_id), connection.version))
        elif packet.type is Type.PUBREL:
            reason = Reason.ID_NOT_FOUND
            connection.say(mqtt.encode(Ack(Type.PUBCOMP, packet.packet_id, reason), connection.version))
        # We never send QoS 2, so a PUBREC or PUBCOMP answers nothing of ours.

    def _subscribe(self, connection: Connection, packet: Subscribe) -> None:
        state, session, five = self._state, connection.session, connection.version == mqtt.V5
        if Prop.SUBSCRIPTION_ID in packet.properties:
            reason = Reason.SUBSCRIPTION_IDS_NOT_SUPPORTED
            state.leave(connection, Cause.PROTOCOL, reason)
            return
        codes: list[int] = []
        recalled: list[mqtt.Subscription] = []
        for asked in packet.subscriptions:
            refusal = _refusal(connection, asked.filter, state.settings.filter_bytes)
            if refusal is not None:
                codes.append(refusal if five else 0x80)
                continue
            wanted = mqtt.Subscription(
                asked.filter, min(asked.qos, 1), asked.no_local, asked.retain_as_published, asked.retain_handling
            )
            is_change = session.is_persistent and not _is_kept(session, wanted)
            if is_change and state.cannot_swear(session):
                codes.append(Reason.UNSPECIFIED if five else 0x80)
                continue
            is_new = state.subscriptions.add(session, wanted)
            if is_change:
                state.changes.append(
                    SubscriptionKept(
                        session.key, wanted.filter, wanted.qos, wanted.no_local, wanted.retain_as_published
                    )
                )
            codes.append(wanted.qos)
            if wanted.retain_handling == 0 or (wanted.retain_handling == 1 and is_new):
                recalled.append(wanted)
        connection.say(mqtt.encode(Suback(Type.SUBACK, packet.packet_id, tuple(codes)), connection.version))
        for wanted in recalled:
            state.recall(session, wanted)

    def _unsubscribe(self, connection: Connection, packet: Unsubscribe) -> None:
        session, codes = connection.session, []
        for wanted in packet.filters:
            had = self._state.subscriptions.remove(session, wanted)
            if had and session.is_persistent:
                self._state.changes.append(SubscriptionGone(session.key, wanted))
            codes.append(int(Reason.SUCCESS if had else Reason.NO_SUBSCRIPTION_EXISTED))
        connection.say(mqtt.encode(Suback(Type.UNSUBACK, packet.packet_id, tuple(codes)), connection.version))

    def _ping(self, connection: Connection, packet: Bare) -> None:
        if packet.type is Type.PINGREQ:
            connection.say(mqtt.encode(Bare(Type.PINGRESP), connection.version))
        else:
            self._state.leave(connection, Cause.PROTOCOL, Reason.PROTOCOL_ERROR)

    def _disconnect(self, connection: Connection, packet: Disconnect) -> None:
        session = connection.session
        expiry_s = packet.properties.get(Prop.SESSION_EXPIRY)
        if expiry_s is not None:
            if expiry_s and not session.is_persistent:
                self._state.leave(connection, Cause.PROTOCOL, Reason.PROTOCOL_ERROR)
                return
            if not expiry_s:
                session.forget()
            session.expiry_s = min(expiry_s, self._state.settings.session_expiry_s)
        wants_will = packet.reason == Reason.DISCONNECT_WITH_WILL
        self._state.leave(connection, Cause.DISCONNECTED, wants_will=wants_will)

    def too_large(
        self, connection: Connection, place: int, buffer: U8, start: int, end: int, frame_end: int, found: Found
    ) -> bool:
        """A frame over the limit begins at `start`; bytes up to `end` are here. False: more of its head is needed.

        Version 5 is told and closed. From 3.1.1 it would only come again, so what is not here yet is skipped.
        """
        state, first = self._state, int(buffer[start])
        if connection.version == mqtt.V5:
            state.counts.dropped[Dropped.TOO_LARGE] += 1
            state.leave(connection, Cause.TOO_LARGE, Reason.PACKET_TOO_LARGE)
            return True
        if first >> 4 != Type.PUBLISH or first & 6 == 6:
            state.leave(connection, Cause.TOO_LARGE)
            return True
        qos, at = first >> 1 & 3, _body_of(buffer, start)
        if end < at + 2:
            return False
        payload = at + 2 + int.from_bytes(buffer[at : at + 2].tobytes(), "big") + (2 if qos else 0)
        if payload > frame_end:
            state.leave(connection, Cause.MALFORMED)
            return True
        if end < min(payload + HEAD_KEPT, frame_end):
            return False
        after_topic = payload - (2 if qos else 0)
        topic = buffer[at + 2 : after_topic].tobytes()
        packet_id = int.from_bytes(buffer[after_topic:payload].tobytes(), "big")
        if qos and not packet_id:
            state.leave(connection, Cause.MALFORMED)
            return True
        head = buffer[payload : min(payload + HEAD_KEPT, frame_end)].tobytes()
        connection.too_large = TooLarge(topic, head, qos, packet_id)
        state.columns.skip[connection.number] = max(frame_end - end, 0)
        if frame_end <= end:
            self.skipped(connection, place, found)
        return True

    def skipped(self, connection: Connection, place: int, found: Found) -> None:
        """The last byte of a message over the limit has passed: its head is kept, and it gets its PUBACK."""
        held, connection.too_large = connection.too_large, None
        assert held is not None
        state = self._state
        state.counts.dropped[Dropped.TOO_LARGE] += 1
        if held.qos == 1:
            found.add(place, (0, 0), (0, 0), 1, held.packet_id, taken=False)
        is_first = held.qos != 2 or self._take_once(connection, held.packet_id)
        try:
            topic = mqtt.decode_topic(held.topic)
        except ProtocolFault:
            state.leave(connection, Cause.MALFORMED)
            return
        parsed = DeviceTopic.parse(topic)
        if parsed is None or not may_publish(connection.session.principal, topic):
            foreign(state, connection)
        elif is_first:
            most = state.settings.packet_size
            reject = Reject(
                Code.TOO_LARGE, "", f"The message is larger than {most} bytes; only its head was kept.",
                "Send it in several messages.",
            )  # fmt: skip
            refused = Refused(-1, parsed.enterprise, parsed.device, topic, held.head, 0, (reject,))
            state.refused.append((refused, connection.session.key.client_id))
            state.columns.refused[connection.number] += 1


def foreign(state: DoorState, connection: Connection) -> None:
    """A message for a topic that is not the client's own: dropped, counted, and after so many a minute closed."""
    times, now = connection.foreign, state.monotonic()
    state.counts.dropped[Dropped.FOREIGN] += 1
    times.append(now)
    while times[0] <= now - 60.0:
        times.popleft()
    if len(times) > state.settings.foreign_per_minute:
        state.leave(connection, Cause.FOREIGN, Reason.NOT_AUTHORIZED)


def _body_of(buffer: U8, start: int) -> int:
    """Where the body of the frame at `start` begins, its length having been read before."""
    at = start + 1
    while buffer[at] & 0x80:
        at += 1
    return at + 1


def _is_kept(session: Session, wanted: mqtt.Subscription) -> bool:
    """Is this very subscription durable already?"""
    now = session.subscriptions.get(wanted.filter)
    if now is None or session.is_unsure:
        return False
    return (now.qos, now.no_local, now.retain_as_published) == (
        wanted.qos, wanted.no_local, wanted.retain_as_published
    )  # fmt: skip


def _refusal(connection: Connection, wanted: str, most_bytes: int) -> int | None:
    if wanted.startswith("$share/"):
        return Reason.SHARED_NOT_SUPPORTED
    if len(wanted.encode()) > most_bytes or not is_filter(wanted):
        return Reason.TOPIC_FILTER_INVALID
    return None if may_read(connection.session.principal, wanted) else Reason.NOT_AUTHORIZED
