"""Answers to devices on their way to the broker, by one session. No sockets.

A message stays until the broker has acknowledged it, over reconnects; it ends with the process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ingest.bridge.limits import Counts, Dropped
from schemas import mqtt
from schemas.mqtt import Publish

_FIRST_ID = 1_024
"""Lower packet ids are those of subscriptions."""
_LAST_ID = 0xFFFF
_MOST_IN_FLIGHT = 1_000


@dataclass(frozen=True, slots=True)
class Way:
    """The way to a connected broker. receive_maximum: QoS 1 messages that it takes at once.  largest: bytes of a packet
    that it takes."""

    version: int
    receive_maximum: int
    largest: int
    send: Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class _Waiting:
    topic: str
    payload: bytes


class Outbox:
    """limit: messages that wait; above it the oldest is dropped."""

    def __init__(self, limit: int, counts: Counts) -> None:
        self._limit = limit
        self._counts = counts
        self._waiting: deque[_Waiting] = deque()
        self._in_flight: dict[int, _Waiting] = {}
        self._way: Way | None = None
        self._next_id = _FIRST_ID

    def __len__(self) -> int:
        """Messages that the broker has not taken yet."""
        return len(self._waiting) + len(self._in_flight)

    def put(self, topic: str, payload: bytes) -> None:
        """Send at QoS 1, now or as soon as there is a way."""
        self._waiting.append(_Waiting(topic, payload))
        if len(self._waiting) > self._limit:
            self._waiting.popleft()
            self._counts.dropped[Dropped.QUEUE_FULL] += 1
        self._pump()

    def attach(self, way: Way, is_resumed: bool) -> None:
        """A connection is there: what was not acknowledged is sent again, in order, then what has waited."""
        self._way = way
        in_flight, self._in_flight = self._in_flight, {}
        for packet_id, waiting in in_flight.items():
            self._send(way, waiting, packet_id, dup=is_resumed)
        self._pump()

    def detach(self) -> None:
        self._way = None

    def acknowledged(self, packet_id: int, reason: int) -> None:
        """The broker's PUBACK; one of no message of ours says nothing."""
        if self._in_flight.pop(packet_id, None) is None:
            return
        if reason >= 0x80:
            self._counts.dropped[Dropped.UNPUBLISHED] += 1
        self._pump()

    def _pump(self) -> None:
        way = self._way
        while way is not None and self._waiting and len(self._in_flight) < min(way.receive_maximum, _MOST_IN_FLIGHT):
            self._send(way, self._waiting.popleft(), self._free_id(), dup=False)

    def _send(self, way: Way, waiting: _Waiting, packet_id: int, dup: bool) -> None:
        packet = Publish(waiting.topic, waiting.payload, 1, False, dup, packet_id)
        frame = mqtt.encode(packet, way.version)
        if len(frame) > way.largest:
            self._counts.dropped[Dropped.UNPUBLISHED] += 1
            return
        self._in_flight[packet_id] = waiting
        self._counts.published += 1
        way.send(frame)

    def _free_id(self) -> int:
        while True:
            found = self._next_id
            self._next_id = found + 1 if found < _LAST_ID else _FIRST_ID
            if found not in self._in_flight:
                return found
