"""Sorted blocks of readings and the bytes they are: pure, arrays in and out.

A block is put in order of (sensor_id, event_time, arrival order). Its bytes for `open_blocks` hold the readings of one
bucket in one row, which costs PostgreSQL an eighth of a row per reading (0.08 µs to 0.65 µs, measured). A bucket is the
top 12 bits of the 63-bit sensor id: ids are hashes, so buckets are even, and their order is the order of ids.
Both payloads are whole answers to `COPY … FROM STDIN (FORMAT BINARY)`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from schemas.readings import I64, U8, ReadingBatch
from scoring.compiled import inlined, kernel

BUCKET_BITS = 12
BUCKETS = 1 << BUCKET_BITS
BUCKET_SHIFT = 63 - BUCKET_BITS
READING_BYTES = 34
ROW_READINGS = 230
"""Readings in one row of `open_blocks` at most: the row must fit a page, since its body is stored plain."""
PG_EPOCH_US = 946_684_800_000_000
"""2000-01-01 UTC, from which PostgreSQL counts, in µs since 1970."""

_COPY_HEAD = np.frombuffer(b"PGCOPY\n\xff\r\n\0" + b"\0" * 8, np.uint8)
_COPY_END = np.frombuffer(b"\xff\xff", np.uint8)
_SEGMENT_HEAD = 32
"""Bytes of a row of `open_blocks` before its body: field count, four lengths, part, bucket, n."""
_SPREAD_BITS = 16

ROW = np.dtype(
    [
        ("fields", ">i2"),
        *(
            column
            for name, kind in (
                ("sensor_id", ">i8"),
                ("event_time", ">i8"),
                ("arrival_time", ">i8"),
                ("value", ">f8"),
                ("quality", ">i2"),
                ("origin", ">i2"),
            )
            for column in ((f"{name}_length", ">i4"), (name, kind))
        ),
    ]
)
"""One row of `timely_readings` in COPY's binary format, times counted from 2000."""
_NAMES = ("sensor_id", "event_time", "arrival_time", "value", "quality", "origin")


def bucket_of(sensor_id: int) -> int:
    return sensor_id >> BUCKET_SHIFT


def sorted_order(sensor_id: I64, event_time: I64) -> I64:
    """(n,) indices that put the readings in order of (sensor_id, event_time), those that are equal as they came.

    Ids must not be negative.  O(n) for ids that are hashes, O(n log n) for any.
    """
    order = _hashed_order(sensor_id, event_time, 16 * len(sensor_id))
    return order if len(order) == len(sensor_id) else np.lexsort((event_time, sensor_id))


def in_order(batch: ReadingBatch) -> ReadingBatch:
    """The batch by (sensor_id, event_time), those that are equal as they came."""
    return batch.take(sorted_order(batch.sensor_id, batch.event_time))


def first_of_each(batch: ReadingBatch) -> tuple[ReadingBatch, int, int]:
    """Of a batch in order the first reading of each (sensor_id, event_time).

    Returns it, the number of duplicates left out, and how many of these bore another value.
    """
    same = (batch.sensor_id[1:] == batch.sensor_id[:-1]) & (batch.event_time[1:] == batch.event_time[:-1])
    if not same.any():
        return batch, 0, 0
    keep = np.concatenate(([True], ~same))
    first = np.flatnonzero(keep)[np.cumsum(keep) - 1]
    conflicting = int(np.count_nonzero(batch.value != batch.value[first]))
    return batch.take(keep), int(np.count_nonzero(same)), conflicting


def block_payload(part: int, batch: ReadingBatch) -> npt.NDArray[np.uint8]:
    """A batch in order, as COPY bytes for `open_blocks`: rows of one bucket and at most `ROW_READINGS` readings."""
    cuts = _cuts(batch.sensor_id)
    out = np.empty(
        len(_COPY_HEAD) + (len(cuts) - 1) * _SEGMENT_HEAD + len(batch) * READING_BYTES + len(_COPY_END), np.uint8
    )
    out[: len(_COPY_HEAD)] = _COPY_HEAD
    out[-len(_COPY_END) :] = _COPY_END
    _write_segments(
        out, len(_COPY_HEAD), part, cuts, batch.sensor_id, batch.event_time, batch.arrival_time,
        batch.value.view(np.int64), batch.quality, batch.origin,
    )  # fmt: skip
    return out


def read_bodies(counts: Sequence[int], bodies: Sequence[bytes]) -> ReadingBatch:
    """The readings of rows of `open_blocks`, in the order of the rows."""
    total = sum(counts)
    batch = ReadingBatch(
        np.empty(total, np.int64), np.empty(total, np.int64), np.empty(total, np.int64), np.empty(total, np.float64),
        np.empty(total, np.uint8), np.empty(total, np.uint8),
    )  # fmt: skip
    _read_bodies(
        np.frombuffer(b"".join(bodies), np.uint8), np.array(counts, np.int64), batch.sensor_id, batch.event_time,
        batch.arrival_time, batch.value.view(np.int64), batch.quality, batch.origin,
    )  # fmt: skip
    return batch


def row_payload(batch: ReadingBatch) -> npt.NDArray[np.uint8]:
    """The batch as COPY bytes for a table with the columns of `timely_readings`, in the batch's order."""
    out = np.empty(len(_COPY_HEAD) + len(batch) * ROW.itemsize + len(_COPY_END), np.uint8)
    out[: len(_COPY_HEAD)] = _COPY_HEAD
    out[-len(_COPY_END) :] = _COPY_END
    rows = out[len(_COPY_HEAD) : -len(_COPY_END)].view(ROW)
    rows["fields"] = len(_NAMES)
    for name, column in zip(_NAMES, batch.columns(), strict=True):
        rows[f"{name}_length"] = ROW[name].itemsize
        rows[name] = column - PG_EPOCH_US if name.endswith("_time") else column
    return out


def compile_kernels() -> None:
    """Compile what a transaction will need, or load it from the cache: no transaction should wait for a compiler."""
    batch = in_order(ReadingBatch.of([2, 1], [0, 0], [0, 0], [0.0, 0.0], [0, 0], [0, 0]))
    body = block_payload(0, batch)[len(_COPY_HEAD) + _SEGMENT_HEAD :][: READING_BYTES * len(batch)]
    read_bodies([len(batch)], [body.tobytes()])


@kernel
def _hashed_order(sensor_id: I64, event_time: I64, moves: int) -> I64:
    """Spread evenly over the range of ids, then insertion; empty when that would take more than `moves` moves."""
    n = len(sensor_id)
    if n == 0:
        return np.empty(0, np.int64)
    low = sensor_id.min()
    span = sensor_id.max() - low
    shift = 0
    while span >> shift >= 1 << _SPREAD_BITS:
        shift += 1
    ends = np.zeros((span >> shift) + 1, np.int64)
    for i in range(n):
        ends[(sensor_id[i] - low) >> shift] += 1
    total = 0
    for b in range(len(ends)):
        here = ends[b]
        ends[b] = total
        total += here
    order = np.empty(n, np.int64)
    ids = np.empty(n, np.int64)
    times = np.empty(n, np.int64)
    for i in range(n):
        b = (sensor_id[i] - low) >> shift
        at = ends[b]
        ends[b] += 1
        order[at] = i
        ids[at] = sensor_id[i]
        times[at] = event_time[i]
    for i in range(1, n):
        sensor = ids[i]
        time = times[i]
        j = i - 1
        if ids[j] < sensor or (ids[j] == sensor and times[j] <= time):
            continue
        place = order[i]
        while j >= 0 and (ids[j] > sensor or (ids[j] == sensor and times[j] > time)):
            ids[j + 1] = ids[j]
            times[j + 1] = times[j]
            order[j + 1] = order[j]
            j -= 1
        ids[j + 1] = sensor
        times[j + 1] = time
        order[j + 1] = place
        moves -= i - j
        if moves < 0:
            return order[:0]
    return order


@kernel
def _cuts(sensor_id: I64) -> I64:
    """Where the rows of `open_blocks` begin, and the end."""
    n = len(sensor_id)
    count = 0
    start = 0
    for i in range(n):
        if i == 0 or i - start == ROW_READINGS or sensor_id[i] >> BUCKET_SHIFT != sensor_id[start] >> BUCKET_SHIFT:
            start = i
            count += 1
    cuts = np.empty(count + 1, np.int64)
    count = 0
    for i in range(n):
        if i == 0 or i - start == ROW_READINGS or sensor_id[i] >> BUCKET_SHIFT != sensor_id[start] >> BUCKET_SHIFT:
            start = i
            cuts[count] = i
            count += 1
    cuts[count] = n
    return cuts


@inlined
def _put(out: U8, at: int, number: int, width: int) -> int:
    """Write `number` as `width` big-endian bytes; returns the place after them."""
    for k in range(width):
        out[at + k] = (number >> (8 * (width - 1 - k))) & 0xFF
    return at + width


@inlined
def _put_column(out: U8, at: int, column: I64, start: int, end: int) -> int:
    for i in range(start, end):
        number = column[i]
        out[at] = (number >> 56) & 0xFF
        out[at + 1] = (number >> 48) & 0xFF
        out[at + 2] = (number >> 40) & 0xFF
        out[at + 3] = (number >> 32) & 0xFF
        out[at + 4] = (number >> 24) & 0xFF
        out[at + 5] = (number >> 16) & 0xFF
        out[at + 6] = (number >> 8) & 0xFF
        out[at + 7] = number & 0xFF
        at += 8
    return at


@kernel
def _write_segments(
    out: U8, at: int, part: int, cuts: I64, sensor_id: I64, event_time: I64, arrival_time: I64, bits: I64,
    quality: U8, origin: U8,
) -> None:  # fmt: skip
    for row in range(len(cuts) - 1):
        start, end = cuts[row], cuts[row + 1]
        at = _put(out, at, 4, 2)
        at = _put(out, at, 8, 4)
        at = _put(out, at, part, 8)
        at = _put(out, at, 2, 4)
        at = _put(out, at, sensor_id[start] >> BUCKET_SHIFT, 2)
        at = _put(out, at, 4, 4)
        at = _put(out, at, end - start, 4)
        at = _put(out, at, READING_BYTES * (end - start), 4)
        at = _put_column(out, at, sensor_id, start, end)
        at = _put_column(out, at, event_time, start, end)
        at = _put_column(out, at, arrival_time, start, end)
        at = _put_column(out, at, bits, start, end)
        for i in range(start, end):
            out[at] = quality[i]
            at += 1
        for i in range(start, end):
            out[at] = origin[i]
            at += 1


@inlined
def _get_column(body: U8, at: int, column: I64, start: int, end: int) -> int:
    for i in range(start, end):
        number = np.int64(0)
        for k in range(8):
            number = (number << 8) | np.int64(body[at + k])
        column[i] = number
        at += 8
    return at


@kernel
def _read_bodies(
    body: U8, counts: I64, sensor_id: I64, event_time: I64, arrival_time: I64, bits: I64, quality: U8, origin: U8
) -> None:
    at = 0
    start = 0
    for n in counts:
        end = start + n
        at = _get_column(body, at, sensor_id, start, end)
        at = _get_column(body, at, event_time, start, end)
        at = _get_column(body, at, arrival_time, start, end)
        at = _get_column(body, at, bits, start, end)
        quality[start:end] = body[at : at + n]
        origin[start:end] = body[at + n : at + 2 * n]
        at += 2 * n
        start = end
