"""One enterprise through a turn of the keeper: what happened, in the order of its times, and what fell due in between.

Pure: whoever kept the risk when, and however often it was killed, the same inputs give the same colours at the same
instants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from schemas.identity import id_of
from schemas.risk import KnockOut, Reason, Risk, RiskColour
from scoring.risk import explain, judge, moves_by_itself
from scoring.risk_curve import Curve
from scoring.risk_state import RiskState
from scoring.risk_table import DAY_US

_MOVED = 0.1
"""Points by which a day's score must differ from the one in the history to stand there as well."""


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that touches a risk. apply: takes it into the state; False when it changes nothing."""

    at_us: int
    apply: Callable[[RiskState], bool]


@dataclass(frozen=True, slots=True)
class Chapter:
    """A row of the history."""

    at_us: int
    score: float
    colour: RiskColour
    points: tuple[float, ...]
    reasons: tuple[Reason, ...]
    knock_outs: tuple[KnockOut, ...]


@dataclass(slots=True)
class Kept:
    """One enterprise as the keeper has it. due_us: when to look again, None for never."""

    enterprise: str
    state: RiskState
    due_us: int | None = None
    next_us: int | None = None
    slot: int | None = None
    """Second of the hour at which its circuits are looked at; None: it has none."""
    score: float = 0.0
    touched: bool = False
    """There is something to write."""
    risk: Risk | None = None
    """As of the last judgement of this turn."""
    history: list[Chapter] = field(default_factory=list)

    @property
    def gone(self) -> bool:
        """The registry does not know it any more, and nothing of it has ever spoken."""
        facts = self.state.facts
        return not (facts.on_file or facts.devices or self.state.lives or self.state.left)


def live_through(kept: Kept, happened: Iterable[Happened], until_us: int) -> None:
    """Take in what happened, and judge what falls due up to `until_us`, each at its time.

    What comes later than something that is judged already counts from then on.
    """
    for at_us, together in _by_time(happened):
        _catch_up(kept, at_us - 1)
        if sum([one.apply(kept.state) for one in together]) or kept.state.colour == 0:
            _look(kept, at_us)
    _catch_up(kept, until_us)


def _by_time(happened: Iterable[Happened]) -> list[tuple[int, list[Happened]]]:
    found: dict[int, list[Happened]] = {}
    for one in happened:
        found.setdefault(one.at_us, []).append(one)
    return sorted(found.items())


def _catch_up(kept: Kept, until_us: int) -> None:
    while kept.due_us is not None and kept.due_us <= until_us:
        _look(kept, kept.due_us)


def _look(kept: Kept, at_us: int) -> None:
    state = kept.state
    before = state.colour
    curve, next_us = judge(state, at_us)
    risk = explain(kept.enterprise, state, curve, next_us)
    told = [f"{reason.code} {reason.said.get('kind', '')}".strip() for reason in risk.reasons]
    a_day_on = state.as_of_us - state.told_us >= DAY_US and abs(risk.score - state.told_score) >= _MOVED
    if state.colour != before or told != state.told or a_day_on:
        state.told, state.told_us, state.told_score = told, state.as_of_us, risk.score
        points = tuple(term.points for term in risk.terms)
        chapter = Chapter(state.as_of_us, risk.score, risk.colour, points, risk.reasons, risk.knock_outs)
        kept.history = [one for one in kept.history if one.at_us != chapter.at_us] + [chapter]
    kept.score, kept.next_us, kept.risk, kept.touched = risk.score, next_us, risk, True
    kept.due_us = _due(kept.enterprise, curve, next_us)


def _due(enterprise: str, curve: Curve, next_us: int | None) -> int | None:
    """When the colour changes, and once a day, at a time of its own, while the score moves by itself."""
    if not moves_by_itself(curve):
        return next_us
    slot = id_of(enterprise) % DAY_US
    daily = (curve.begin_us - slot) // DAY_US * DAY_US + slot + DAY_US
    return daily if next_us is None else min(next_us, daily)
