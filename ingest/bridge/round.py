"""What a round of the bridge decides: which messages are taken, what admission makes of them, what is committed.

Nothing here is undone or repeated: a commit that found the log away is tried again with the same payloads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ingest.answers import encode_errors
from ingest.arena import Column
from ingest.bridge.limits import Counts, Dropped
from ingest.bridge.seat import Seat
from ingest.door.scan import Found
from ingest.intern import ByteTable
from ingest.ports import Intake, Kept, MessageBatch, Refused
from schemas import mqtt
from schemas.entries import Payload
from schemas.mqtt_fields import ProtocolFault
from schemas.readings import I64, U8
from schemas.topics import STATUS_WORDS, DeviceTopic, device_topic

I32 = npt.NDArray[np.int32]

_TAKEN = ("telemetry", "status")
_UNKNOWN, _ONLINE, _OFFLINE = 0, 1, 2
_TELEMETRY = 0xFF
"""Of a topic, in the column of statuses."""


class Round:
    """source: this bridge's name in quarantine.  clock: µs since 1970.  after_us: the last arrival of the log."""

    def __init__(self, source: str, intake: Intake, counts: Counts, clock: Callable[[], int], after_us: int) -> None:
        self._source = source
        self._intake = intake
        self._counts = counts
        self._clock = clock
        self._arrival_us = after_us
        self._topics = ByteTable()
        self._status = Column(np.uint8, 1024)
        """By topic: the device's last status, or that it is telemetry."""
        self._has_messages = False
        self._answered: list[tuple[Refused, Seat]] = []
        self.payloads: list[Payload] = []
        self.kept: list[Kept] = []

    @property
    def wants_commit(self) -> bool:
        return bool(self.payloads or self.kept)

    def decide(self, buffer: U8, found: Found, seats: Sequence[Seat]) -> None:
        """Settle everything of the round up to its commit. seats: by the places that `found` has as connections."""
        self.payloads = []
        topic_ids = self._look_up(buffer, found)
        self._drop_repeated(buffer, found, seats)
        self._drop_retained(buffer, found, topic_ids)
        answered = self._number_refused(seats)
        batch = self._batch(buffer, found, topic_ids)
        self._has_messages = len(batch) > 0
        if self._has_messages:
            self._counts.messages += len(batch)
            admitted = self._intake.take(batch)
            if admitted.sensors:
                self.payloads.append(admitted.sensors)
            if len(admitted.readings):
                self.payloads.append(admitted.readings)
            answered += [(one, seats[int(batch.client[one.message])]) for one in admitted.refused]
        self._answered = answered
        # Who sent it, a broker does not say.
        self.kept = [Kept.of(one, "", self._source) for one, _ in answered if one.kept]

    def committed(self) -> None:
        """What the round has said is durable: its devices may be told."""
        if self._has_messages:
            self._intake.committed()
        for one, seat in self._answered:
            topic = device_topic(one.enterprise, one.device, "errors")
            if DeviceTopic.parse(topic) is not None:
                seat.outbox.put(topic, encode_errors(one))

    def _look_up(self, buffer: U8, found: Found) -> I32:
        """Numbers of the topics of all rows; what is neither telemetry nor status is not taken."""
        count = found.count
        ids = np.full(count, -1, np.int32)
        rows = np.flatnonzero(found.taken[:count])
        ids[rows] = self._topics.lookup(buffer, found.topic_start[rows], found.topic_end[rows])
        unknown: dict[bytes, list[int]] = {}
        for row in rows[ids[rows] < 0].tolist():
            topic = buffer[found.topic_start[row] : found.topic_end[row]].tobytes()
            unknown.setdefault(topic, []).append(row)
        for topic, number in self._intern(unknown):
            for row in unknown[topic]:
                ids[row] = number
                if number < 0:
                    self._drop(found, row, Dropped.FOREIGN)
        return ids

    def _intern(self, topics: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
        """Their numbers, -1 where nothing is read from: a stranger cannot fill the table."""
        leaves = {topic: _leaf_of(topic) for topic in topics}
        taken = [topic for topic, leaf in leaves.items() if leaf in _TAKEN]
        if taken:
            numbers = self._topics.add_all(taken)
            self._status.reserve(len(self._topics))
            kinds = [_UNKNOWN if leaves[topic] == "status" else _TELEMETRY for topic in taken]
            self._status.array[numbers] = kinds
            yield from zip(taken, numbers.tolist(), strict=True)
        yield from ((topic, -1) for topic, leaf in leaves.items() if leaf not in _TAKEN)

    def _drop_repeated(self, buffer: U8, found: Found, seats: Sequence[Seat]) -> None:
        """What a broker sends again since our PUBACK did not reach it is in the log already."""
        for row in np.flatnonzero(found.dup[: found.count] & found.taken[: found.count]).tolist():
            if seats[int(found.connection[row])].committed.holds(buffer, found, row):
                self._drop(found, row, Dropped.REPEATED)

    def _drop_retained(self, buffer: U8, found: Found, topic_ids: I32) -> None:
        """Of what is retained only a status is news, and only one that differs from what was heard last."""
        count = found.count
        kinds = self._status.array[np.maximum(topic_ids, 0)]
        is_telemetry = (kinds == _TELEMETRY) & (topic_ids >= 0)
        taken = found.taken[:count].astype(bool)
        for row in np.flatnonzero(is_telemetry & taken & (found.retain[:count] == 1)).tolist():
            self._drop(found, row, Dropped.RETAINED)
        for row in np.flatnonzero(~is_telemetry & taken).tolist():
            payload = buffer[found.payload_start[row] : found.payload_end[row]].tobytes()
            if not payload:
                self._drop(found, row, Dropped.EMPTY_STATUS)
            elif payload in STATUS_WORDS:
                said = _ONLINE if STATUS_WORDS[payload] else _OFFLINE
                if found.retain[row] and self._status.array[topic_ids[row]] == said:
                    self._drop(found, row, Dropped.REPEATED)
                self._status.array[topic_ids[row]] = said

    def _drop(self, found: Found, row: int, why: Dropped) -> None:
        found.taken[row] = 0
        self._counts.dropped[why] += 1

    def _batch(self, buffer: U8, found: Found, topic_ids: I32) -> MessageBatch:
        rows: Any = slice(0, found.count)
        if not found.taken[: found.count].all():
            rows = np.flatnonzero(found.taken[: found.count])
        connection = found.connection[rows]
        return MessageBatch(
            buffer=buffer,
            topic_start=found.topic_start[rows],
            topic_end=found.topic_end[rows],
            payload_start=found.payload_start[rows],
            payload_end=found.payload_end[rows],
            topic_id=topic_ids[rows],
            arrival_us=self._arrivals(len(connection)),
            client=connection,
        )

    def _arrivals(self, count: int) -> I64:
        """Strictly increasing over the life of the log, whatever the clock does."""
        first = max(self._clock(), self._arrival_us + 1)
        if count:
            self._arrival_us = first + count - 1
        return np.arange(first, first + count, dtype=np.int64)

    def _number_refused(self, seats: Sequence[Seat]) -> list[tuple[Refused, Seat]]:
        """What the lines refused themselves, with its arrivals."""
        refused = [(one, seat) for seat in seats for one in seat.take_refused()]
        arrivals = self._arrivals(len(refused)).tolist()
        return [(replace(one, arrival_us=at), seat) for (one, seat), at in zip(refused, arrivals, strict=True)]


def _leaf_of(topic: bytes) -> str:
    """Empty when it is no device's topic."""
    try:
        parsed = DeviceTopic.parse(mqtt.decode_topic(topic))
    except ProtocolFault:
        return ""
    return parsed.leaf if parsed is not None else ""
