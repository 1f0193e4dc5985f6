"""What would lower a risk: the same formula, asked again as if something had been done about it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from msgspec import structs

from schemas.enterprises import Flammables
from schemas.risk import KnockOut, Remedy, RiskColour, RiskFacts, Said
from scoring.risk_curve import FOREVER, Curve, colour_of, year_of
from scoring.risk_hazard import hazard_of
from scoring.risk_table import risk_table

REMEDIES = 5
_LEAST = 0.5
"""Points below which it is not worth saying."""
_END_KNOCK_OUT = {
    "open_red": "deal_with_red",
    "red_unacknowledged": "acknowledge_red",
    "fire_system_out": "repair_fire_system",
}


def remedies_of(curve: Curve, at_us: int, knock_outs: tuple[KnockOut, ...]) -> tuple[Remedy, ...]:
    """At most five: what ends a knock-out first, then what brings most points."""
    table = risk_table()
    score = curve.score_at(at_us)
    held = curve.state.colour

    def colour(lower: float, without: str = "") -> RiskColour:
        stays = any(one.code != without for one in knock_outs)
        return RiskColour.RED if stays else colour_of(score - lower, held, table)

    urgent = [
        Remedy(_END_KNOCK_OUT[one.code], 0.0, colour(0.0, one.code), one.said)
        for one in knock_outs
        if one.code in _END_KNOCK_OUT
    ]
    found = [
        Remedy(code, points, colour(points), said) for code, points, said in _possible(curve, at_us) if points >= _LEAST
    ]
    found.sort(key=lambda remedy: -remedy.points)
    return tuple((urgent + found)[:REMEDIES])


def _possible(curve: Curve, at_us: int) -> Iterator[tuple[str, float, Said]]:
    """(code, points by which the score would fall, what is filled in)."""
    w = risk_table().weight
    yield from _of_the_place(curve.state.facts, year_of(at_us), curve.hazard.unknown)
    if curve.alarms_open:
        # Once they are over they halve within a week.
        total = curve.alarms_open + curve.faded_at(at_us)
        after = total / 2
        open_ = sum(one.open for one in curve.kinds.values())
        yield "end_alarms", w["A"] * (min(100.0, total) - min(100.0, after)), {"open": open_}
    yield (
        "relieve_circuits",
        w["X"] * curve.electrical,
        {"worst": curve.state.strain.worst if curve.state.strain else ""},
    )
    out = [device for device, found in sorted(curve.intervals.items()) if found[-1][1] == FOREVER]
    if out:
        said: Said = {"count": len(out), "devices": ", ".join(out[:3])}
        yield "restore_detectors", w["P"] * curve.protection_at(at_us), said
    asked, late = curve.asked_at(at_us)
    yield "answer_in_time", w["R"] * curve.response_at(at_us), {"late": late, "asked": asked}


@lru_cache(maxsize=65_536)
def _of_the_place(facts: RiskFacts, year: int, unknown: tuple[str, ...]) -> tuple[tuple[str, float, Said], ...]:
    """The same until a fact or the year is another, so it is remembered; nobody changes what is said."""
    return tuple(_ways(facts, year, [name for name in unknown if name != "trade"]))


def _ways(facts: RiskFacts, year: int, unknown: list[str]) -> Iterator[tuple[str, float, Said]]:
    w = risk_table().weight["H"]
    now = hazard_of(facts, year).value

    def lower(other: RiskFacts) -> float:
        return w * (now - hazard_of(other, year).value)

    if facts.wired is not None and facts.wired < year:
        yield "renew_wiring", lower(structs.replace(facts, wired=year)), {"age": year - facts.wired}
    if facts.flammables is Flammables.MUCH:
        yield "less_flammables", lower(structs.replace(facts, flammables=Flammables.SOME)), {}
    if facts.open_flame:
        yield "no_open_flame", lower(structs.replace(facts, open_flame=False)), {}
    if unknown and facts.on_file:
        best = _best(facts, unknown, year)
        yield "tell_facts", lower(best), {"facts": ",".join(unknown)}


def _best(facts: RiskFacts, unknown: list[str], year: int) -> RiskFacts:
    """As good as what is not known could turn out to be."""
    values: dict[str, dict[str, Any]] = {
        "wiring_age": {"wired": year},
        "building_age": {"built": year},
        "open_flame": {"open_flame": False},
        "flammables": {"flammables": Flammables.NONE},
        "area": {"area_m2": 0.0},
        "people": {"people": 0},
    }
    changes: dict[str, Any] = {}
    for name in unknown:
        changes |= values[name]
    return structs.replace(facts, **changes)
