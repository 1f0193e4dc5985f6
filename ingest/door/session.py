"""A client's session: what it has subscribed to and what is on its way to it. No sockets; time is an argument."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ingest.door.limits import Counts, Dropped
from ingest.saved import Change, Delivered, Queued, SessionBegun, SessionGone, SessionKept, SessionKey
from schemas import mqtt
from schemas.mqtt import Publish, Subscription
from schemas.principals import Principal

Save = Callable[[Change], None]
"""Adds a change to the round's commit."""


@dataclass(slots=True)
class Waiting:
    number: int
    topic: str
    payload: bytes
    retain: bool
    packet_id: int = 0
    """Not 0 once it was sent; it is sent again under the same id with DUP."""


@dataclass(slots=True)
class Line:
    """The way to a connected client: its version, and its limits."""

    version: int
    receive_maximum: int
    largest: int
    say: Callable[[bytes], None]
    """Puts bytes where the round sends them from, after its commit."""
    is_open: Callable[[], bool]
    """False while the client leaves our bytes unread."""


@dataclass(slots=True)
class Session:
    key: SessionKey
    principal: Principal
    expiry_s: int
    queue_limit: int
    counts: Counts
    save: Save
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    received: set[int] = field(default_factory=set)
    """QoS 2 ids that were taken and not released."""
    is_unsure: bool = False
    """Something that its client asked for is not known to be durable."""
    line: Line | None = None
    ends_at: float | None = None
    """Monotonic time at which it expires; None while connected."""
    _queue: deque[Waiting] = field(default_factory=deque)
    _in_flight: dict[int, Waiting] = field(default_factory=dict)
    _next_number: int = 1
    _next_id: int = 1

    @property
    def is_persistent(self) -> bool:
        return self.expiry_s > 0

    def begin(self) -> None:
        if self.is_persistent:
            self.save(SessionBegun(self.key, self.expiry_s))

    def keep(self, ended_us: int | None) -> None:
        if self.is_persistent:
            self.save(SessionKept(self.key, self.expiry_s, ended_us))

    def forget(self) -> None:
        if self.is_persistent:
            self.save(SessionGone(self.key))

    def attach(self, line: Line) -> None:
        """The client is back: what it has not acknowledged is sent again, in order, then what has waited."""
        self.line, self.ends_at = line, None
        for waiting in self._in_flight.values():
            self._send(waiting, dup=True)
        self.pump()

    def deliver(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        """Send now or queue. QoS 0 reaches a connected client that reads, or nobody."""
        line = self.line
        if qos == 0:
            if line is not None and not line.is_open():
                self.counts.dropped[Dropped.UNREAD] += 1
            elif line is not None:
                self._put(line, Publish(topic, payload, 0, retain))
            return
        if line is None and not self.is_persistent:
            return
        waiting = Waiting(self._next_number, topic, payload, retain)
        self._next_number += 1
        self._queue.append(waiting)
        if self.is_persistent:
            self.save(Queued(self.key, waiting.number, topic, payload, retain))
        if len(self._queue) > self.queue_limit:
            self._drop(self._queue.popleft(), Dropped.QUEUE_FULL)
        self.pump()

    def restore(self, queued: Queued) -> None:
        self._queue.append(Waiting(queued.number, queued.topic, queued.payload, queued.retain))
        self._next_number = queued.number + 1

    def acknowledged(self, packet_id: int) -> bool:
        """The client's PUBACK. False when no message has this id."""
        waiting = self._in_flight.pop(packet_id, None)
        if waiting is None:
            return False
        self._done(waiting)
        self.pump()
        return True

    def pump(self) -> None:
        """Send from the queue what the client's Receive Maximum allows."""
        while self._queue and self.line is not None and self.line.is_open():
            if len(self._in_flight) >= self.line.receive_maximum:
                return
            waiting = self._queue.popleft()
            waiting.packet_id = self._free_id()
            if self._send(waiting, dup=False):
                self._in_flight[waiting.packet_id] = waiting
            else:
                self._drop(waiting, Dropped.CLIENT_SIZE)

    def _send(self, waiting: Waiting, dup: bool) -> bool:
        assert self.line is not None
        packet = Publish(waiting.topic, waiting.payload, 1, waiting.retain, dup, waiting.packet_id)
        return self._put(self.line, packet)

    def _put(self, line: Line, packet: Publish) -> bool:
        frame = mqtt.encode(packet, line.version)
        if len(frame) > line.largest:
            if packet.qos == 0:
                self.counts.dropped[Dropped.CLIENT_SIZE] += 1
            return False
        line.say(frame)
        self.counts.published += 1
        return True

    def _free_id(self) -> int:
        while self._next_id in self._in_flight:
            self._next_id = self._next_id % 0xFFFF + 1
        found, self._next_id = self._next_id, self._next_id % 0xFFFF + 1
        return found

    def _drop(self, waiting: Waiting, why: Dropped) -> None:
        self.counts.dropped[why] += 1
        self._done(waiting)

    def _done(self, waiting: Waiting) -> None:
        if self.is_persistent:
            self.save(Delivered(self.key, waiting.number))


class Subscriptions:
    """Who has subscribed to a topic: a tree of levels, so the cost is that of the topic, not of the subscribers."""

    def __init__(self) -> None:
        self._root = _Level()

    def add(self, session: Session, subscription: Subscription) -> bool:
        """Subscribe, or replace the subscription under the same filter; True when it is new."""
        level = self._root
        for word in subscription.filter.split("/"):
            level = level.below.setdefault(word, _Level())
        level.here[session.key] = session
        is_new = subscription.filter not in session.subscriptions
        session.subscriptions[subscription.filter] = subscription
        return is_new

    def remove(self, session: Session, wanted: str) -> bool:
        """False when the session had no such subscription."""
        if session.subscriptions.pop(wanted, None) is None:
            return False
        path = [self._root]
        words = wanted.split("/")
        for word in words:
            path.append(path[-1].below[word])
        del path[-1].here[session.key]
        for above, word in zip(reversed(path[:-1]), reversed(words), strict=True):
            if above.below[word].here or above.below[word].below:
                break
            del above.below[word]
        return True

    def clear(self, session: Session) -> None:
        for wanted in list(session.subscriptions):
            self.remove(session, wanted)

    def matching(self, topic: str) -> list[tuple[Session, Subscription]]:
        """Each session once, with the subscription of the highest QoS that matches."""
        best: dict[SessionKey, tuple[Session, Subscription]] = {}
        words = topic.split("/")
        for wanted, session in self._walk(self._root, words, 0, []):
            subscription = session.subscriptions[wanted]
            held = best.get(session.key)
            if held is None or held[1].qos < subscription.qos:
                best[session.key] = (session, subscription)
        return list(best.values())

    def _walk(self, level: _Level, words: list[str], at: int, path: list[str]) -> Iterator[tuple[str, Session]]:
        rest = level.below.get("#")
        if rest is not None:
            wanted = "/".join([*path, "#"])
            yield from ((wanted, session) for session in rest.here.values())
        if at == len(words):
            wanted = "/".join(path)
            yield from ((wanted, session) for session in level.here.values())
            return
        for word in (words[at], "+"):
            below = level.below.get(word)
            if below is not None:
                yield from self._walk(below, words, at + 1, [*path, word])


@dataclass(slots=True)
class _Level:
    below: dict[str, _Level] = field(default_factory=dict)
    here: dict[SessionKey, Session] = field(default_factory=dict)


def matches(wanted: str, topic: str) -> bool:
    """Does a filter match a topic?"""
    words, levels = topic.split("/"), wanted.split("/")
    if levels[-1] == "#":
        levels.pop()
        words = words[: len(levels)] if len(words) >= len(levels) else words
    return len(words) == len(levels) and all(a in ("+", b) for a, b in zip(levels, words, strict=True))
