"""What tests of risk are made of: states of enterprises with any past, and the events of alarms' lives."""

from __future__ import annotations

from hypothesis import strategies as st

from schemas.alarms import Kind
from schemas.enterprises import Flammables
from schemas.risk import RiskFacts, Strain
from scoring.risk_state import Fire, Life, RiskState
from scoring.risk_table import DAY_US, HOUR_US
from tests.alerting_world import START_US, US

NOW_US = START_US
TRADES = ("H6210", "C1811", "P8321", "A0111", "F5211", "X9", None)
FAMILIES = {
    Kind.FIRE: ("smoke", "heat"),
    Kind.GAS: ("gas",),
    Kind.ELECTRICAL: ("load",),
    Kind.FAULT: ("fault", "disabled", "battery"),
    Kind.SILENCE: ("silence",),
    Kind.ANOMALY: ("anomaly",),
}


def facts() -> st.SearchStrategy[RiskFacts]:
    years = st.none() | st.integers(1950, 2026)
    return st.builds(
        RiskFacts,
        trade=st.sampled_from(TRADES),
        built=years,
        wired=years,
        open_flame=st.none() | st.booleans(),
        flammables=st.none() | st.sampled_from(Flammables),
        area_m2=st.none() | st.floats(1, 50_000),
        people=st.none() | st.integers(0, 2_000),
        devices=st.integers(0, 30),
    )


@st.composite
def lives(draw: st.DrawFn, number: int = 0) -> Life:
    """An alarm of the last 45 days, over or not, answered or not."""
    kind = draw(st.sampled_from(sorted(FAMILIES)))
    worst = draw(st.integers(1, 4))
    peak = draw(st.integers(1, worst))
    raised = NOW_US - draw(st.integers(0, 45 * 24)) * HOUR_US - draw(st.integers(0, HOUR_US))
    asked = min(NOW_US, raised + draw(st.sampled_from((0, 30 * US, HOUR_US))))
    closed = None
    if draw(st.booleans()):
        closed = min(NOW_US, asked + draw(st.integers(0, 72)) * HOUR_US + draw(st.integers(0, HOUR_US)))
    acked = None
    if draw(st.booleans()):
        acked = min(NOW_US, asked + draw(st.sampled_from((0, 59, 60, 61, 179, 181, 7_200))) * US)
    return Life(
        f"{number:032x}",
        kind.value,
        draw(st.sampled_from(FAMILIES[kind])),
        f"device-{draw(st.integers(1, 6))}",
        draw(st.integers(1, peak)),
        worst,
        peak,
        2,
        1,
        raised,
        asked,
        acked,
        closed,
        was_late=draw(st.integers(0, 9)) == 0,
        history=draw(st.integers(0, 9)) == 0,
        muted=draw(st.integers(0, 9)) == 0,
        verdict=draw(st.sampled_from(("", "", "", "real", "false", "test"))),
    )


@st.composite
def states(draw: st.DrawFn, most: int = 16) -> RiskState:
    found = [draw(lives(number)) for number in range(draw(st.integers(0, most)))]
    hours = draw(st.integers(0, 96))
    strain = Strain(4, hours, draw(st.integers(0, hours)), "panel/current.L1") if draw(st.booleans()) else None
    fires = sorted(NOW_US - draw(st.integers(0, 360)) * DAY_US for _ in range(draw(st.integers(0, 2))))
    return RiskState(
        facts=draw(facts()),
        lives=found,
        left=draw(st.sampled_from((0.0, 0.0, 37.5))),
        left_us=NOW_US - 31 * DAY_US,
        strain=strain,
        fires=[Fire(f"fire-{at}", at) for at in fires] if draw(st.integers(0, 4)) == 0 else [],
        colour=draw(st.integers(0, 4)),
        since_us=NOW_US - DAY_US,
    )
