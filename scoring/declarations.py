"""The bytes of a `Sensors` entry as columns: where each sensor's names stand, and its id, without an object a sensor.

The bytes are msgpack as we write it: {"sensors": [[id, enterprise, device, measure, channel, unit], …]}. What is
written in another way that msgpack allows is first written anew in ours.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from schemas.entries import Sensors
from schemas.errors import CorruptState
from schemas.readings import I64, U8
from scoring.compiled import inlined, kernel
from scoring.layout import I32

ENTERPRISE, DEVICE, MEASURE, CHANNEL, UNIT = 0, 1, 2, 3, 4
"""Columns of `starts` and `ends`."""
TEXTS = 5
_HEAD = b"\x81\xa7sensors"
_LEAST = 7
"""Bytes of the shortest sensor."""


class Declarations(NamedTuple):
    """n sensors.  ids: (n,) int64.  starts, ends: (n, 5) int32, each text's place in `body`."""

    body: U8
    ids: I64
    starts: I32
    ends: I32


def declarations(sensors: Sensors) -> Declarations:
    """The sensors of an entry as columns, in order. Raises CorruptState when an id does not fit 64 bits."""
    found = _columns(sensors.body)
    if found is None:
        found = _columns(Sensors(sensors.sensors).body)
    if found is None:
        raise CorruptState("a sensor's id is not a number of 64 bits.")
    return found


def picked(told: Declarations, which: I64) -> Sensors:
    """An entry of the sensors `which` (indices), in their order."""
    # In our form they stand without a gap, behind the head and the array's own length.
    first = len(_HEAD) + {0xDC: 3, 0xDD: 5}.get(int(told.body[len(_HEAD)]), 1)
    ends = told.ends[:, UNIT]
    begins = np.concatenate((np.array([first], np.int32), ends[:-1]))[which]
    sizes = ends[which] - begins
    out = np.empty(int(sizes.sum()), np.uint8)
    _gather(told.body, begins, sizes, out)
    return Sensors.of_body(head_of(len(which)) + out.tobytes(), len(which))


def head_of(count: int) -> bytes:
    """The bytes of an entry before its `count` sensors."""
    return _HEAD + b"\xdd" + count.to_bytes(4, "big")


def _columns(body: bytes) -> Declarations | None:
    if not body.startswith(_HEAD):
        return None
    data = np.frombuffer(body, np.uint8)
    room = len(body) // _LEAST + 1
    ids = np.empty(room, np.int64)
    starts, ends = np.empty((room, TEXTS), np.int32), np.empty((room, TEXTS), np.int32)
    count = _read(data, len(_HEAD), ids, starts, ends)
    return None if count < 0 else Declarations(data, ids[:count], starts[:count], ends[:count])


@inlined
def _big_endian(data: Any, at: Any, size: Any) -> Any:
    number = np.int64(0)
    for i in range(size):
        number = (number << 8) | np.int64(data[at + i])
    return number


@inlined
def _length(data: Any, at: Any, fix: Any, fix_mask: Any, sized: Any) -> Any:
    """(length, index behind it) of an array or a text; fix: its short form's mark, sized: its 8-, 16- and 32-bit marks.

    Length -1 where it is neither.
    """
    if at >= len(data):
        return np.int64(-1), at
    mark = data[at]
    if mark & ~fix_mask & 0xFF == fix:
        return np.int64(mark & fix_mask), at + 1
    size = np.int64(1)
    for i in range(3):
        if mark == sized[i] and at + 1 + size <= len(data):
            return _big_endian(data, at + 1, size), at + 1 + size
        size *= 2
    return np.int64(-1), at


_TEXT = np.array([0xD9, 0xDA, 0xDB], np.uint8)
_ARRAY = np.array([0, 0xDC, 0xDD], np.uint8)
"""Arrays have no 8-bit form; 0 is a number, and never looked for."""


@inlined
def _id(data: Any, at: Any) -> Any:
    """(id, index behind it); the index is -1 where it is not a whole number that int64 holds."""
    if at >= len(data):
        return np.int64(0), np.int64(-1)
    mark = np.int64(data[at])
    if mark < 0x80:
        return mark, at + 1
    if mark >= 0xE0:
        return mark - 256, at + 1
    if mark < 0xCC or mark > 0xD3:
        return np.int64(0), np.int64(-1)
    size = np.int64(1) << ((mark - 0xCC) & 3)
    if at + 1 + size > len(data):
        return np.int64(0), np.int64(-1)
    number = _big_endian(data, at + 1, size)
    is_signed = mark >= 0xD0
    if is_signed and size < 8 and number >> (8 * size - 1):
        number -= np.int64(1) << (8 * size)
    fits = number >= 0 or is_signed
    return number, at + 1 + size if fits else np.int64(-1)


@kernel
def _gather(data: Any, begins: Any, sizes: Any, out: Any) -> None:
    at = np.int64(0)
    for i in range(len(begins)):
        out[at : at + sizes[i]] = data[begins[i] : begins[i] + sizes[i]]
        at += sizes[i]


@kernel
def _read(data: Any, at: Any, ids: Any, starts: Any, ends: Any) -> Any:
    """Fill the columns; returns the number of sensors, -1 when the bytes are not in our form."""
    count, at = _length(data, np.int64(at), 0x90, 0x0F, _ARRAY)
    if count < 0 or count > len(ids):
        return np.int64(-1)
    for i in range(count):
        fields, at = _length(data, at, 0x90, 0x0F, _ARRAY)
        if fields != 1 + TEXTS:
            return np.int64(-1)
        ids[i], at = _id(data, at)
        if at < 0:
            return np.int64(-1)
        for j in range(TEXTS):
            length, at = _length(data, at, 0xA0, 0x1F, _TEXT)
            if length < 0 or at + length > len(data):
                return np.int64(-1)
            starts[i, j] = at
            at += length
            ends[i, j] = at
    return count if at == len(data) else np.int64(-1)
