"""Watch records: what a sensor needs while it is not quiet, and the timers of its rules.

Handed out of two pools that only grow; a freed record or block of timers is the next one given.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scoring.compiled import inlined, kernel
from scoring.layout import (
    ACTIVE,
    CLEARING,
    FOREVER,
    FREE_BLOCKS,
    IDLE,
    NEVER,
    NONE,
    PENDING,
    TIMER_CLASS,
    TIMER_TOP,
    WATCH_FREE,
    WATCH_TOP,
    WATCHED,
    Memory,
)

i64: Any = np.int64
f64: Any = np.float64
f32: Any = np.float32
u32: Any = np.uint32
"""Casts: what Numba takes for machine types, mypy for anything."""
BACKFILL_GRACE_US = 5_000_000


@inlined
def open_watch(m: Memory, slot: Any, rules: Any) -> Any:
    """Give the sensor a watch with idle timers for `rules` rules; returns its number."""
    number = m.head[WATCH_FREE]
    if number == NONE:
        number = m.head[WATCH_TOP]
        m.head[WATCH_TOP] = number + 1
    else:
        m.head[WATCH_FREE] = m.watches[number]["timers"]
    size = (max(rules, 1) + TIMER_CLASS - 1) // TIMER_CLASS
    block = m.head[FREE_BLOCKS + size]
    if block == NONE:
        block = m.head[TIMER_TOP]
        m.head[TIMER_TOP] = block + size * TIMER_CLASS
    else:
        m.head[FREE_BLOCKS + size] = m.timers[block]["since"]
    for j in range(size * TIMER_CLASS):
        m.timers[block + j]["phase"] = IDLE
    w = m.watches[number]
    w["slot"] = slot
    w["timers"] = block
    w["size"] = size
    w["row"] = 0
    w["open"] = 0
    w["arrival"] = NEVER
    w["lag"] = 0
    w["lag_arrival"] = 0
    w["backfill_now"] = 0
    w["due"] = FOREVER
    m.sensors[slot]["watch"] = number
    m.head[WATCHED] += 1
    return number


@inlined
def close_watch(m: Memory, number: Any) -> None:
    """Take the watch and its timers back; the sensor is quiet again."""
    w = m.watches[number]
    m.sensors[w["slot"]]["watch"] = NONE
    block = w["timers"]
    m.timers[block]["since"] = m.head[FREE_BLOCKS + w["size"]]
    m.head[FREE_BLOCKS + w["size"]] = block
    w["slot"] = NONE
    w["due"] = FOREVER
    w["timers"] = m.head[WATCH_FREE]
    m.head[WATCH_FREE] = number
    m.head[WATCHED] -= 1


@inlined
def settle(m: Memory, number: Any) -> None:
    """After a change of its timers: close a watch that is of no more use, else work out when a tick must look at it."""
    w = m.watches[number]
    plan = m.plans[m.sensors[w["slot"]]["plan"]]
    on_change = plan["on_change"] != 0
    due = FOREVER
    if w["open"]:
        due = w["backfill_now"] + BACKFILL_GRACE_US
    busy = w["open"] != 0 or w["row"] != 0
    for j in range(plan["rules"]):
        timer = m.timers[w["timers"] + j]
        phase = timer["phase"]
        if phase == IDLE:
            continue
        busy = True
        if on_change and phase != ACTIVE:
            rule = m.rules[plan["rules_at"] + j]
            if phase == PENDING and timer["held_before"] and timer["count"] >= rule["readings"]:
                due = min(due, w["arrival"] + rule["delay"] - timer["held"])
            elif phase == CLEARING and timer["count"] >= rule["clear_readings"]:
                due = min(due, w["arrival"] + rule["clear_delay"] - timer["held"])
    if busy:
        w["due"] = due
    else:
        close_watch(m, number)


@kernel
def put_watches(m: Memory, rows: Any, blocks: Any) -> None:
    """Give each sensor in `rows` (WATCH records) that watch anew, for a change of plan or on restoring.

    blocks: TIMER records, `size` times TIMER_CLASS for each row, in order. Numbers in the rows are not used.
    """
    at = 0
    for i in range(len(rows)):
        row = rows[i]
        slot = i64(row["slot"])
        if m.sensors[slot]["watch"] != NONE:
            close_watch(m, i64(m.sensors[slot]["watch"]))
        rules = i64(m.plans[m.sensors[slot]["plan"]]["rules"])
        number = open_watch(m, slot, rules)
        w = m.watches[number]
        w["row"] = row["row"]
        w["open"] = row["open"]
        w["arrival"] = row["arrival"]
        w["lag"] = row["lag"]
        w["lag_arrival"] = row["lag_arrival"]
        w["backfill_now"] = row["backfill_now"]
        for j in range(rules):
            m.timers[w["timers"] + j] = blocks[at + j]
        at += i64(row["size"]) * TIMER_CLASS
        settle(m, number)


@kernel
def settle_one(m: Memory, number: Any) -> None:
    """`settle`, from outside the kernels."""
    settle(m, number)
