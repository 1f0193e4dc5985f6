"""The sensors that have spoken: (topic, key in the payload) → dense index → id and measure, as columns.

No Python object a sensor: a million of them cost about 60 MB. Sensors of one device are bounded, so that a bad client
cannot fill memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ingest.admission import Named
from ingest.arena import Column
from ingest.intern import ByteTable
from ingest.naming import Candidates, candidates, declared
from ingest.ports import MessageBatch
from schemas.entries import Sensor
from schemas.identity import SensorKey, id_of
from schemas.readings import I64
from schemas.topics import DeviceTopic

SENSORS_PER_DEVICE = 1000


class Declared(NamedTuple):
    """So many sensors as they stand in a `Sensors` entry, behind its head."""

    body: bytes
    sensors: int


class Spoken(NamedTuple):
    """An admitted reading and where it came from. topic_id: the door's number of `topic`."""

    topic_id: int
    topic: DeviceTopic
    reading: Named

    @property
    def name(self) -> bytes:
        """What the table knows the sensor by."""
        return self.topic_id.to_bytes(4, "little") + self.reading.key.encode()


class SensorTable:
    """The compiled reader looks up its columns; `settle` adds to them. One thread at a time.

    limit: sensors that one topic may name.  seed: 16 bytes of the hash's key, random where not given.
    """

    def __init__(self, *, limit: int = SENSORS_PER_DEVICE, seed: bytes | None = None) -> None:
        self.limit = limit
        self.names = ByteTable(seed)
        self.ids = Column(np.int64, 512)
        self.measures = Column(np.uint8, 512)
        self._per_topic = Column(np.uint16, 512)

    def __len__(self) -> int:
        return len(self.names)

    def trial(self, found: Candidates) -> tuple[SensorTable, I64]:
        """A table of the candidates alone, in which a sensor's id is its own index; and the candidate of each id."""
        made = SensorTable(limit=self.limit)
        numbers = made.names.add_many(found.text, found.start, found.end)
        is_first = numbers > np.maximum.accumulate(np.concatenate((np.array([-1], np.int32), numbers)))[:-1]
        first = np.flatnonzero(is_first)
        made.ids.reserve(len(first))
        made.measures.reserve(len(first))
        made.ids.array[: len(first)] = np.arange(len(first))
        made.measures.array[: len(first)] = found.code[first]
        return made, first

    def candidates(self, messages: MessageBatch, which: I64) -> Candidates:
        """See `ingest.naming`."""
        self._per_topic.reserve(int(messages.topic_id[which].max(initial=0)) + 1)
        return candidates(messages, which, self._per_topic.array, self.limit)

    def learn(self, messages: MessageBatch, found: Candidates, which: I64) -> tuple[I64, Declared]:
        """The ids of the candidates `which`, each named once, and those never seen before as they are declared."""
        before = len(self)
        indices = self.names.add_many(found.text, found.start[which], found.end[which])
        fresh = which[indices >= before]
        self.ids.reserve(len(self))
        self.measures.reserve(len(self))
        ids, measures = self.ids.array[before : len(self)], self.measures.array[before : len(self)]
        body = declared(messages, found, fresh, ids, measures, self._per_topic.array)
        return self.ids.array[indices], Declared(body, len(fresh))

    def settle(self, spoken: Sequence[Spoken]) -> tuple[I64, list[Sensor]]:
        """The sensors' ids, -1 where the device has too many, and the sensors that were never seen before."""
        names = [one.name for one in spoken]
        indices = self.names.find_all(names)
        fresh: list[Sensor] = []
        fresh_names: dict[bytes, Spoken] = {}
        for i in np.flatnonzero(indices < 0).tolist():
            topic_id = spoken[i].topic_id
            self._per_topic.reserve(topic_id + 1)
            if names[i] not in fresh_names and self._per_topic.array[topic_id] < self.limit:
                self._per_topic.array[topic_id] += 1
                fresh_names[names[i]] = spoken[i]
        first = len(self)
        self.ids.reserve(first + len(fresh_names))
        self.measures.reserve(first + len(fresh_names))
        for index, (_, topic, reading) in enumerate(fresh_names.values(), first):
            measure = reading.measure
            key = SensorKey(topic.enterprise, topic.device, measure.name, reading.channel)
            self.ids.array[index] = id_of(str(key))
            self.measures.array[index] = measure.code
            fresh.append(Sensor(int(self.ids.array[index]), *key, measure.unit))
        if fresh_names:
            self.names.add_all(list(fresh_names))
            indices = self.names.find_all(names)
        ids: I64 = np.where(indices < 0, -1, self.ids.array[indices])
        return ids, fresh
