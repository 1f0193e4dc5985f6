"""When the colour of an enterprise changes by itself: the first instant, found on its curve.

Between two corners of the curve the score is a constant, an exponential and a straight line. A stretch that can leave
the colour's band is looked at closely, and the instant is found by halving.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

from schemas.risk import RiskColour
from scoring.risk_curve import FOREVER, Curve
from scoring.risk_state import YEAR_US
from scoring.risk_table import RiskTable

_NEAR = 1e-9
"""A bound as near as this to a limit is looked at exactly."""
_LN2 = math.log(2.0)


def next_due(curve: Curve, colour: RiskColour) -> int | None:
    """The first instant after `begin_us` at which the colour, which is now `colour`, is another.

    A knock-out that begins or ends is due as well, and a new year that makes the place another by its age. None
    when time alone changes nothing.
    """
    now = curve.begin_us
    stops = [begin for begin, _, _ in curve.knock_outs_from if begin > now]
    stops += [at + YEAR_US for at in curve.fires_us if at + YEAR_US > now and len(curve.fires_us) > 1]
    if curve.hazard_until < FOREVER:
        stops.append(curve.hazard_until)
    horizon = min(stops, default=FOREVER)
    changed = None if curve.knock_outs_at(now) else _leaves_band(curve, colour, horizon)
    due = horizon if changed is None else changed
    return None if due >= FOREVER else due


def _leaves_band(curve: Curve, colour: RiskColour, horizon: int) -> int | None:
    """The first instant before `horizon` at which the score is outside the band that keeps `colour`."""
    low, high = band_of(colour, curve.table)
    if not _may_leave(curve, low, high):
        return None
    w = curve.table.weight
    steady = w["H"] * curve.hazard.value + w["X"] * curve.electrical
    w_a, w_p, w_r, w_n = w["A"], w["P"], w["R"], w["N"]
    begin, opened = curve.begin_us, curve.alarms_open
    faded, lost = curve.faded_at(begin), curve.protection_at(begin)
    answers = {*curve.late_from, *curve.all_until} if curve.late_from else set()
    response = curve.response_at(begin)
    for end in _corners(curve, horizon):
        later = curve.faded_at(end) if end < FOREVER else 0.0
        lost_then = curve.protection_at(end)
        if begin in answers:
            response = curve.response_at(begin)
        at = steady + w_r * response + w_n * curve.nuisance_at(begin)
        most = at + w_a * min(100.0, opened + faded) + w_p * max(lost, lost_then)
        least = at + w_a * min(100.0, opened + later) + w_p * min(lost, lost_then)
        if least <= low + _NEAR or most >= high - _NEAR:
            found = _first_outside(curve, begin, min(end, begin + 400 * YEAR_US), low, high)
            if found is not None:
                return found
        begin, faded, lost = end, later, lost_then
    return None


def _may_leave(curve: Curve, low: float, high: float) -> bool:
    """Quickly: can time alone bring the score out of the band at all?"""
    w = curve.table.weight
    floor = w["H"] * curve.hazard.value + w["X"] * curve.electrical + w["A"] * min(100.0, curve.alarms_open)
    grows = any(found[-1][1] >= FOREVER for found in curve.intervals.values())
    ceiling = floor + w["A"] * min(100.0, curve.faded_at(curve.begin_us))
    ceiling += w["P"] * (100.0 if grows else curve.protection_at(curve.begin_us))
    ceiling += (w["R"] * 100.0 if curve.all_until else 0.0) + (w["N"] * 100.0 if curve.false_until else 0.0)
    return floor <= low + _NEAR or ceiling >= high - _NEAR


def _corners(curve: Curve, horizon: int) -> list[int]:
    """Where a part of the score has a jump or a bend, in order, after `begin_us`; the last is `horizon`."""
    now = curve.begin_us
    found: set[int] = set()
    if curve.late_from:
        # While none is late the answers' term is nothing, however many there are.
        found.update(curve.late_from)
        last = curve.late_until[-1]
        found.update(until for until in curve.all_until if until <= last)
    if curve.false_until:
        found.update(curve.closed_until)
    if curve.intervals:
        window = curve.window_us
        for device in curve.intervals.values():
            for start, end in device:
                found.update((start + window, end, end + window))
        found.update(_full_at(curve))
    if curve.alarms_open + curve.faded_at(now) > 100.0 and curve.alarms_open < 100.0:
        # Until the sum is below its cap it stands still.
        full_us = math.log2(curve.alarms_fading / (100.0 - curve.alarms_open)) * curve.half_us
        found.add(curve.anchor_us + math.floor(full_us))
    return [*sorted(corner for corner in found if now < corner < horizon), horizon]


def _full_at(curve: Curve) -> Iterable[int]:
    """Where the lost hours reach their cap, or leave it: between two corners they are a straight line."""
    window = curve.window_us
    full = 100.0 * curve.lost_divisor_us / curve.table.protection.factor
    total = sum(len(found) for found in curve.intervals.values()) * window
    if total <= full:
        return
    corners = sorted(
        {curve.begin_us}
        | {
            corner
            for found in curve.intervals.values()
            for start, end in found
            for corner in (start + window, end, end + window)
            if curve.begin_us < corner < FOREVER
        }
    )
    for begin, end in zip(corners, [*corners[1:], corners[-1] + window], strict=True):
        first, last = _lost_at(curve, begin), _lost_at(curve, end)
        if (first - full) * (last - full) < 0:
            at = begin + (full - first) * (end - begin) / (last - first)
            yield math.floor(at)
            yield math.floor(at) + 1


def _lost_at(curve: Curve, at_us: int) -> int:
    begin = at_us - curve.window_us
    return sum(
        max(0, min(end, at_us) - max(start, begin)) for found in curve.intervals.values() for start, end in found
    )


def _first_outside(curve: Curve, begin: int, end: int, low: float, high: float) -> int | None:
    """The first instant of [begin, end) with a score outside (low, high). No corner lies in between."""
    turn = _turn(curve, begin, end)
    marks = [begin, *([] if turn is None else [turn]), end - 1]
    if not low < curve.score_at(begin) < high:
        return begin if begin > curve.begin_us else None
    for inside, outside in pairwise(marks):
        if not low < curve.score_at(outside) < high:
            return _between(curve, inside, outside, low, high)
    return None


def _between(curve: Curve, inside: int, outside: int, low: float, high: float) -> int:
    inside, outside = _guess(curve, inside, outside, low, high)
    while outside - inside > 1:
        middle = (inside + outside) // 2
        if low < curve.score_at(middle) < high:
            inside = middle
        else:
            outside = middle
    return outside


def _guess(curve: Curve, inside: int, outside: int, low: float, high: float) -> tuple[int, int]:
    """Narrower limits of the same change, where only alarms move: then its instant is known but for rounding."""
    if curve.faded_at(inside) <= 0.0 or curve.protection_at(inside) != curve.protection_at(outside):
        return inside, outside
    w = curve.table.weight
    others = curve.score_at(inside) - w["A"] * curve.alarms_at(inside)
    # Where it cannot be said, the plain way is taken.
    wanted = (low - others) / w["A"] - curve.alarms_open
    if wanted <= 0.0:
        return inside, outside
    guess = curve.anchor_us + round(math.log2(curve.alarms_fading / wanted) * curve.half_us)
    for width in (2, 1 << 12):
        before, after = max(inside, guess - width), min(outside, guess + width)
        if before < after and low < curve.score_at(before) < high and not low < curve.score_at(after) < high:
            return before, after
    return inside, outside


def _turn(curve: Curve, begin: int, end: int) -> int | None:
    """Where falling alarms and rising loss are in balance: the score falls before it and rises after."""
    if not curve.intervals or not curve.alarms_fading or end - begin < 2:
        return None
    w = curve.table.weight
    rise = w["P"] * (curve.protection_at(end - 1) - curve.protection_at(begin)) / (end - 1 - begin)
    fall = w["A"] * curve.faded_at(begin) * _LN2 / curve.half_us
    if rise <= 0.0 or fall <= rise:
        return None
    turn = begin + math.floor(math.log2(fall / rise) * curve.half_us)
    return turn if begin < turn < end - 1 else None


def band_of(colour: RiskColour, table: RiskTable) -> tuple[float, float]:
    """A place that has `colour` keeps it while its score is between these, both excluded."""
    limits = (-math.inf, *table.colour.limits(), math.inf)
    low = limits[colour - 1] - table.colour.clear_by
    return low, limits[colour]
