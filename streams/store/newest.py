"""The newest reading of every sensor, in memory: what tells a new reading from a late one without a query.

An open-addressing table from sensor id to a dense slot; 35 MB for a million sensors. It is exact when it has seen every
reading of the log up to the store's position, in any cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from schemas.readings import F64, I64, U8, ReadingBatch
from scoring.compiled import inlined, kernel


class Verdict(IntEnum):
    """What a reading is to the store."""

    NEW = 0
    """Newer than its sensor's newest: never seen before, by construction."""
    LATE = 1
    DUPLICATE = 2
    """At the newest's time, with its value."""
    CONFLICTING = 3
    """At the newest's time, with another value: the first stays."""
    TOO_OLD = 4


@dataclass(frozen=True, slots=True)
class LastValues:
    """n sensors' newest readings: (n,) each, times in µs since 1970."""

    sensor_id: I64
    event_time: I64
    value: F64
    quality: U8

    def __len__(self) -> int:
        return len(self.sensor_id)


class Newest:
    """Judges batches in order of (sensor_id, event_time) and remembers each sensor's newest reading."""

    def __init__(self, sensors: int = 1 << 12) -> None:
        """sensors: room to begin with; it grows by doubling."""
        self._count = 0
        self._ids, self._times, self._values, self._qualities, self._dirty = _columns(0)
        self._make_room(max(sensors, 16))

    def __len__(self) -> int:
        return self._count

    @property
    def changed(self) -> int:
        """How many sensors have a newer reading than `take_changed` gave last."""
        return int(np.count_nonzero(self._dirty[: self._count]))

    def judge(self, batch: ReadingBatch, retention_us: int) -> U8:
        """(n,) `Verdict` of each reading, and what is newest moves on.

        batch: by (sensor_id, event_time), as they came where equal.  A reading whose arrival lies more than
        `retention_us` after its event_time is too old and forgotten.
        """
        while self._count + len(batch) > self._capacity:
            needed = self._count + int(np.count_nonzero(np.diff(batch.sensor_id))) + 1
            if needed <= self._capacity:
                break
            self._make_room(2 * self._capacity)
        verdicts = np.empty(len(batch), np.uint8)
        self._count = _judge(
            batch.sensor_id, batch.event_time, batch.arrival_time, batch.value, batch.quality, retention_us, verdicts,
            self._index, self._count, self._ids, self._times, self._values, self._qualities, self._dirty,
        )  # fmt: skip
        return verdicts

    def load(self, last: LastValues) -> None:
        """Take what was saved; none of it counts as changed."""
        while self._count + len(last) > self._capacity:
            self._make_room(2 * self._capacity)
        before = self._dirty[: self._count].copy()
        order = np.argsort(last.sensor_id)
        n = len(last)
        self.judge(
            ReadingBatch(
                last.sensor_id[order], last.event_time[order], last.event_time[order], last.value[order],
                last.quality[order], np.zeros(n, np.uint8),
            ),
            0,
        )  # fmt: skip
        self._dirty[: self._count] = False
        self._dirty[: len(before)] = before

    def take_changed(self) -> LastValues:
        """A copy of what has changed since the last call; O(sensors)."""
        which = np.flatnonzero(self._dirty[: self._count])
        self._dirty[: self._count] = False
        return LastValues(self._ids[which], self._times[which], self._values[which], self._qualities[which])

    def _make_room(self, capacity: int) -> None:
        """Room for `capacity` sensors; the index is at most two thirds full."""
        count = self._count
        old = (self._ids, self._times, self._values, self._qualities, self._dirty)
        self._capacity = capacity
        self._ids, self._times, self._values, self._qualities, self._dirty = new = _columns(capacity)
        for was, now in zip(old, new, strict=True):
            np.copyto(now[:count], was[:count])
        slots = 1 << (capacity * 3 // 2 - 1).bit_length()
        self._index = np.full(slots, -1, np.int32)
        _fill_index(self._index, self._ids, self._count)


def _columns(n: int) -> tuple[I64, I64, F64, U8, npt.NDArray[np.bool_]]:
    """Ids, times, values, qualities, and whether newer than what was saved."""
    numbers = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.float64)
    return *numbers, np.empty(n, np.uint8), np.zeros(n, np.bool_)


@inlined
def _place(index: npt.NDArray[np.int32], ids: I64, sensor: int) -> int:
    """Where in the index the sensor is, or would be. Fibonacci hashing, then step by step."""
    mask = len(index) - 1
    at = ((sensor * 7046029254386353131) >> 24) & mask
    while index[at] >= 0 and ids[index[at]] != sensor:
        at = (at + 1) & mask
    return at


@kernel
def _fill_index(index: npt.NDArray[np.int32], ids: I64, count: int) -> None:
    for slot in range(count):
        index[_place(index, ids, ids[slot])] = slot


@kernel
def _judge(
    sensor_id: I64, event_time: I64, arrival_time: I64, value: F64, quality: U8, retention_us: int, verdicts: U8,
    index: npt.NDArray[np.int32], count: int, ids: I64, times: I64, values: F64, qualities: U8,
    dirty: npt.NDArray[np.bool_],
) -> int:  # fmt: skip
    slot = -1
    for i in range(len(sensor_id)):
        if arrival_time[i] - event_time[i] > retention_us:
            verdicts[i] = 4
            continue
        sensor = sensor_id[i]
        if slot < 0 or ids[slot] != sensor:
            at = _place(index, ids, sensor)
            slot = index[at]
            if slot < 0:
                slot = count
                count += 1
                index[at] = slot
                ids[slot] = sensor
                times[slot] = event_time[i] - 1
        if event_time[i] > times[slot]:
            verdicts[i] = 0
            times[slot] = event_time[i]
            values[slot] = value[i]
            qualities[slot] = quality[i]
            dirty[slot] = True
        elif event_time[i] < times[slot]:
            verdicts[i] = 1
        elif value[i] == values[slot]:
            verdicts[i] = 2
        else:
            verdicts[i] = 3
    return count
