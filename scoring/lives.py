"""What the lives of rules are made of: signals, phases, transitions, and the steps of back-fills.

Called by the kernels of `scoring/judge.py` and `scoring/ticking.py`; `docs/reference/detection.md` has the tables.
"""

from __future__ import annotations

import math
from typing import Any

from schemas.rules import Signal
from scoring.compiled import inlined
from scoring.layout import (
    ACTIVE,
    CLEARING,
    COUNT_MAX,
    DOWN,
    IDLE,
    NONE,
    PENDING,
    UP,
    Memory,
)
from scoring.watches import i64

VALUE, RATED, RATE = int(Signal.VALUE), int(Signal.RATED), int(Signal.RATE)
ABOVE, BASELINE, RANGE = int(Signal.ABOVE_BASELINE), int(Signal.BASELINE), int(Signal.RANGE)
STUCK, CLOCK_ROW = int(Signal.STUCK), int(Signal.CLOCK)

MOST_STEPS = 8
"""Transitions of one reading that are not of a rule, at most."""


@inlined
def tell(
    out: Any,
    k: Any,
    slot: Any,
    reading: Any,
    rule: Any,
    what: Any,
    event: Any,
    arrival: Any,
) -> Any:
    """Write transition k; returns k + 1. The rest of it is for the caller, who knows it."""
    o = out[k]
    o["slot"] = slot
    o["reading"] = reading
    o["rule"] = rule
    o["what"] = what
    o["open"] = 0
    o["lifted"] = 0
    o["event"] = event
    o["arrival"] = arrival
    o["since"] = event
    o["held"] = 0
    o["s"] = math.nan
    o["z"] = math.nan
    return k + 1


@inlined
def tier0_holds(m: Memory, number: Any) -> bool:
    """Whether a tier 0 rule of the watched sensor is active or clearing."""
    w = m.watches[number]
    plan = m.plans[m.sensors[w["slot"]]["plan"]]
    for j in range(plan["rules"]):
        if m.timers[w["timers"] + j]["phase"] >= ACTIVE and m.rules[plan["rules_at"] + j]["tier0"]:
            return True
    return False


@inlined
def _least_since(m: Memory, slot: Any, family: Any, least: Any) -> Any:
    """The smallest `since` of a sensor's phases of one family, or `least` if that is smaller."""
    number = m.sensors[slot]["watch"]
    if number != NONE:
        w = m.watches[number]
        plan = m.plans[m.sensors[slot]["plan"]]
        for j in range(plan["rules"]):
            timer = m.timers[w["timers"] + j]
            if timer["phase"] != IDLE and m.rules[plan["rules_at"] + j]["family"] == family:
                least = min(least, timer["since"])
    return least


@inlined
def complete(m: Memory, number: Any, out: Any, begin: Any, end: Any) -> None:
    """Fill in what the transitions [begin, end) of one sensor owe to each other: onset, lift, back-fill."""
    w = m.watches[number]
    slot = w["slot"]
    plan = m.plans[m.sensors[slot]["plan"]]
    lifted = tier0_holds(m, number)
    for k in range(begin, end):
        o = out[k]
        rule = m.rules[plan["rules_at"] + o["rule"]]
        o["open"] = w["open"]
        if o["what"] != UP:
            continue
        o["lifted"] = lifted
        since = m.timers[w["timers"] + o["rule"]]["since"]
        if rule["of_device"]:
            other = m.devices[m.cold[slot]["device"]]["head"]
            while other != NONE:
                since = _least_since(m, i64(other), rule["family"], since)
                other = m.cold[other]["next"]
        else:
            since = _least_since(m, i64(slot), rule["family"], since)
        o["since"] = since


@inlined
def signal_of(
    signal: Any, x: Any, rated: Any, rate: Any, above: Any, base: Any, in_range: Any, stuck: Any, faults: Any, z: Any
) -> Any:
    """s of one signal; NaN while it is not able to say."""
    if signal == VALUE:
        return x
    if signal == RATED:
        return rated
    if signal == RATE:
        return rate
    if signal == ABOVE:
        return above
    if signal == BASELINE:
        return base
    if signal == RANGE:
        return in_range
    if signal == STUCK:
        return stuck
    if signal == CLOCK_ROW:
        return faults
    return abs(z)


@inlined
def used_of(plan: Any, x: Any, mean: Any, base: Any) -> Any:
    """How much of the way from its mean to the first limit on x's side a sensor has gone, 0 to inf; 0 without a limit.

    base: smoke's baseline, NaN while not known.
    """
    high = plan["quiet_high"][VALUE]
    low = plan["quiet_low"][VALUE]
    if plan["rated"] > 0.0:
        high = min(high, plan["quiet_high"][RATED] * plan["rated"])
        low = max(low, plan["quiet_low"][RATED] * plan["rated"])
    if not math.isnan(base):
        high = min(high, plan["quiet_high"][ABOVE] + base)
        low = max(low, plan["quiet_low"][ABOVE] + base)
    gone = abs(x - mean)
    way = high - mean if x >= mean else mean - low
    return gone / way if way > 0.0 else math.inf


@inlined
def is_loud(plan: Any, signal: Any, s: Any) -> Any:
    """Whether some rule may hold at s. NaN (not able to say) is never loud."""
    return s >= plan["quiet_high"][signal] or s <= plan["quiet_low"][signal]


@inlined
def live(
    m: Memory,
    number: Any,
    reading: Any,
    t: Any,
    dt: Any,
    gap: Any,
    x: Any,
    s: Any,
    z: Any,
    arrival: Any,
    out: Any,
    k: Any,
    j: Any,
) -> Any:
    """One rule's life at one reading: the page's table. Returns the next free transition.

    x: what the rule's floor is compared with, of z rules the share of the reserve that is used.
    """
    w = m.watches[number]
    slot = w["slot"]
    plan = m.plans[m.sensors[slot]["plan"]]
    rule = m.rules[plan["rules_at"] + j]
    timer = m.timers[w["timers"] + j]
    holds = (s >= rule["high"] or s <= rule["low"]) and x >= rule["floor"]
    phase = timer["phase"]
    if phase == IDLE and not holds:
        return k
    d = dt if plan["on_change"] else min(dt, max(rule["max_gap"], gap))
    safe = rule["clear_low"] <= s <= rule["clear_high"]
    timer["s"] = s
    held_before = timer["held_before"]
    timer["held_before"] = holds
    if phase == IDLE:
        phase = PENDING
        timer["since"] = t
        timer["held"] = 0
        timer["count"] = 1
    elif phase == PENDING:
        if holds:
            if held_before or not rule["band"]:
                timer["held"] += d
            timer["count"] = min(timer["count"] + 1, COUNT_MAX)
        elif safe or not rule["band"]:
            phase = IDLE
    elif not safe:
        phase = ACTIVE
    elif phase == ACTIVE:
        phase = CLEARING
        timer["held"] = 0
        timer["count"] = 1
    else:
        timer["held"] += d
        timer["count"] = min(timer["count"] + 1, COUNT_MAX)
    what = i64(0)
    if phase == PENDING:
        if holds and timer["held"] >= rule["delay"] and timer["count"] >= rule["readings"]:
            phase = ACTIVE
            what = UP
    elif phase == CLEARING and timer["held"] >= rule["clear_delay"] and timer["count"] >= rule["clear_readings"]:
        phase = IDLE
        what = DOWN
    timer["phase"] = phase
    if what:
        k = tell(out, k, i64(slot), reading, j, what, t, arrival)
        o = out[k - 1]
        o["held"] = timer["held"]
        o["s"] = s
        o["z"] = z
    return k
