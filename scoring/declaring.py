"""Take the sensors of an entry into the engine's memory: slots, devices, plans, all in one compiled pass.

What is rare is handed back by its reason, and the pass goes on behind it: a measure and channel, a plan or an
overridden device that is met for the first time, a device in a chunk of a snapshot that is not saved yet.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from schemas.readings import I64, U8
from scoring import slots
from scoring.blake2b import number_of
from scoring.compiled import inlined, kernel
from scoring.declarations import CHANNEL, DEVICE, ENTERPRISE, MEASURE
from scoring.layout import (
    CHANGED,
    CHUNK_BITS,
    DEVICE_SILENT,
    DEVICES,
    FROZEN,
    HAS_FIRE_SENSOR,
    I32,
    IS_SILENT,
    NEVER,
    NONE,
    SENSORS,
    Array,
    IdTable,
    Memory,
)

DONE, NEW_NAME, NEW_PLAN, NEW_DEVICE, FROZEN_DEVICE, NO_ROOM = 0, 1, 2, 3, 4, 5
"""Why the pass came back."""
LONGEST_KEY = 255
"""Bytes of `enterprise/device`."""
_ENTERPRISE_BITS = (1 << 32) - 1


class Names(NamedTuple):
    """What a sensor measures, by the bytes of measure and channel as they stand in an entry.

    places: open addressing, a power of two of them, entry or NONE.  at, size: (n,) an entry's bytes in `arena`.
    number: the name's number, NONE for a measure that we do not know.  code: its measure.
    """

    places: I32
    at: I32
    size: I32
    number: I32
    code: I32
    arena: U8


def no_names() -> Names:
    none = np.empty(0, np.int32)
    return Names(np.full(8, NONE, np.int32), none, none, none, none, np.empty(0, np.uint8))


def with_name(names: Names, text: bytes, number: int, code: int) -> Names:
    """The same and one more; O(n), and rare."""
    count = len(names.at) + 1
    grown = Names(
        np.full(1 << (2 * count + 7).bit_length(), NONE, np.int32),
        np.append(names.at, np.int32(len(names.arena))),
        np.append(names.size, np.int32(len(text))),
        np.append(names.number, np.int32(number)),
        np.append(names.code, np.int32(code)),
        np.append(names.arena, np.frombuffer(text, np.uint8)),
    )
    _index_names(grown)
    return grown


class Choices(NamedTuple):
    """How devices and sensors are planned.

    plan_of: (selections, codes) int32 plan of a sensor, NONE where it is not made yet.  fire: (codes,) uint8, 1 for a
    measure that guards against fire.  enterprises, devices: sorted ids of those that an override names.
    selector, silence_plan: of any other device without facts; NONE where not known yet.
    """

    plan_of: I32
    fire: U8
    enterprises: I64
    devices: I64
    selector: int
    silence_plan: int


class Tables(NamedTuple):
    """What grows beside `Memory` as sensors are declared.  arena: names of devices, of which used[0] bytes are."""

    sensors: IdTable
    devices: IdTable
    arena: Array
    used: I64
    cold_dirty: U8
    device_dirty: U8


@inlined
def _hash(data: Any, start: Any, end: Any) -> Any:
    """FNV-1a."""
    number = np.uint64(0xCBF29CE484222325)
    for i in range(start, end):
        number = (number ^ np.uint64(data[i])) * np.uint64(0x100000001B3)
    return np.int64(number >> np.uint64(24))


@inlined
def _equal(data: Any, start: Any, other: Any, at: Any, size: Any) -> Any:
    same = True
    for i in range(size):
        same &= data[start + i] == other[at + i]
    return same


@inlined
def _entry_of(names: Names, data: Any, start: Any, end: Any) -> Any:
    """The entry of the bytes data[start:end], or -1 - (the free place where it belongs)."""
    mask = len(names.places) - 1
    place = _hash(data, start, end) & mask
    while True:
        entry = np.int64(names.places[place])
        if entry == NONE:
            return -1 - place
        if names.size[entry] == end - start and _equal(data, start, names.arena, names.at[entry], end - start):
            return entry
        place = (place + 1) & mask


@kernel
def _index_names(names: Names) -> None:
    for entry in range(len(names.at)):
        start = np.int64(names.at[entry])
        found = _entry_of(names, names.arena, start, start + names.size[entry])
        names.places[-1 - found] = entry


@inlined
def _is_among(ordered: Any, number: Any) -> Any:
    at = np.searchsorted(ordered, number)
    return at < len(ordered) and ordered[at] == number


@inlined
def _make_device(
    m: Memory, tables: Tables, choices: Choices, key: Any, size: Any, enterprise: Any, number: Any, scratch: Any,
    one: Any,
) -> Any:  # fmt: skip
    """(device, DONE), or why it is not made here.  number: the id of its key.  enterprise: bytes of its enterprise."""
    device = np.int64(m.head[DEVICES])
    enterprise_id = number_of(key, np.int64(0), enterprise, scratch)
    if choices.selector == NONE or _is_among(choices.enterprises, enterprise_id):
        return device, NEW_DEVICE
    if _is_among(choices.devices, number):
        return device, NEW_DEVICE
    at = tables.used[0]
    if at + size > len(tables.arena):
        return device, NO_ROOM
    one[0] = number
    if slots.add(tables.devices, one, device) < 1:
        return device, NO_ROOM
    tables.arena[at : at + size] = key[:size]
    tables.used[0] = at + size
    row = m.devices[device]
    row["enterprise"] = enterprise_id & _ENTERPRISE_BITS
    row["name_at"] = at
    row["head"] = NONE
    row["selector"] = choices.selector
    row["plan"] = choices.silence_plan
    row["name_size"] = size
    row["enterprise_size"] = enterprise
    row["bits"] = 0
    m.head[DEVICES] = device + 1
    return device, DONE


@kernel
def declare(
    m: Memory, tables: Tables, names: Names, choices: Choices, body: Any, ids: Any, starts: Any, ends: Any, begin: Any
) -> Any:
    """Take sensors `begin` … that are not known yet; returns (the next one, why it came back).

    body … ends: `scoring.declarations.Declarations`.  A sensor of a measure that we do not know is passed over.
    """
    key = np.empty(LONGEST_KEY + 1, np.uint8)
    scratch = np.empty(24, np.uint64)
    one = np.empty(1, np.int64)
    device, device_at, device_size = np.int64(NONE), np.int64(0), np.int64(0)
    for i in range(begin, len(ids)):
        number = ids[i]
        if slots.find(tables.sensors, number) != NONE:
            continue
        entry = _entry_of(names, body, np.int64(starts[i, MEASURE]), np.int64(ends[i, CHANNEL]))
        if entry < 0:
            return i, NEW_NAME
        code = np.int64(names.code[entry])
        if names.number[entry] == NONE:
            continue
        start, end = np.int64(starts[i, ENTERPRISE]), np.int64(ends[i, DEVICE])
        if device == NONE or end - start != device_size or not _equal(body, start, body, device_at, device_size):
            enterprise = np.int64(ends[i, ENTERPRISE]) - start
            of_device = np.int64(starts[i, DEVICE])
            size = enterprise + 1 + end - of_device
            if size > LONGEST_KEY:
                return i, NEW_DEVICE
            key[:enterprise] = body[start : start + enterprise]
            key[enterprise] = 47
            key[enterprise + 1 : size] = body[of_device:end]
            device_id = number_of(key, np.int64(0), size, scratch)
            device = np.int64(slots.find(tables.devices, device_id))
            if device == NONE:
                device, why = _make_device(m, tables, choices, key, size, enterprise, device_id, scratch, one)
                if why != DONE:
                    return i, why
            device_at, device_size = start, end - start
        row = m.devices[device]
        selector = row["selector"]
        if selector >= len(choices.plan_of) or choices.plan_of[selector, code] == NONE:
            return i, NEW_PLAN
        if tables.device_dirty[device >> CHUNK_BITS] & FROZEN:
            return i, FROZEN_DEVICE
        slot = np.int64(m.head[SENSORS])
        one[0] = number
        if slots.add(tables.sensors, one, slot) < 1:
            return i, NO_ROOM
        r = m.sensors[slot]
        r["arrival"] = NEVER
        r["watch"] = NONE
        r["plan"] = choices.plan_of[selector, code]
        if row["bits"] & IS_SILENT:
            r["age"] = np.uint32(DEVICE_SILENT)
        c = m.cold[slot]
        c["device"] = device
        c["name"] = names.number[entry]
        c["next"] = row["head"]
        row["head"] = slot
        if choices.fire[code]:
            row["bits"] |= HAS_FIRE_SENSOR
        m.due[device] = 0
        m.dirty[slot >> CHUNK_BITS] |= CHANGED
        tables.cold_dirty[slot >> CHUNK_BITS] |= CHANGED
        tables.device_dirty[device >> CHUNK_BITS] |= CHANGED
        m.head[SENSORS] = slot + 1
    return len(ids), DONE
