"""The risk of an enterprise: score, colour, terms with their points, three reasons, and what would lower it.

    score = 0.25 H + 0.25 A + 0.15 X + 0.15 P + 0.10 R + 0.07 Q + 0.03 N

`docs/reference/risk.md` tells it. The score is a function of the state and an instant, the colour of the score and the
colour before: the same state at the same instant is the same risk, whoever asks.
"""

from __future__ import annotations

from schemas.risk import Input, Letter, Risk, RiskColour, Term
from scoring.risk_curve import Curve
from scoring.risk_due import next_due
from scoring.risk_reasons import reasons_of
from scoring.risk_remedies import remedies_of
from scoring.risk_state import RiskState, forget_old
from scoring.risk_table import risk_table

FADED = 0.05
"""Points of the score that may still move by themselves and yet are not worth a look every day."""


def judge(state: RiskState, at_us: int) -> tuple[Curve, int | None]:
    """Give the state its colour as of `at_us`, or of when it was judged last if that is later.

    Returns the curve from there on, and the next instant at which the colour would change by itself. Some 20 to 60 µs.
    """
    at_us = max(at_us, state.as_of_us)
    forget_old(state, at_us)
    curve = Curve(state, at_us)
    colour = curve.colour_at(at_us, state.colour)
    if colour != state.colour:
        state.colour, state.since_us = colour.value, at_us
    state.as_of_us = at_us
    return curve, next_due(curve, colour)


def explain(enterprise: str, state: RiskState, curve: Curve | None = None, next_due_us: int | None = None) -> Risk:
    """The risk as of when the state was judged last, in full.

    curve, next_due_us: of `judge`, made again if left out.
    """
    at_us = state.as_of_us
    colour = RiskColour(state.colour)
    if curve is None:
        curve = Curve(state, at_us)
        next_due_us = next_due(curve, colour)
    terms = terms_of(curve, at_us)
    knock_outs = curve.knock_outs_at(at_us)
    return Risk(
        enterprise=enterprise,
        score=sum(term.points for term in terms),
        colour=colour,
        since_us=state.since_us,
        as_of_us=at_us,
        next_due_us=next_due_us,
        terms=terms,
        reasons=reasons_of(curve, at_us, terms, knock_outs),
        remedies=remedies_of(curve, at_us, knock_outs),
        knock_outs=knock_outs,
        unknown=curve.hazard.unknown,
        on_file=state.facts.on_file,
    )


def terms_of(curve: Curve, at_us: int) -> tuple[Term, ...]:
    """All seven, in the order of the formula."""
    w = risk_table().weight
    hazard = curve.hazard
    asked, late = curve.asked_at(at_us)
    closed, false = curve.closed_at(at_us)
    strain = curve.state.strain
    nuisance_known = closed >= risk_table().nuisance.least
    return (
        Term(Letter.HAZARD, curve.hazard_at(at_us), w["H"], inputs=hazard.inputs),
        Term(
            Letter.ALARMS,
            curve.alarms_at(at_us),
            w["A"],
            inputs=(Input("open", curve.alarms_open), Input("fading", curve.faded_at(at_us))),
        ),
        Term(
            Letter.ELECTRICAL,
            curve.electrical,
            w["X"],
            known=strain is not None and strain.hours > 0,
            note="" if strain is not None and strain.hours else "no_circuits",
            inputs=() if strain is None else (Input("hours", strain.hours), Input("strained", strain.strained)),
        ),
        Term(
            Letter.PROTECTION,
            curve.protection_at(at_us),
            w["P"],
            known=curve.watched > 0,
            note="" if curve.watched else "no_devices",
            inputs=(Input("devices", curve.watched), Input("out", curve.out_at(at_us))),
        ),
        Term(
            Letter.RESPONSE,
            curve.response_at(at_us),
            w["R"],
            inputs=(Input("asked", asked), Input("late", late)),
        ),
        Term(Letter.HAZARDS_OPEN, 0.0, w["Q"], known=False, note="no_hazards_recorded"),
        Term(
            Letter.NUISANCE,
            curve.nuisance_at(at_us),
            w["N"],
            known=nuisance_known,
            note="" if nuisance_known else "too_few_closed",
            inputs=(Input("closed", closed), Input("false", false)),
        ),
    )


def moves_by_itself(curve: Curve) -> bool:
    """Whether the score is worth a look every day though nothing happens."""
    at_us = curve.begin_us
    w = risk_table().weight
    moving = w["A"] * curve.faded_at(at_us) + w["R"] * curve.response_at(at_us) + w["N"] * curve.nuisance_at(at_us)
    return moving + w["P"] * curve.protection_at(at_us) > FADED
