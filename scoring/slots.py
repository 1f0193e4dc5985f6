"""Ids to slots: open addressing in 256 segments, each of which doubles alone, so no reading waits for a rehash.

Ids are hashes, so they are used as they are: 8 bits choose the segment, the next ones the place, the top 6 are a tag
beside the slot in one entry of 4 bytes. A tag that fits is proven against `ids`. Nothing is ever removed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from schemas.readings import I64
from scoring.compiled import inlined, kernel
from scoring.layout import I32, NONE, IdTable
from scoring.memory import reserve

SEGMENTS = 256
SLOT_BITS = 26
MOST = (1 << SLOT_BITS) - 1
FIRST_SIZE = 16


def new_table(capacity: int) -> IdTable:
    """An empty table for at most `capacity` ids (below 2^26). Raises ValueError or MemoryError."""
    if not 0 < capacity <= MOST:
        raise ValueError(f"a table holds 1 to {MOST} ids, not {capacity}")
    room = 1 << max(10, (2 * capacity // SEGMENTS - 1).bit_length())
    return IdTable(
        reserve(np.uint32, SEGMENTS * room).reshape(SEGMENTS, room),
        np.full(SEGMENTS, FIRST_SIZE, np.int64),
        np.zeros(SEGMENTS, np.int64),
        reserve(np.int64, capacity),
    )


@inlined
def find(table: IdTable, number: Any) -> Any:
    """The slot of an id, NONE when it is not there."""
    segment = number & 255
    mask = table.sizes[segment] - 1
    row = table.entries[segment]
    tag = np.uint32((number >> 57) & 63)
    place = (number >> 8) & mask
    while True:
        entry = row[place]
        if entry == 0:
            return NONE
        if np.uint32(entry >> np.uint32(26)) == tag:
            slot = np.int64(entry & np.uint32(0x3FFFFFF)) - 1
            if table.ids[slot] == number:
                return slot
        place = (place + 1) & mask


@inlined
def _put(row: Any, mask: Any, number: Any, slot: Any) -> None:
    place = (number >> 8) & mask
    while row[place] != 0:
        place = (place + 1) & mask
    row[place] = np.uint32((((number >> 57) & 63) << 26) | (slot + 1))


@kernel
def add(table: IdTable, numbers: Any, first: Any) -> int:
    """Give `numbers` (new, each once) the slots first, first + 1 …; returns how many found room."""
    for i in range(len(numbers)):
        if first + i >= len(table.ids):
            return i
        number = numbers[i]
        segment = number & 255
        row = table.entries[segment]
        size = table.sizes[segment]
        # Full between two thirds and nine tenths, each segment elsewhere: they do not all grow at one time.
        if (table.counts[segment] + 1) * 1024 > size * (672 + segment):
            if size * 2 > len(row):
                return i
            old = row[:size].copy()
            row[:size] = 0
            size *= 2
            table.sizes[segment] = size
            for entry in old:
                if entry != 0:
                    slot = np.int64(entry & np.uint32(0x3FFFFFF)) - 1
                    _put(row, size - 1, table.ids[slot], slot)
        table.ids[first + i] = number
        _put(row, size - 1, number, first + i)
        table.counts[segment] += 1
    return len(numbers)


@kernel
def resolve(table: IdTable, numbers: Any, slots: Any) -> None:
    """slots[i] = the slot of numbers[i], NONE when unknown; both (n,)."""
    for i in range(len(numbers)):
        slots[i] = find(table, numbers[i])


def slots_of(table: IdTable, numbers: I64) -> I32:
    """(n,) int32 slots of (n,) int64 ids, NONE (-1) where unknown."""
    slots = np.empty(len(numbers), np.int32)
    view = numbers.view()
    view.flags.writeable = False  # as the columns of a batch are, so that one compiled form serves both
    resolve(table, view, slots)
    return slots
