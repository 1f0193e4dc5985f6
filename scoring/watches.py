"""Watch records: what a sensor needs while it is not quiet, and the timers of its rules.

Handed out of two pools that only grow; a freed record or block of timers is the next one given.
"""

from __future__ import annotations

from typing import Any

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
def watch_for(m: Memory, slot: Any, rules: Any) -> Any:
    """The watch of a sensor, opened where it has none; for use at a change of plan and on restoring."""
    if m.sensors[slot]["watch"] != NONE:
        close_watch(m, m.sensors[slot]["watch"])
    return open_watch(m, slot, rules)


@kernel
def settle_one(m: Memory, number: Any) -> None:
    """`settle`, from outside the kernels."""
    settle(m, number)
