"""The inherent hazard of a place: its facts to L, E and C, these to D, and D to the term H (0 to 100).

L is the likelihood, E the exposure, C the consequence and D = L x E x C the danger of the LEC method.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from schemas.risk import Input, RiskFacts
from scoring.risk_table import FACTS, RiskTable, risk_table


@dataclass(frozen=True, slots=True)
class HazardTerm:
    """value: H.  unknown: facts that nobody has told us.."""

    value: float
    likelihood: float
    exposure: float
    consequence: float
    inputs: tuple[Input, ...]
    unknown: tuple[str, ...]

    @property
    def danger(self) -> float:
        return self.likelihood * self.exposure * self.consequence


@lru_cache(maxsize=65_536)
def hazard_of(facts: RiskFacts, year: int) -> HazardTerm:
    """year: of the instant, for the ages. Some 8 µs when it is not remembered."""
    table = risk_table()
    trade = table.trade_of(facts.trade)
    at = {"L": trade.L, "E": trade.E, "C": trade.C}
    inputs = [Input("trade", facts.trade, bool(facts.trade and trade.code))]
    for name, value in zip(FACTS, _values(facts, year), strict=True):
        fact = table.fact[name]
        step = fact.step_of(value)
        at[fact.of] += step
        inputs.append(Input(name, value, value is not None, float(step)))
    unknown = tuple(one.name for one in inputs if not one.known)
    scales = table.scale
    likelihood, exposure, consequence = _on(scales.L, at["L"]), _on(scales.E, at["E"]), _on(scales.C, at["C"])
    value = _piecewise(table, likelihood * exposure * consequence)
    inputs += [Input("L", likelihood), Input("E", exposure), Input("C", consequence)]
    inputs.append(Input("D", likelihood * exposure * consequence))
    return HazardTerm(value, likelihood, exposure, consequence, tuple(inputs), unknown)


@lru_cache(maxsize=65_536)
def next_year_of(facts: RiskFacts, year: int) -> int | None:
    """The first year after `year` in which age makes H another; None: never."""
    now = hazard_of(facts, year).value
    fact = risk_table().fact
    built, wired = (
        [begun + round(age) for age in fact[name].from_] if begun is not None else []
        for name, begun in (("building_age", facts.built), ("wiring_age", facts.wired))
    )
    for then in sorted({one for one in built + wired if one > year}):
        if hazard_of(facts, then).value != now:
            return then
    return None


def _values(facts: RiskFacts, year: int) -> tuple[float | str | None, ...]:
    return (
        None if facts.wired is None else max(0, year - facts.wired),
        None if facts.built is None else max(0, year - facts.built),
        None if facts.open_flame is None else ("yes" if facts.open_flame else "no"),
        None if facts.flammables is None else facts.flammables.value,
        facts.area_m2,
        facts.people,
    )


def _on(scale: tuple[float, ...], step: int) -> float:
    return scale[max(0, min(step, len(scale) - 1))]


def _piecewise(table: RiskTable, danger: float) -> float:
    xs, ys = table.hazard.D, table.hazard.H
    for place in range(1, len(xs)):
        if xs[place] >= danger:
            share = (danger - xs[place - 1]) / (xs[place] - xs[place - 1])
            return ys[place - 1] + share * (ys[place] - ys[place - 1])
    return ys[-1]
