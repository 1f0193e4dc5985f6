"""Who goes into which partition: batches and sensors are cut by enterprise, everything else stands in every one.

A batch knows its sensors by id alone, so the partition of each is learnt from the `Sensors` that pass before it. About
20 bytes a sensor, found by compiled look-ups; nothing is ever forgotten.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from schemas.entries import Payload, Sensors
from schemas.errors import TocsinError
from schemas.readings import ReadingBatch
from scoring import slots
from scoring.blake2b import number_of
from scoring.compiled import kernel
from scoring.declarations import ENTERPRISE, declarations, picked
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
        told = declarations(declared)
        where = np.empty(len(told.ids), np.int16)
        self._known, fits = _learn(
            self._table, self._partition_of_slot, self._known, told.body, told.ids, told.starts, told.ends,
            self.partitions, where,
        )  # fmt: skip
        if not fits:
            raise TocsinError(
                f"there is room for {len(self._partition_of_slot)} sensors, and it is used up.",
                mend="Run more doors, each for a part of the devices.",
            )
        filled = np.unique(where).tolist()
        if len(filled) == 1:
            return [(filled[0], declared)]
        return [(p, picked(told, np.flatnonzero(where == p))) for p in filled]


@kernel
def _learn(
    table: IdTable, partition_of_slot: Any, known: Any, body: Any, ids: Any, starts: Any, ends: Any, partitions: Any,
    where: Any,
) -> Any:  # fmt: skip
    """Fill `where` with each sensor's partition and remember those that are new; returns (known, all found room)."""
    scratch = np.empty(24, np.uint64)
    one = np.empty(1, np.int64)
    at, size, partition = np.int64(0), np.int64(-1), np.int64(0)
    for i in range(len(ids)):
        start, end = np.int64(starts[i, ENTERPRISE]), np.int64(ends[i, ENTERPRISE])
        same = end - start == size
        if same:
            for j in range(size):
                same &= body[start + j] == body[at + j]
        if not same:
            at, size = start, end - start
            partition = number_of(body, start, end, scratch) % partitions
        where[i] = partition
        if slots.find(table, ids[i]) == NONE:
            one[0] = ids[i]
            if known == len(partition_of_slot) or slots.add(table, one, known) < 1:
                return known, False
            partition_of_slot[known] = partition
            known += 1
    return known, True


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
