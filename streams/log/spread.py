"""Who goes into which partition: batches and sensors are cut by enterprise, everything else stands in every one.

A batch knows its sensors by id alone, so the partition of each is learnt from the `Sensors` that pass before it. About
20 bytes a sensor, found by compiled look-ups; nothing is ever forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from schemas.entries import Payload, Sensor, Sensors
from schemas.errors import TocsinError
from schemas.identity import partition_of
from schemas.readings import ReadingBatch
from scoring import slots
from scoring.compiled import kernel
from scoring.layout import NONE, IdTable
from scoring.memory import reserve

CAPACITY = 1 << 25
"""Sensors that there is address space for."""
MOST_PARTITIONS = 1 << 15


class Spread:
    """Cuts payloads by partition. One thread at a time.

    capacity: the most sensors (address space, not memory).
    """

    def __init__(self, partitions: int, capacity: int = CAPACITY) -> None:
        if not 0 < partitions < MOST_PARTITIONS:
            raise ValueError(f"a log has 1 to {MOST_PARTITIONS - 1} partitions, not {partitions}")
        self.partitions = partitions
        self._table = slots.new_table(capacity)
        self._partition_of_slot = reserve(np.int16, capacity)
        self._known = 0

    def __len__(self) -> int:
        """How many sensors are known."""
        return self._known

    def split(self, payload: Payload) -> list[tuple[int, Payload]]:
        """What each partition is told of `payload`, by rising partition.

        Raises ValueError when a reading's sensor was not declared here before, TocsinError when there is no more room.
        """
        if isinstance(payload, ReadingBatch):
            return list(self._split_batch(payload))
        if isinstance(payload, Sensors):
            return list(self._split_sensors(payload))
        return [(partition, payload) for partition in range(self.partitions)]

    def _split_batch(self, batch: ReadingBatch) -> list[tuple[int, ReadingBatch]]:
        if not len(batch):
            return []
        if self.partitions == 1:
            return [(0, batch)]
        order = np.empty(len(batch), np.int64)
        ends = np.zeros(self.partitions + 1, np.int64)
        numbers = batch.sensor_id.view()
        numbers.flags.writeable = False  # one compiled form, whoever owns the batch
        unknown = _order(self._table, self._partition_of_slot, numbers, order, ends)
        if unknown >= 0:
            raise ValueError(f"sensor {numbers[unknown]} has a reading and was never declared to this writer")
        bounds = ends.tolist()
        filled = [p for p in range(self.partitions) if bounds[p] < bounds[p + 1]]
        if len(filled) == 1:
            return [(filled[0], batch)]
        columns = [column[order] for column in batch.columns()]
        return [(p, ReadingBatch(*(column[bounds[p] : bounds[p + 1]] for column in columns))) for p in filled]

    def _split_sensors(self, declared: Sensors) -> list[tuple[int, Sensors]]:
        by_partition: dict[int, list[Sensor]] = {}
        partitions: list[int] = []
        enterprise, partition = "", -1
        for sensor in declared.sensors:
            if sensor.enterprise != enterprise or partition < 0:
                enterprise = sensor.enterprise
                partition = partition_of(enterprise, self.partitions)
            by_partition.setdefault(partition, []).append(sensor)
            partitions.append(partition)
        self._learn(declared.sensors, partitions)
        return [(p, Sensors(by_partition[p])) for p in sorted(by_partition)]

    def _learn(self, sensors: Sequence[Sensor], partitions: Sequence[int]) -> None:
        numbers = np.array([sensor.id for sensor in sensors], np.int64)
        new = np.flatnonzero(slots.slots_of(self._table, numbers) == NONE)
        fresh, first = np.unique(numbers[new], return_index=True)
        places = self._partition_of_slot[self._known : self._known + len(fresh)]
        if len(places) < len(fresh) or slots.add(self._table, fresh, self._known) < len(fresh):
            raise TocsinError(
                f"there is room for {len(self._partition_of_slot)} sensors, and it is used up.",
                mend="Run more doors, each for a part of the devices.",
            )
        places[:] = np.array(partitions, np.int16)[new[first]]
        self._known += len(fresh)


@kernel
def _order(table: IdTable, partition_of_slot: Any, numbers: Any, order: Any, ends: Any) -> int:
    """Fill `order` with the places of `numbers`, stably by partition; returns the first place that is unknown, or -1.

    ends: (partitions + 1,) zeros, filled so that partition p has order[ends[p] : ends[p + 1]].
    """
    n = len(numbers)
    slots_ = np.empty(n, np.int32)
    slots.resolve(table, numbers, slots_)
    where = np.empty(n, np.int16)
    for i in range(n):
        if slots_[i] == NONE:
            return i
        where[i] = partition_of_slot[slots_[i]]
        ends[where[i] + 1] += 1
    for p in range(1, len(ends)):
        ends[p] += ends[p - 1]
    at = ends[:-1].copy()
    for i in range(n):
        order[at[where[i]]] = i
        at[where[i]] += 1
    return -1
