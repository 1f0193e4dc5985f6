"""What a tick finds: held values that complete, back-fills that end, devices that fell silent.

Each is one pass over a column of due times; only what is due is looked at.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from schemas.readings import I64
from schemas.rules import Signal, Watch
from scoring.compiled import inlined, kernel
from scoring.judge import LONGEST_S
from scoring.layout import (
    ACTIVE,
    BACKFILL_ENDS,
    CLEARING,
    DEVICES,
    DOWN,
    FOREVER,
    GAPS_AT,
    HAS_FIRE_SENSOR,
    IDLE,
    IS_SILENT,
    NEVER,
    NONE,
    PENDING,
    UP,
    WATCH_TOP,
    Memory,
)
from scoring.lives import MOST_STEPS, complete, tell
from scoring.watches import BACKFILL_GRACE_US, f64, i64, settle

DAY_RULES_FROM_S = 21_600.0
GAPS_KNOWN = 3
SPREAD = 2_654_435_761
"""2^32 divided by the golden ratio: neighbours' products lie far apart (Knuth, TAOCP 3, 6.4)."""
VALUE, RATED = int(Signal.VALUE), int(Signal.RATED)
ANY, FIRE, DAILY = int(Watch.ANY), int(Watch.FIRE), int(Watch.DAILY)


@kernel
def due_watches(m: Memory, now: Any) -> I64:
    """Numbers of the watches that a tick must look at, in no order; (k,) int64."""
    top = m.head[WATCH_TOP]
    found = 0
    for number in range(top):
        if m.watches[number]["due"] <= now:
            found += 1
    due = np.empty(found, np.int64)
    found = 0
    for number in range(top):
        if m.watches[number]["due"] <= now:
            due[found] = number
            found += 1
    return due


@inlined
def _wait(m: Memory, number: Any, j: Any, now: Any, out: Any, k: Any) -> Any:
    """One rule of an on_change sensor whose last value is held until `now`."""
    w = m.watches[number]
    r = m.sensors[w["slot"]]
    plan = m.plans[r["plan"]]
    rule = m.rules[plan["rules_at"] + j]
    timer = m.timers[w["timers"] + j]
    held = timer["held"] + (now - w["arrival"])
    what = i64(0)
    if timer["phase"] == PENDING and timer["held_before"]:
        if held >= rule["delay"] and timer["count"] >= rule["readings"]:
            timer["phase"] = ACTIVE
            what = UP
    elif timer["phase"] == CLEARING and held >= rule["clear_delay"] and timer["count"] >= rule["clear_readings"]:
        timer["phase"] = IDLE
        what = DOWN
    if what:
        s = timer["s"]
        if rule["signal"] == VALUE:
            s = f64(r["last"])
        elif rule["signal"] == RATED:
            s = f64(r["last"]) / plan["rated"]
        k = tell(out, k, i64(w["slot"]), i64(NONE), j, what, now, now)
        out[k - 1]["held"] = held
        out[k - 1]["s"] = s
    return k


@kernel
def hold(m: Memory, due: Any, begin: Any, now: Any, out: Any) -> tuple[int, int]:
    """Advance held values of the watches due[begin:] in order, while `out` has room; (next, transitions written)."""
    k = i64(0)
    for i in range(begin, len(due)):
        number = due[i]
        w = m.watches[number]
        plan = m.plans[m.sensors[w["slot"]]["plan"]]
        if k + plan["rules"] + MOST_STEPS > len(out):
            return i, k
        if not plan["on_change"]:
            continue
        before = k
        for j in range(i64(plan["rules"])):
            k = _wait(m, number, j, now, out, k)
        if k > before:
            complete(m, number, out, before, k)
    return len(due), k


@kernel
def end_backfills(m: Memory, due: Any, begin: Any, now: Any, out: Any) -> tuple[int, int]:
    """End the back-fills of due[begin:] that are over, and settle each watch; (next, transitions written)."""
    k = i64(0)
    for i in range(begin, len(due)):
        if k + MOST_STEPS > len(out):
            return i, k
        number = due[i]
        w = m.watches[number]
        if w["open"] and now - w["backfill_now"] >= BACKFILL_GRACE_US:
            w["open"] = 0
            k = tell(out, k, i64(w["slot"]), i64(NONE), i64(NONE), i64(BACKFILL_ENDS), now, now)
        settle(m, number)
    return len(due), k


@inlined
def _expected(m: Memory, device: Any) -> tuple[Any, Any]:
    """(largest arrival or NEVER, expected period in s or NaN) of a device's sensors."""
    heard = NEVER
    period = math.inf
    slot = i64(m.devices[device]["head"])
    while slot != NONE:
        r = m.sensors[slot]
        heard = max(heard, r["arrival"])
        if (i64(r["flags"]) >> GAPS_AT) & 3 >= GAPS_KNOWN and not m.plans[r["plan"]]["on_change"]:
            period = min(period, f64(r["period"]), LONGEST_S)
        slot = i64(m.cold[slot]["next"])
    declared = m.silence_plans[m.devices[device]["plan"]]["declared_period"]
    if declared > 0.0:
        period = declared
    return heard, period if period < math.inf else math.nan


@kernel
def overdue(m: Memory, hole_starts: Any, hole_ends: Any, begin: Any, now: Any, out: Any) -> tuple[int, int]:
    """Look at the devices from `begin` on whose time has come; (next device, OVERDUE records written).

    hole_starts, hole_ends: (h,) int64, rising.  A device that is told may or may not be silent by a rule; one that is
    not told is not. Its next due time is never later than the first tick at which a rule could begin to hold.
    """
    k = i64(0)
    devices = m.head[DEVICES]
    for device in range(begin, devices):
        if m.due[device] > now:
            continue
        if k == len(out):
            return device, k
        d = m.devices[device]
        plan = m.silence_plans[d["plan"]]
        if plan["rules"] == 0:
            m.due[device] = FOREVER
            continue
        heard, period = _expected(m, device)
        watch = ANY
        if period >= DAY_RULES_FROM_S:
            watch = DAILY
        elif plan["supplied"] and d["bits"] & HAS_FIRE_SENSOR:
            watch = FIRE
        silent = i64(0)
        if heard != NEVER:
            silent = now - heard
            h = len(hole_ends) - 1
            while h >= 0 and hole_ends[h] > heard:
                silent -= hole_ends[h] - max(hole_starts[h], heard)
                h -= 1
        known = heard != NEVER and not math.isnan(period)
        told = d["bits"] & IS_SILENT != 0
        # Anything heard from now on moves the earliest silence to now + the rule's least time. Looking up to half of
        # that earlier, each device by another part, keeps millions of devices from being due at one tick.
        part = ((device * SPREAD) & 0xFFFFFFFF) >> 16
        due = FOREVER
        for j in range(plan["rules"]):
            rule = m.silence_rules[plan["rules_at"] + j]
            least = i64(max(0.0, min(rule["high"], 1e11)) * 1e6)
            due = min(due, now + least - (least >> 17) * part)
            if not known:
                continue
            limit = max(rule["high"], rule["periods"] * period)
            if silent / 1e6 >= limit:
                told = told or rule["watch"] == watch
            else:
                due = min(due, max(now, heard + i64(min(limit, 1e11) * 1e6)))
        if told:
            o = out[k]
            o["device"] = device
            o["watch"] = watch
            o["heard"] = heard
            o["silent"] = silent
            o["period"] = period
            k += 1
        m.due[device] = due
    return devices, k


@kernel
def earliest_silence(m: Memory, now: Any) -> Any:
    """A lower bound of the next tick at which a silence rule can begin to hold, if no reading comes before; or FOREVER.

    Unlike the due times of `overdue`, which allow for readings to come, it is near what will be: one pass over all
    devices, for replays, which have few.
    """
    earliest = FOREVER
    for device in range(m.head[DEVICES]):
        d = m.devices[device]
        plan = m.silence_plans[d["plan"]]
        heard, period = _expected(m, device)
        if plan["rules"] == 0 or heard == NEVER or math.isnan(period):
            continue
        watch = ANY
        if period >= DAY_RULES_FROM_S:
            watch = DAILY
        elif plan["supplied"] and d["bits"] & HAS_FIRE_SENSOR:
            watch = FIRE
        for j in range(plan["rules"]):
            rule = m.silence_rules[plan["rules_at"] + j]
            due = heard + i64(min(max(rule["high"], rule["periods"] * period), 1e11) * 1e6)
            if due > now:
                earliest = min(earliest, due)
            elif rule["watch"] == watch and d["bits"] & IS_SILENT == 0:
                return i64(now)
    return earliest
