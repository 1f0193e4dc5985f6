"""A message over the limit: its head is kept for quarantine, the rest passes by without being buffered."""

from __future__ import annotations

from dataclasses import dataclass

from ingest.ports import Refused
from schemas import mqtt
from schemas.errors import Reject
from schemas.mqtt import Type
from schemas.mqtt_fields import ProtocolFault, Reader
from schemas.rejects import Code
from schemas.topics import DeviceTopic

HEAD = 72 * 1024
"""Bytes that are looked at: they hold the longest topic, and what of the payload is kept."""
KEPT = 4_096


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of such a message. payload: its first `KEPT` bytes."""

    topic: str
    payload: bytes
    qos: int
    packet_id: int

    def refused(self, largest: int) -> Refused | None:
        """For quarantine; None when its topic is no device's. The arrival is set with the round."""
        parsed = DeviceTopic.parse(self.topic)
        if parsed is None:
            return None
        reason = f"The message is larger than {largest} bytes; only its head was kept."
        reject = Reject(Code.TOO_LARGE, "", reason, "Send it in several messages.")
        return Refused(-1, parsed.enterprise, parsed.device, self.topic, self.payload, 0, (reject,))


class Oversize:
    """The one that passes on a connection, if any."""

    def __init__(self) -> None:
        self._head: Head | None = None
        self._left = 0

    @property
    def is_passing(self) -> bool:
        return self._head is not None

    def begin(self, head: bytes, version: int, left: int) -> None:
        """head: the frame's first bytes, `HEAD` of them or all.  left: bytes of it that are yet to come.

        Raises ProtocolFault when it is no message.
        """
        reader = Reader(head)
        first = reader.number(1)
        reader.varint()
        qos = first >> 1 & 3
        if first >> 4 != Type.PUBLISH or qos == 3:
            raise ProtocolFault("a packet of this size that is no message")
        topic = reader.binary().decode(errors="replace")
        packet_id = reader.number(2) if qos else 0
        if version == mqtt.V5:
            reader.take(min(reader.varint(), reader.left))
        self._head, self._left = Head(topic, reader.rest()[:KEPT], qos, packet_id), left

    def pass_by(self, count: int) -> int:
        """How many of the next `count` bytes are the message's."""
        passed = min(self._left, count)
        self._left -= passed
        return passed

    def finish(self) -> Head | None:
        """What is known of the message, once its last byte has passed; then it is forgotten."""
        if self._left or self._head is None:
            return None
        head, self._head = self._head, None
        return head
