"""What a round decides: who may say what it said, what admission makes of it, and what is committed.

Nothing here is undone or repeated: a commit that found the log away is tried again with the same payloads.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ingest.answers import encode_errors
from ingest.door.access import NOBODY
from ingest.door.control import foreign
from ingest.door.limits import Cause
from ingest.door.reader import Reader
from ingest.door.state import DoorState
from ingest.ports import Intake, Kept, MessageBatch, Refused
from ingest.saved import Change, WillGone
from schemas.entries import Payload
from schemas.mqtt_fields import Reason
from schemas.readings import I64
from schemas.topics import STATUS_WORDS, DeviceTopic, device_topic


class Round:
    def __init__(self, state: DoorState, intake: Intake, after_us: int) -> None:
        self._state = state
        self._intake = intake
        self._arrival_us = after_us
        self._has_messages = False
        self.payloads: list[Payload] = []
        self.kept: list[Kept] = []
        self.changes: list[Change] = []

    @property
    def wants_commit(self) -> bool:
        return bool(self.payloads or self.kept or self.changes)

    def decide(self, reader: Reader) -> None:
        """Settle everything of the round that `reader` has found, up to its commit."""
        self.payloads = []
        self._speak_wills(reader)
        topic_ids = self._check(reader)
        batch = self._batch(reader, topic_ids)
        refused = self._number_refused()
        senders = {one.arrival_us: client_id for one, client_id in refused}
        answered = [one for one, _ in refused]
        self._has_messages = len(batch) > 0
        if self._has_messages:
            self._state.counts.messages += len(batch)
            admitted = self._intake.take(batch)
            if admitted.sensors:
                self.payloads.append(admitted.sensors)
            if len(admitted.readings):
                self.payloads.append(admitted.readings)
            for one in admitted.refused:
                answered.append(one)
                sender = int(batch.client[one.message])
                senders[one.arrival_us] = self._client_id(sender)
                # A clock to mend (not kept) slows nobody down: no good value waits for its clock.
                if sender >= 0 and one.kept:
                    self._state.columns.refused[sender] += 1
        for one in answered:
            self._answer(one)
        if answered:
            reader.hold_refused()
        source = self._state.settings.name
        self.kept = [Kept.of(one, senders[one.arrival_us], source) for one in answered if one.kept]
        self.changes = self._state.drain_changes()

    def committed(self) -> None:
        if self._has_messages:
            self._intake.committed()

    def _speak_wills(self, reader: Reader) -> None:
        """Wills enter the log like any message, behind what was received, as far as there is room."""
        state, found, at = self._state, reader.found, reader.filled
        spoken = 0
        for will in state.spoken:
            topic = will.topic.encode()
            middle, end = at + len(topic), at + len(topic) + len(will.payload)
            if end > len(reader.buffer) or found.count >= found.capacity:
                break
            reader.buffer[at:middle] = np.frombuffer(topic, np.uint8)
            reader.buffer[middle:end] = np.frombuffer(will.payload, np.uint8)
            state.rights.intern(topic)
            found.add(NOBODY, (at, middle), (middle, end), min(will.qos, 1), 0, will.retain)
            at = end
            spoken += 1
            if not state.has_will(will.key):
                state.changes.append(WillGone(will.key))
        del state.spoken[:spoken]

    def _check(self, reader: Reader) -> npt.NDArray[np.int32]:
        """Numbers of the topics of all rows that may be taken; the others are only acknowledged."""
        state, found, count = self._state, reader.found, reader.found.count
        rows: Any = slice(0, count)
        if not found.taken[:count].all():
            rows = np.flatnonzero(found.taken[:count])
        starts, ends = found.topic_start[rows], found.topic_end[rows]
        logins = np.append(state.columns.login[reader.numbers], np.int32(NOBODY))
        checked = state.rights.check(reader.buffer, starts, ends, logins[found.connection[rows]])
        places = np.arange(count)[rows]
        for row in checked.foreign:
            place = int(places[row])
            found.taken[place], found.reason[place] = 0, Reason.NOT_AUTHORIZED
            foreign(state, state.connections[int(reader.numbers[found.connection[place]])])
        for row in checked.malformed:
            place = int(places[row])
            found.taken[place] = found.qos[place] = 0
            connection = state.connections[int(reader.numbers[found.connection[place]])]
            state.leave(connection, Cause.MALFORMED, Reason.TOPIC_NAME_INVALID)
        ids = checked.topic_id
        may_status = ids if not (checked.foreign or checked.malformed) else np.maximum(ids, 0)
        for row in np.flatnonzero(state.rights.is_status(may_status) & (ids >= 0)).tolist():
            self._status(reader, int(places[row]))
        if len(ids) == count:
            return ids
        spread = np.full(count, -1, np.int32)
        spread[rows] = ids
        return spread

    def _status(self, reader: Reader, place: int) -> None:
        """A device's status reaches its subscribers, and stays for later ones where it asks so."""
        state, found, buffer = self._state, reader.found, reader.buffer
        topic = buffer[found.topic_start[place] : found.topic_end[place]].tobytes().decode()
        payload = buffer[found.payload_start[place] : found.payload_end[place]].tobytes()
        qos, is_retained, who = int(found.qos[place]), bool(found.retain[place]), int(found.connection[place])
        if payload in STATUS_WORDS or (is_retained and not payload):
            if is_retained:
                state.retain(topic, payload, min(qos, 1))
            sender = state.connections[int(reader.numbers[who])].session.key if who >= 0 else None
            state.route(topic, payload, min(qos, 1), is_retained, sender)
        if is_retained and not payload:
            # It deletes what is retained and says nothing of the device.
            found.taken[place] = 0

    def _batch(self, reader: Reader, topic_ids: npt.NDArray[np.int32]) -> MessageBatch:
        found, count = reader.found, reader.found.count
        rows: Any = slice(0, count)
        if not found.taken[:count].all():
            rows = np.flatnonzero(found.taken[:count])
        connection = found.connection[rows]
        numbers = np.append(reader.numbers, np.int32(NOBODY))
        return MessageBatch(
            buffer=reader.buffer,
            topic_start=found.topic_start[rows],
            topic_end=found.topic_end[rows],
            payload_start=found.payload_start[rows],
            payload_end=found.payload_end[rows],
            topic_id=topic_ids[rows],
            arrival_us=self._arrivals(len(connection)),
            client=numbers[connection],
        )

    def _arrivals(self, count: int) -> I64:
        """Strictly increasing over the life of the log, whatever the clock does."""
        first = max(self._state.clock(), self._arrival_us + 1)
        if count:
            self._arrival_us = first + count - 1
        return np.arange(first, first + count, dtype=np.int64)

    def _number_refused(self) -> list[tuple[Refused, str]]:
        refused = self._state.refused
        numbered = [
            (replace(one, arrival_us=int(arrival)), client_id)
            for (one, client_id), arrival in zip(refused, self._arrivals(len(refused)), strict=True)
        ]
        refused.clear()
        return numbered

    def _client_id(self, number: int) -> str:
        """Of the sender; empty for a will."""
        return self._state.connections[number].session.key.client_id if number >= 0 else ""

    def _answer(self, refused: Refused) -> None:
        topic = device_topic(refused.enterprise, refused.device, "errors")
        if DeviceTopic.parse(topic) is not None:
            self._state.route(topic, encode_errors(refused), 1, False)
