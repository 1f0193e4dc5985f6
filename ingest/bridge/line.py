"""One connection to the broker: its bytes into the round's buffer and its frames out of it, and answers back.

The scan finds the messages; what else a broker says is rare and read here. Time is an argument.
"""

from __future__ import annotations

import ssl

import numpy as np
import structlog

from ingest.bridge.dial import Dialled
from ingest.bridge.limits import BridgeSettings, Cause, Counts, Dropped
from ingest.bridge.outbox import Outbox, Way
from ingest.bridge.oversize import HEAD, Oversize
from ingest.door.scan import Found, Passes, Stop, scan
from ingest.ports import Refused
from schemas import mqtt
from schemas.mqtt import Ack, Bare, Disconnect, Publish, Suback, Type
from schemas.mqtt_fields import Prop, ProtocolFault, Reader, Reason
from schemas.readings import U8

_PINGREQ = mqtt.encode(Bare(Type.PINGREQ), mqtt.V311)
_ASKED_AGAIN_S = 30.0
"""After a subscription was refused."""
_WOULD_BLOCK = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_KEPT_FREE = 2
"""Rows of a round that one frame read here may take."""

_log = structlog.get_logger(__name__)


class Line:
    """wanted: the filters that it has asked for."""

    def __init__(
        self, dialled: Dialled, client_id: str, wanted: tuple[str, ...], outbox: Outbox, settings: BridgeSettings,
        counts: Counts, now: float,
    ) -> None:  # fmt: skip
        self.version = dialled.version
        self.number = dialled.socket.fileno()
        self.is_resumed = dialled.is_resumed
        self.closing: Cause | None = None
        self.is_pending = bool(dialled.first)
        """There may be messages that the system does not tell of: in our bytes, or in those that TLS has."""
        self.is_subscribed = not dialled.asked
        self.is_parted = not dialled.parted
        """What we gave up is given up: nothing more is added to it."""
        self.refused_filters: tuple[str, ...] = ()
        self.refused: list[Refused] = []
        """Messages over the limit, for quarantine."""
        self.since = self.quiet_since = now
        """When it began, and when its last message came."""
        self.ponged = -1.0
        """When the broker last answered a ping: what it had for us before that is here."""
        self._dialled = dialled
        self._socket = dialled.socket
        self._is_tls = isinstance(dialled.socket, ssl.SSLSocket)
        self._client_id = client_id
        self._wanted = wanted
        self._outbox = outbox
        self._settings = settings
        self._counts = counts
        self._tail = dialled.first
        self._oversize = Oversize()
        self._received: list[int] = []
        """QoS 2 ids that want their PUBREC after the commit."""
        self._backlog = bytearray()
        self._is_gone = False
        self._heard = self._pinged = now
        self._is_asked = False
        """A PINGREQ is out."""
        way = Way(dialled.version, dialled.receive_maximum, dialled.largest, self.send)
        outbox.attach(way, dialled.is_resumed)

    @property
    def has_backlog(self) -> bool:
        return bool(self._backlog)

    # --- in ---

    def receive(self, buffer: U8, start: int, share: int, now: float) -> int:
        """Lay what was left over and what is here into `buffer[start:]`, received up to `share` bytes in all.

        Returns its end; `start` when what was left over has no room.
        """
        end = start + len(self._tail)
        if end > len(buffer):
            self.is_pending = True
            return start
        buffer[start:end] = np.frombuffer(self._tail, np.uint8)
        first, limit = end, min(start + share, len(buffer))
        while end < limit and not self._is_gone:
            try:
                size = self._socket.recv_into(buffer.data[end:limit])
            except _WOULD_BLOCK:
                break
            except OSError:
                size = 0
            if not size:
                self._is_gone = True
                break
            end += size
            # TLS gives one record at a time, and tells nobody of those that it has.
            if not self._is_tls:
                break
        if end > first:
            self._heard = now
            self._counts.received_bytes += end - first
        self.is_pending = self._is_tls and end >= limit
        return end

    def read(self, place: int, buffer: U8, start: int, end: int, found: Found, now: float) -> None:
        """Add the messages of `buffer[start:end]` to `found`, as of the connection `place`, and hear the rest."""
        before, at = found.count, start
        if self._oversize.is_passing:
            at += self._oversize.pass_by(end - at)
            self._finish_oversize(place, found)
        version, connection = np.full(1, self.version, np.uint8), np.full(1, place, np.int32)
        while self.closing is None:
            one = Passes(connection, np.array([at], np.int64), np.array([end], np.int64), version)
            scan(buffer, one, found, self._settings.packet_size, self._settings.round_messages, from_broker=True)
            at, stop, frame_end = int(one.at[0]), int(one.stop[0]), int(one.frame_end[0])
            if stop == Stop.MALFORMED:
                self.close(Cause.MALFORMED)
            elif stop == Stop.FULL or (stop in (Stop.CONTROL, Stop.OVERSIZE) and not has_room(found)):
                self.is_pending = True
                break
            elif stop == Stop.CONTROL:
                self._hear(place, buffer, at, frame_end, found, now)
                at = frame_end
            elif stop == Stop.OVERSIZE:
                if end - at < min(HEAD, frame_end - at):
                    break
                self._begin_oversize(buffer[at : min(at + HEAD, end)], end, frame_end)
                self._finish_oversize(place, found)
                at = min(frame_end, end)
            else:
                break
        if found.count > before:
            self.quiet_since = now
        self._tail = b"" if self.closing is not None else buffer[at:end].tobytes()
        if self._is_gone and not self.is_pending:
            self.close(Cause.CUT)

    def _hear(self, place: int, buffer: U8, at: int, end: int, found: Found, now: float) -> None:
        try:
            packet = mqtt.decode(buffer[at:end].tobytes(), self.version)
        except ProtocolFault as fault:
            self._malformed(fault.what)
            return
        match packet:
            case Publish():
                self._take_slowly(place, packet, buffer, at, end, found)
            case Ack(Type.PUBACK, packet_id, reason):
                self._outbox.acknowledged(packet_id, reason)
            case Ack(Type.PUBREL, packet_id, _):
                self.send(mqtt.encode(Ack(Type.PUBCOMP, packet_id), self.version))
            case Bare(Type.PINGRESP):
                self._is_asked, self.ponged = False, now
            case Suback():
                self._subscribed(packet, now)
            case Disconnect():
                is_taken = packet.reason == Reason.TAKEN_OVER
                _log.warning("broker_disconnects", client_id=self._client_id, reason=f"{packet.reason:#04x}")
                self.close(Cause.TAKEN_OVER if is_taken else Cause.TOLD)
            case _:
                self._malformed(type(packet).__name__)

    def _malformed(self, what: str) -> None:
        _log.warning("broker_malformed", client_id=self._client_id, fault=what)
        self.close(Cause.MALFORMED)

    def _take_slowly(self, place: int, packet: Publish, buffer: U8, at: int, end: int, found: Found) -> None:
        """A message that the scan left: of QoS 2, from somebody else's subscription under our client id."""
        reader = Reader(buffer[at:end].tobytes())
        reader.number(1)
        reader.varint()
        topic = end - reader.left + 2
        found.add(
            place, (topic, topic + len(packet.topic.encode())), (end - len(packet.payload), end), packet.qos,
            packet.packet_id, packet.retain, dup=packet.dup,
        )  # fmt: skip
        if packet.qos == 2:
            self._received.append(packet.packet_id)

    def _subscribed(self, packet: Suback, now: float) -> None:
        if packet.type is Type.UNSUBACK:
            self.is_parted |= packet.packet_id == self._dialled.parted
            return
        if packet.packet_id != self._dialled.asked:
            return
        self.is_subscribed, self.since = True, now
        refused = [one for one, code in zip(self._wanted, packet.codes, strict=False) if code >= 0x80]
        if refused:
            _log.error("subscription_refused", client_id=self._client_id, filters=refused, codes=packet.codes)
        self.refused_filters = tuple(refused)

    def _begin_oversize(self, head: U8, end: int, frame_end: int) -> None:
        try:
            self._oversize.begin(head.tobytes(), self.version, max(frame_end - end, 0))
        except ProtocolFault as fault:
            self._malformed(fault.what)

    def _finish_oversize(self, place: int, found: Found) -> None:
        """The last byte of a message over the limit has passed: its head goes to quarantine, and it is acknowledged."""
        head = self._oversize.finish()
        if head is None:
            return
        self._counts.dropped[Dropped.TOO_LARGE] += 1
        if head.qos:
            found.add(place, (0, 0), (0, 0), head.qos, head.packet_id, taken=False)
        if head.qos == 2:
            self._received.append(head.packet_id)
        refused = head.refused(self._settings.packet_size)
        if refused is not None:
            self.refused.append(refused)

    # --- out ---

    def answer(self, pubacks: bytes) -> None:
        """Acknowledge what is committed."""
        received = b"".join(mqtt.encode(Ack(Type.PUBREC, one), self.version) for one in self._received)
        self._received.clear()
        if pubacks or received:
            self.send(pubacks + received)

    def send(self, data: bytes) -> None:
        """Send, as much as the socket takes; the rest with `flush`."""
        if self._is_gone:
            return
        self._backlog += data
        if len(self._backlog) == len(data):
            self.flush()

    def flush(self) -> None:
        """Send what the socket did not take before."""
        try:
            while self._backlog:
                del self._backlog[: self._socket.send(self._backlog)]
        except _WOULD_BLOCK:
            return
        except OSError:
            self._backlog.clear()
            self._is_gone = self.is_pending = True

    def pass_time(self, now: float, *, is_read: bool) -> None:
        """Ping, and close who does not answer. is_read: False after a time in which the socket was not read."""
        if self.closing is not None:
            return
        patience_s = self._dialled.keep_alive_s or self._settings.keep_alive_s
        if now - self._pinged >= patience_s / 2:
            self.ping(now)
        if not is_read:
            self._heard = now
            return
        is_unsubscribed = not self.is_subscribed and now - self.since > 3 * self._settings.connect_s
        if is_unsubscribed or now - self._heard > 1.5 * patience_s:
            self.close(Cause.SILENT)
        elif self.refused_filters and now - self.since > _ASKED_AGAIN_S:
            self.close(Cause.SUBSCRIPTION)

    def ask(self, now: float) -> None:
        """Ping, unless an answer is on its way."""
        if not self._is_asked:
            self.ping(now)

    def ping(self, now: float) -> None:
        """Both ways are kept alive by it, whatever else goes over them."""
        self._pinged, self._is_asked = now, True
        self.send(_PINGREQ)

    def close(self, cause: Cause) -> None:
        """End the connection after this round; the first cause is the one."""
        if self.closing is None:
            self.closing = cause

    def end(self, *, forever: bool = False) -> None:
        """Say farewell and close. forever: the session ends with it, where the broker can be told (version 5)."""
        self._outbox.detach()
        properties = {Prop.SESSION_EXPIRY: 0} if forever else {}
        if not self._is_gone:
            self.send(mqtt.encode(Disconnect(0, properties), self.version))
        self._is_gone = True
        self._socket.close()


def has_room(found: Found) -> bool:
    """May another frame be read by hand?"""
    return found.count <= found.capacity - _KEPT_FREE
