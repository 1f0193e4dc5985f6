"""Properties of the risk over any past: it is its slow twin, bounded, monotone, and due exactly when it changes."""

from __future__ import annotations

import copy

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec import structs

from schemas.enterprises import Flammables
from schemas.risk import RiskColour, RiskFacts, Strain
from scoring.naive_risk import naive_colour, naive_knock_outs, naive_score, naive_terms
from scoring.risk import explain, judge, terms_of
from scoring.risk_curve import Curve, colour_of
from scoring.risk_hazard import hazard_of
from scoring.risk_state import RiskState, decode_state, encode_state
from scoring.risk_table import DAY_US, HOUR_US, risk_table
from tests.risk_world import NOW_US, facts, states

LATER = st.one_of(
    st.integers(0, 120) | st.integers(0, 48 * HOUR_US), st.integers(0, 60 * DAY_US), st.integers(0, 500 * DAY_US)
)


@settings(deadline=None, max_examples=60)
@given(states(), LATER)
def test_the_score_is_its_slow_twin_at_any_instant(state: RiskState, later_us: int) -> None:
    """Curves and corners are a way to be quick, never another formula."""
    at_us = NOW_US + later_us
    curve = Curve(state, NOW_US)
    fast = {term.letter.value: term.value for term in terms_of(curve, at_us)}
    assert fast == pytest.approx(naive_terms(state, at_us), rel=1e-9, abs=1e-9)
    assert curve.score_at(at_us) == pytest.approx(naive_score(state, at_us), rel=1e-9, abs=1e-9)
    assert {one.code for one in curve.knock_outs_at(at_us)} == naive_knock_outs(state, at_us)


@settings(deadline=None, max_examples=60)
@given(states())
def test_a_score_is_between_safe_and_worst_and_the_sum_of_its_terms(state: RiskState) -> None:
    judge(state, NOW_US)
    risk = explain("shop-1", state)
    assert 0.0 <= risk.score <= 100.0
    assert risk.score == sum(term.points for term in risk.terms)
    assert len(risk.reasons) <= 3
    assert all(remedy.points >= 0.0 and remedy.colour <= risk.colour for remedy in risk.remedies)


@settings(deadline=None, max_examples=150)
@given(states(), st.lists(st.floats(0.0, 1.0), min_size=4, max_size=4))
def test_the_colour_stays_until_it_is_due_and_then_it_changes(state: RiskState, shares: list[float]) -> None:
    """A due row too late leaves a wrong colour on the wall; one too early costs a province its nights."""
    _, due_us = judge(state, NOW_US)
    colour = RiskColour(state.colour)
    until = NOW_US + 4_000 * DAY_US if due_us is None else due_us
    for at_us in [*(NOW_US + int(share * (until - 1 - NOW_US)) for share in shares), until - 1]:
        again = Curve(state, at_us)
        assert again.colour_at(at_us, colour) == colour
        assert naive_colour(state, at_us, colour) == colour or _is_close(state, at_us)
    if due_us is not None:
        then = Curve(state, due_us)
        before = Curve(state, due_us - 1)
        assert (
            then.colour_at(due_us, colour) != colour
            or then.knock_outs_at(due_us) != before.knock_outs_at(due_us - 1)
            or then.hazard.value != before.hazard.value
        )


@settings(deadline=None, max_examples=60)
@given(states(), st.floats(0.0, 1.0))
def test_a_nightly_run_before_the_due_time_finds_nothing_to_change(state: RiskState, share: float) -> None:
    _, due_us = judge(state, NOW_US)
    until = NOW_US + 400 * DAY_US if due_us is None else due_us
    colour, since_us = state.colour, state.since_us
    at_us = NOW_US + int(share * (until - 1 - NOW_US))
    _, due_then = judge(state, at_us)
    assert (state.colour, state.since_us) == (colour, since_us)
    # Old alarms are added up in another order by then: that is worth microseconds at most.
    assert due_then == due_us or abs((due_then or 0) - (due_us or 0)) < 1_000
    kept = encode_state(state)
    judge(state, at_us)
    assert encode_state(state) == kept


@settings(deadline=None, max_examples=60)
@given(states())
def test_what_is_kept_gives_the_same_risk_again(state: RiskState) -> None:
    """People read a risk that is made anew from its row: it must be the one that was judged."""
    curve, due_us = judge(state, NOW_US)
    risk = explain("shop-1", state, curve, due_us)
    assert explain("shop-1", decode_state(encode_state(state))) == risk


@settings(deadline=None, max_examples=60)
@given(facts(), st.integers(2020, 2040))
def test_a_worse_fact_never_lowers_the_hazard_and_an_unknown_one_is_never_the_best(told: RiskFacts, year: int) -> None:
    now = hazard_of(told, year).value
    for worse in (
        structs.replace(told, open_flame=True),
        structs.replace(told, flammables=Flammables.MUCH),
        structs.replace(told, wired=1940),
        structs.replace(told, built=1940),
        structs.replace(told, area_m2=1e6),
        structs.replace(told, people=10_000),
    ):
        assert hazard_of(worse, year).value >= now
    best = {
        "wired": year, "built": year, "open_flame": False, "flammables": Flammables.NONE, "area_m2": 1.0, "people": 1
    }  # fmt: skip
    for name, value in best.items():
        good = hazard_of(structs.replace(told, **{name: value}), year).value
        assert hazard_of(structs.replace(told, **{name: None}), year).value >= good


@settings(deadline=None, max_examples=60)
@given(states(), st.integers(0, 15), LATER)
def test_what_is_worse_never_lowers_its_term(state: RiskState, place: int, later_us: int) -> None:
    """An alarm of a higher grade or one that lasts, an answer that comes late, a detector that is out for longer."""
    assume(state.lives)
    at_us = NOW_US + later_us
    before = naive_terms(state, at_us)

    def after(**change: object) -> dict[str, float]:
        worse = copy.deepcopy(state)
        life = worse.lives[place % len(worse.lives)]
        for name, value in change.items():
            setattr(life, name, value)
        curve = Curve(worse, NOW_US)
        return {term.letter.value: term.value for term in terms_of(curve, at_us)}

    assert after(worst=4)["A"] >= before["A"] - 1e-9
    assert after(closed_us=None)["A"] >= before["A"] - 1e-9
    assert after(closed_us=None)["P"] >= before["P"] - 1e-9
    assert after(acked_us=None)["R"] >= before["R"] - 1e-9
    assert after(was_late=True)["R"] >= before["R"] - 1e-9
    strained = structs.replace(state, strain=Strain(1, 24, 24))
    assert Curve(strained, NOW_US).score_at(at_us) >= Curve(state, NOW_US).score_at(at_us) - 1e-9


@settings(deadline=None, max_examples=60)
@given(st.floats(0.0, 100.0), st.floats(0.0, 100.0), st.sampled_from(RiskColour))
def test_colours_rise_with_the_score_and_are_left_three_points_below(low: float, high: float, held: RiskColour) -> None:
    table = risk_table()
    low, high = sorted((low, high))
    assert colour_of(low, held, table) <= colour_of(high, held, table)
    assert colour_of(low, 0, table) <= colour_of(low, held, table)
    fresh = colour_of(low, 0, table)
    if colour_of(low, held, table) != fresh:
        limit = (0.0, *table.colour.limits())[colour_of(low, held, table) - 1]
        assert limit - table.colour.clear_by < low < limit


def _is_close(state: RiskState, at_us: int) -> bool:
    """So near a limit that the two ways of adding up may differ."""
    score = naive_score(state, at_us)
    limits = risk_table().colour.limits()
    return any(abs(score - limit) < 1e-9 or abs(score - limit + 3.0) < 1e-9 for limit in limits)
