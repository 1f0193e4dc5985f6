"""Old rows of sensors for a snapshot that is being saved while judging goes on: copied once, before their first change.

A snapshot freezes the chunks it is of. Who writes to a row of such a chunk keeps the row first; who saves reads the
live rows and lays the kept ones over them. So a snapshot costs memory only for the sensors that speak until it is
saved, and no pause. `watch` and `plan` of a row may change without being kept: restoring works them out anew.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scoring.compiled import inlined, kernel
from scoring.layout import CHUNK_BITS, KEPT, KEPT_ROW, SENSOR, Kept, Memory
from scoring.memory import forget, reserve


def new_kept(capacity: int) -> Kept:
    """Address space for a row of each of `capacity` sensors."""
    return Kept(
        reserve(SENSOR, capacity),
        reserve(KEPT_ROW, capacity),
        reserve(np.int32, (capacity >> CHUNK_BITS) + 1),
        reserve(np.uint8, (capacity >> 3) + 1),
    )


@inlined
def keep(m: Memory, slot: Any) -> None:
    """Keep the row of a sensor in a frozen chunk, unless it is kept already; before it is written to."""
    kept = m.kept
    bit = np.uint8(1 << (slot & 7))
    if kept.slots[slot >> 3] & bit:
        return
    kept.slots[slot >> 3] |= bit
    index = m.head[KEPT]
    m.head[KEPT] = index + 1
    kept.rows[index] = m.sensors[slot]
    more = kept.more[index]
    more["slot"] = slot
    more["next"] = kept.newest[slot >> CHUNK_BITS]
    more["extra"][0] = m.extra[slot, 0]
    more["extra"][1] = m.extra[slot, 1]
    kept.newest[slot >> CHUNK_BITS] = index + 1


@kernel
def keep_row(m: Memory, slot: Any) -> None:
    """`keep`, from outside the kernels."""
    keep(m, slot)


@kernel
def lay_over(m: Memory, chunk: Any, rows: Any, extra: Any) -> None:
    """Put the kept rows of a chunk over copies of its first rows as they are now.

    rows: (n,) SENSOR.  extra: (n, 2) float32, or of length 0 when it is not wanted.  Both are changed.
    """
    index = np.int64(m.kept.newest[chunk]) - 1
    while index >= 0:
        more = m.kept.more[index]
        place = np.int64(more["slot"]) - (chunk << CHUNK_BITS)
        if place < len(rows):  # others were declared after the snapshot
            rows[place] = m.kept.rows[index]
            if len(extra) > 0:
                extra[place, 0] = more["extra"][0]
                extra[place, 1] = more["extra"][1]
        index = np.int64(more["next"]) - 1


def let_go(m: Memory) -> None:
    """Keep nothing any more, and give the memory back."""
    for array in m.kept:
        forget(array)
    m.head[KEPT] = 0
