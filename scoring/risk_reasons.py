"""Why a score is what it is: what makes most of its points, in codes and values that `risk_words` puts into words."""

from __future__ import annotations

from schemas.risk import KnockOut, Reason, Said, Term
from scoring.risk_curve import Curve
from scoring.risk_table import FACTS

REASONS = 3
_LEAST = 0.05
"""Points below which something is no reason."""


def reasons_of(
    curve: Curve, at_us: int, terms: tuple[Term, ...], knock_outs: tuple[KnockOut, ...]
) -> tuple[Reason, ...]:
    """At most three: knock-outs first, then what makes most points."""
    found = [Reason(one.code, 0.0, one.said) for one in knock_outs]
    hazard, alarms, electrical, protection, response, _, nuisance = (term.points for term in terms)
    ranked = [Reason("hazard", hazard, _hazard(curve)), *_alarms(curve, at_us, alarms)]
    strain = curve.state.strain
    if strain is not None:
        said: Said = {"hours": strain.hours, "strained": strain.strained, "circuits": strain.circuits}
        ranked.append(Reason("electrical", electrical, {**said, "worst": strain.worst}))
    ranked.append(Reason("protection", protection, {"devices": curve.watched, "out": curve.out_at(at_us)}))
    asked, late = curve.asked_at(at_us)
    ranked.append(Reason("response", response, {"asked": asked, "late": late}))
    closed, false = curve.closed_at(at_us)
    ranked.append(Reason("nuisance", nuisance, {"closed": closed, "false": false}))
    ranked = [reason for reason in ranked if reason.points >= _LEAST]
    ranked.sort(key=lambda reason: -reason.points)
    return tuple((found + ranked)[:REASONS])


def _hazard(curve: Curve) -> Said:
    """The facts that raise the hazard most, at most two, and how many are not known."""
    inputs = {one.name: one for one in curve.hazard.inputs}
    said: Said = {"trade": curve.state.facts.trade or ""}
    worst = sorted(
        (name for name in FACTS if inputs[name].known and (inputs[name].taken or 0) > 0),
        key=lambda name: -(inputs[name].taken or 0),
    )
    for place, name in enumerate(worst[:2], 1):
        value = inputs[name].value
        said[f"fact_{place}"] = name
        said[f"value_{place}"] = "" if value is None else value
    said["unknown"] = len(curve.hazard.unknown)
    return said


def _alarms(curve: Curve, at_us: int, points: float) -> list[Reason]:
    """One for each kind: its share of the term's points."""
    now = curve.faded_at(at_us)
    total = curve.alarms_open + now
    if not total:
        return []
    faded = now / curve.alarms_fading if curve.alarms_fading else 0.0
    found = []
    left = total
    for kind, one in curve.kinds.items():
        part = one.opened + one.fading * faded
        left -= part
        said: Said = {"kind": kind, "count": one.count, "open": one.open, "worst": one.worst}
        found.append(Reason("alarms", points * part / total, said))
    if curve.state.left and left > 0:
        found.append(Reason("alarms_before", points * left / total))
    return found
