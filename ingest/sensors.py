"""The sensors that have spoken: (topic, key in the payload) → dense index → id, as columns.

No Python object a sensor: a million of them cost about 25 MB. Sensors of one device are bounded, so that a bad client
cannot fill memory.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ingest.admission import Named
from ingest.arena import Column
from ingest.intern import ByteTable
from ingest.naming import Candidates, candidates, declared
from ingest.pairs import add_pairs, find_pairs
from ingest.ports import MessageBatch
from schemas.entries import Sensor
from schemas.errors import TocsinError
from schemas.identity import SensorKey, id_of
from schemas.readings import I64, U8
from schemas.topics import DeviceTopic
from scoring import slots

SENSORS_PER_DEVICE = 1000
CAPACITY = 1 << 25
"""Sensors that there is address space for."""

I32 = npt.NDArray[np.int32]


class Declared(NamedTuple):
    """So many sensors as they stand in a `Sensors` entry, behind its head."""

    body: bytes
    sensors: int


class Spoken(NamedTuple):
    """An admitted reading and where it came from. topic_id: the door's number of `topic`."""

    topic_id: int
    topic: DeviceTopic
    reading: Named


class SensorTable:
    """The compiled reader looks up its columns; `settle` and `learn` add to them. One thread at a time.

    limit: sensors that one topic may name.  capacity: the most in all (address space, not memory).
    seed: 16 secret bytes, random where not given.
    """

    def __init__(self, *, limit: int = SENSORS_PER_DEVICE, capacity: int = CAPACITY, seed: bytes | None = None) -> None:
        secret = secrets.token_bytes(16) if seed is None else seed
        self.limit = limit
        self.keys = ByteTable(secret)
        """measure[.channel] as it stands in payloads."""
        self.measures = Column(np.uint8, 512)
        """By key."""
        self.pairs = slots.new_table(capacity)
        self.seed = np.uint64(int.from_bytes(secret[:8], "little"))
        self.ids = Column(np.int64, 512)
        self._known = 0
        self._per_topic = Column(np.uint16, 512)

    def __len__(self) -> int:
        return self._known

    def candidates(self, messages: MessageBatch, which: I64) -> Candidates:
        """See `ingest.naming`."""
        self._per_topic.reserve(int(messages.topic_id[which].max(initial=0)) + 1)
        return candidates(messages, which, self._per_topic.array, self.limit)

    def trial(self, messages: MessageBatch, found: Candidates) -> tuple[SensorTable, I64]:
        """A table of the candidates alone, in which a sensor's id is its own index; and the candidate of each id."""
        made = SensorTable(limit=self.limit, capacity=max(1, len(found.start)))
        indices = made._learn_pairs(messages, found, slice(None))
        first: I64 = np.flatnonzero(indices > np.maximum.accumulate(np.append(np.int32(-1), indices))[:-1])
        made.ids.reserve(len(first))
        made.ids.array[: len(first)] = np.arange(len(first))
        return made, first

    def learn(self, messages: MessageBatch, found: Candidates, which: I64) -> tuple[I64, Declared]:
        """The ids of the candidates `which`, each named once, and those never seen before as they are declared."""
        before = len(self)
        indices = self._learn_pairs(messages, found, which)
        fresh = which[indices >= before]
        self.ids.reserve(len(self))
        body = declared(messages, found, fresh, self.ids.array[before : len(self)], self._per_topic.array)
        return self.ids.array[indices], Declared(body, len(fresh))

    def settle(self, spoken: Sequence[Spoken]) -> tuple[I64, list[Sensor]]:
        """The sensors' ids, -1 where the device has too many, and the sensors that were never seen before."""
        topics: I64 = np.fromiter((one.topic_id for one in spoken), np.int64, len(spoken))
        texts = [one.reading.key.encode() for one in spoken]
        indices = self._find(topics, texts)
        fresh: dict[tuple[int, bytes], Spoken] = {}
        for i in np.flatnonzero(indices < 0).tolist():
            topic_id = spoken[i].topic_id
            self._per_topic.reserve(topic_id + 1)
            if (topic_id, texts[i]) not in fresh and self._per_topic.array[topic_id] < self.limit:
                self._per_topic.array[topic_id] += 1
                fresh[topic_id, texts[i]] = spoken[i]
        if fresh:
            first = len(self)
            keys = self.keys.add_all([text for _, text in fresh])
            self._add(np.array([topic_id for topic_id, _ in fresh], np.int64), keys)
            self.ids.reserve(len(self))
            sensors = [_sensor_of(one) for one in fresh.values()]
            self.ids.array[first : len(self)] = [sensor.id for sensor in sensors]
            self._note_measures(keys, np.array([one.reading.measure.code for one in fresh.values()], np.uint8))
            indices = self._find(topics, texts)
            return np.where(indices < 0, -1, self.ids.array[indices]), sensors
        return np.where(indices < 0, -1, self.ids.array[indices]), []

    def _find(self, topics: I64, texts: Sequence[bytes]) -> I32:
        found = np.empty(len(topics), np.int32)
        find_pairs(self.pairs, self.seed, topics, self.keys.find_all(texts), found)
        return found

    def _learn_pairs(self, messages: MessageBatch, found: Candidates, which: I64 | slice) -> I32:
        """The indices of candidates; those that are not known are added, their ids to be filled."""
        keys = self.keys.add_many(messages.buffer, found.start[which], found.end[which])
        self._note_measures(keys, found.code[which])
        return self._add(messages.topic_id[found.message[which]].astype(np.int64), keys)

    def _note_measures(self, keys: I32, codes: U8) -> None:
        self.measures.reserve(len(self.keys))
        self.measures.array[keys] = codes

    def _add(self, topics: I64, keys: I32) -> I32:
        found = np.empty(len(topics), np.int32)
        known = add_pairs(self.pairs, self.seed, topics, keys, self._known, found)
        if known < 0:
            raise TocsinError(
                f"there is room for {len(self.pairs.ids)} sensors, and it is used up.",
                mend="Run more doors, each for a part of the devices.",
            )
        self._known = int(known)
        return found


def _sensor_of(spoken: Spoken) -> Sensor:
    key = SensorKey(spoken.topic.enterprise, spoken.topic.device, spoken.reading.measure.name, spoken.reading.channel)
    return Sensor(id_of(str(key)), *key, spoken.reading.measure.unit)
