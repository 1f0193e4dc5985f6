"""The newest reading of every sensor, in memory: what tells a new reading from a late one without a query.

An open-addressing index over one entry of 32 bytes a sensor (one cache line holds all that is asked of it): 40 MB for
a million sensors. It is exact when it has seen every reading of the log up to the store's position, in any cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from schemas.readings import F64, I64, U8, ReadingBatch
from scoring.compiled import inlined, kernel

_WIDTH = 4
_ID, _TIME, _VALUE, _FLAGS = range(_WIDTH)
"""Columns of an entry: id, event time, the value's IEEE 754 bits, quality and whether it changed."""
_CHANGED = 1 << 8


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
        self._entries = np.empty((0, _WIDTH), np.int64)
        self._index = np.empty(0, np.int32)
        self._make_room(max(sensors, 16))

    def __len__(self) -> int:
        return self._count

    @property
    def changed(self) -> int:
        """How many sensors have a newer reading than `take_changed` gave last."""
        return int(np.count_nonzero(self._entries[: self._count, _FLAGS] & _CHANGED))

    def judge(self, batch: ReadingBatch, retention_us: int) -> U8:
        """(n,) `Verdict` of each reading, and what is newest moves on.

        batch: by (sensor_id, event_time), as they came where equal.  A reading whose arrival lies more than
        `retention_us` after its event_time is too old and forgotten.
        """
        if self._count + len(batch) > len(self._entries):
            self._make_room(self._count + int(np.count_nonzero(np.diff(batch.sensor_id))) + 1)
        verdicts = np.empty(len(batch), np.uint8)
        self._count = _judge(
            batch.sensor_id, batch.event_time, batch.arrival_time, batch.value.view(np.int64), batch.quality,
            retention_us, verdicts, self._index, self._count, self._entries,
        )  # fmt: skip
        return verdicts

    def load(self, last: LastValues) -> None:
        """Take what was saved, before anything is judged; none of it counts as changed."""
        assert not self._count
        n = len(last)
        self._make_room(n)
        self._entries[:n, _ID] = last.sensor_id
        self._entries[:n, _TIME] = last.event_time
        self._entries[:n, _VALUE] = last.value.view(np.int64)
        self._entries[:n, _FLAGS] = last.quality
        self._count = n
        _fill_index(self._index, self._entries, n)

    def take_changed(self) -> LastValues:
        """A copy of what has changed since the last call; O(sensors)."""
        entries = self._entries[: self._count]
        changed = entries[(entries[:, _FLAGS] & _CHANGED) != 0]
        entries[:, _FLAGS] &= ~_CHANGED
        return LastValues(
            changed[:, _ID].copy(), changed[:, _TIME].copy(), changed[:, _VALUE].copy().view(np.float64),
            changed[:, _FLAGS].astype(np.uint8),
        )  # fmt: skip

    def _make_room(self, sensors: int) -> None:
        """Room for at least so many sensors, by doubling; the index is at most half full."""
        capacity = max(len(self._entries), 16)
        while capacity < sensors:
            capacity *= 2
        if capacity == len(self._entries):
            return
        entries = np.empty((capacity, _WIDTH), np.int64)
        entries[: self._count] = self._entries[: self._count]
        self._entries = entries
        self._index = np.full(1 << (2 * capacity - 1).bit_length(), -1, np.int32)
        _fill_index(self._index, self._entries, self._count)


@inlined
def _place(index: npt.NDArray[np.int32], entries: I64, sensor: int) -> int:
    """Where in the index the sensor is, or would be. Fibonacci hashing, then step by step."""
    mask = len(index) - 1
    at = ((sensor * 7046029254386353131) >> 24) & mask
    while index[at] >= 0 and entries[index[at], _ID] != sensor:
        at = (at + 1) & mask
    return at


@kernel
def _fill_index(index: npt.NDArray[np.int32], entries: I64, count: int) -> None:
    for slot in range(count):
        index[_place(index, entries, entries[slot, _ID])] = slot


@kernel
def _judge(
    sensor_id: I64, event_time: I64, arrival_time: I64, bits: I64, quality: U8, retention_us: int, verdicts: U8,
    index: npt.NDArray[np.int32], count: int, entries: I64,
) -> int:  # fmt: skip
    slot = -1
    for i in range(len(sensor_id)):
        if arrival_time[i] - event_time[i] > retention_us:
            verdicts[i] = 4
            continue
        sensor = sensor_id[i]
        if slot < 0 or entries[slot, _ID] != sensor:
            at = _place(index, entries, sensor)
            slot = index[at]
            if slot < 0:
                slot = count
                count += 1
                index[at] = slot
                entries[slot, _ID] = sensor
                entries[slot, _TIME] = event_time[i] - 1
        if event_time[i] > entries[slot, _TIME]:
            verdicts[i] = 0
            entries[slot, _TIME] = event_time[i]
            entries[slot, _VALUE] = bits[i]
            entries[slot, _FLAGS] = quality[i] | _CHANGED
        elif event_time[i] < entries[slot, _TIME]:
            verdicts[i] = 1
        elif bits[i] == entries[slot, _VALUE]:
            verdicts[i] = 2
        else:
            verdicts[i] = 3
    return count
