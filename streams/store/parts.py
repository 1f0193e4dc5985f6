"""Which part of time a reading belongs to, when a part closes, and which closed partitions become one. Pure.

Fresh readings go to short parts, so that little lies open; what is older than a day goes to whole days, so that a long
back-fill makes few of them. All times are µs since 1970, intervals half open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from schemas.readings import I64

MINUTE_US = 60_000_000
HOUR_US = 3_600_000_000
DAY_US = 86_400_000_000
PART_US = 5 * MINUTE_US
BUSY_PART_US = MINUTE_US
BUSY_RATE = 30_000.0
"""Readings a second above which parts last one minute: an index is then built over some ten million rows at a time."""
CLOSES_AFTER_US = 300_000_000
"""By stream time after the end of a part: as long as a reading counts as live."""
MERGE_READINGS = 20_000_000
"""Merging never makes a partition larger than this: rewriting it takes some 20 s of a background core."""


@dataclass(frozen=True, slots=True)
class Partition:
    """A closed part of time: rows with an index, in the table `name`."""

    name: str
    start_us: int
    end_us: int
    readings: int


@dataclass(frozen=True, slots=True)
class OpenPart:
    part: int
    start_us: int
    end_us: int
    closes_us: int
    readings: int


def width_us(event_us: int, stream_us: int, rate: float) -> int:
    """How long the part is that a reading at `event_us` belongs to.  rate: readings a second."""
    if event_us < stream_us - DAY_US:
        return DAY_US
    return BUSY_PART_US if rate > BUSY_RATE else PART_US


def parts_of(event_time: I64, stream_us: int, rate: float) -> list[tuple[int, int, npt.NDArray[np.bool_] | slice]]:
    """(start, end, which readings) of every part that the readings fall into."""
    if not len(event_time):
        return []
    low, high = int(event_time.min()), int(event_time.max())
    width = width_us(low, stream_us, rate)
    if width == width_us(high, stream_us, rate) and low // width == high // width:
        start = low // width * width
        return [(start, start + width, slice(None))]
    fresh = width_us(stream_us, stream_us, rate)
    widths = np.where(event_time < stream_us - DAY_US, DAY_US, fresh)
    starts = event_time // widths * widths
    found = []
    for width in (DAY_US, fresh):
        here = widths == width
        found += [(int(start), int(start) + width, here & (starts == start)) for start in np.unique(starts[here])]
    return found


def closes_us(end_us: int, stream_us: int) -> int:
    """When a part made now closes: also one of the past stays open for a while, until its back-fill is through."""
    return max(end_us, stream_us) + CLOSES_AFTER_US


def gaps(start_us: int, end_us: int, partitions: Sequence[Partition]) -> list[tuple[int, int]]:
    """The stretches of [start, end) that no partition covers.  partitions: any, in any order."""
    found = []
    at = start_us
    for partition in sorted(partitions, key=lambda p: p.start_us):
        if partition.end_us <= at or partition.start_us >= end_us:
            continue
        if partition.start_us > at:
            found.append((at, partition.start_us))
        at = partition.end_us
    if at < end_us:
        found.append((at, end_us))
    return found


def next_merge(partitions: Sequence[Partition], stream_us: int) -> list[Partition]:
    """Neighbours that should become one now, oldest first; empty when there are none.

    Parts of an hour when the hour is over and closed, then those of a day; never more than `MERGE_READINGS` in one.
    """
    for span in (DAY_US, HOUR_US):
        for _, together in groupby(sorted(partitions, key=lambda p: p.start_us), lambda p: p.start_us // span):  # noqa: B023
            group = [p for p in together if p.end_us - p.start_us < span]
            if group and (group[0].start_us // span + 1) * span + 2 * CLOSES_AFTER_US <= stream_us:
                run = _first_run(group)
                if run:
                    return run
    return []


def too_old(partitions: Sequence[Partition], stream_us: int, retention_us: int) -> list[Partition]:
    """Those of which every reading is older than the retention."""
    return [p for p in partitions if p.end_us <= stream_us - retention_us]


def _first_run(group: Sequence[Partition]) -> list[Partition]:
    """The first two or more neighbours that fit into one."""
    run: list[Partition] = []
    for partition in group:
        if sum(p.readings for p in run) + partition.readings <= MERGE_READINGS:
            run.append(partition)
        elif len(run) > 1:
            break
        else:
            run = [partition]
    return run if len(run) > 1 else []
