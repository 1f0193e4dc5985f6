"""The slow, obvious twin of the risk formula: every term at one instant, as its definition says it. For tests.

It knows nothing of curves: it looks at each alarm anew for each instant.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

from schemas.alarms import Grade
from schemas.risk import RiskColour
from scoring.risk_hazard import hazard_of
from scoring.risk_state import YEAR_US, Life, RiskState
from scoring.risk_table import DAY_US, HOUR_US, risk_table

_WEIGHTS = {"H": 0.25, "A": 0.25, "X": 0.15, "P": 0.15, "R": 0.10, "Q": 0.07, "N": 0.03}
_POINTS = {0: 0.0, 1: 2.0, 2: 8.0, 3: 20.0, 4: 40.0}
_LIMITS = {RiskColour.YELLOW: 15.0, RiskColour.ORANGE: 30.0, RiskColour.RED: 40.0}


def naive_terms(state: RiskState, at_us: int) -> dict[str, float]:
    """Letter → 0 to 100."""
    year = datetime.fromtimestamp(at_us // 1_000_000, UTC).year
    strain = state.strain
    return {
        "H": hazard_of(state.facts, year).value,
        "A": _alarms(state, at_us),
        "X": 100 * strain.strained / strain.hours if strain and strain.hours else 0.0,
        "P": _protection(state, at_us),
        "R": _response(state, at_us),
        "Q": 0.0,
        "N": _nuisance(state, at_us),
    }


def naive_score(state: RiskState, at_us: int) -> float:
    return sum(_WEIGHTS[letter] * value for letter, value in naive_terms(state, at_us).items())


def naive_knock_outs(state: RiskState, at_us: int) -> set[str]:
    found = set()
    for life in state.lives:
        if life.closed_us is not None or not life.counts:
            continue
        if life.grade == Grade.RED and life.kind in ("fire", "gas"):
            found.add("open_red")
        unanswered = life.acked_us is None and not life.history
        if life.peak == Grade.RED and unanswered and at_us - life.asked_us > 600 * 1_000_000:
            found.add("red_unacknowledged")
        if life.family in ("fault", "disabled") and at_us - life.raised_us > DAY_US:
            found.add("fire_system_out")
    if len([fire for fire in state.fires if fire.at_us <= at_us < fire.at_us + YEAR_US]) > 1:
        found.add("two_fires")
    return found


def naive_colour(state: RiskState, at_us: int, before: int) -> RiskColour:
    if naive_knock_outs(state, at_us):
        return RiskColour.RED
    score = naive_score(state, at_us)
    colour = RiskColour.BLUE
    for higher, limit in _LIMITS.items():
        if score >= limit or (before >= higher and score > limit - 3):
            colour = higher
    return colour


def _alarms(state: RiskState, at_us: int) -> float:
    total = state.left * 2 ** (-(at_us - state.left_us) / (7 * DAY_US))
    for life in state.lives:
        if life.counts:
            age_us = 0 if life.closed_us is None else at_us - life.closed_us
            total += _POINTS[life.worst] * 2 ** (-age_us / (7 * DAY_US))
    return min(100.0, total)


def _protection(state: RiskState, at_us: int) -> float:
    lost: dict[str, list[Life]] = {}
    for life in state.lives:
        if life.family in risk_table().protection.families:
            lost.setdefault(life.device, []).append(life)
    devices = max(state.facts.devices, len(lost))
    if not devices:
        return 0.0
    begin = at_us - 24 * HOUR_US
    edges = {begin, at_us}
    for lives in lost.values():
        for life in lives:
            edges |= {edge for edge in (life.raised_us, life.closed_us) if edge and begin < edge < at_us}
    cuts = sorted(edges)
    lost_us = 0
    for start, end in pairwise(cuts):
        out = [
            device
            for device, lives in lost.items()
            if any(life.raised_us <= start and (life.closed_us is None or life.closed_us >= end) for life in lives)
        ]
        lost_us += len(out) * (end - start)
    return min(100.0, 400.0 * lost_us / (devices * 24 * HOUR_US))


def _response(state: RiskState, at_us: int) -> float:
    asked = late = 0
    for life in state.lives:
        if life.peak < Grade.ORANGE or life.history or not life.counts or at_us >= life.asked_us + 30 * DAY_US:
            continue
        asked += 1
        limit_us = (60 if life.peak == Grade.RED else 180) * 1_000_000
        answered_us = at_us if life.acked_us is None else life.acked_us
        late += life.was_late or answered_us - life.asked_us > limit_us
    return 100 * late / asked if asked else 0.0


def _nuisance(state: RiskState, at_us: int) -> float:
    closed = [
        life
        for life in state.lives
        if life.counts and life.closed_us is not None and at_us < life.closed_us + 30 * DAY_US
    ]
    false = [life for life in closed if life.verdict == "false"]
    return 100 * len(false) / len(closed) if len(closed) >= 10 else 0.0
