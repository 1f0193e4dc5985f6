"""The city through the engine with the default pack: an evening in which nothing burns, and what rings in others."""

from __future__ import annotations

import calendar

import msgspec
import pytest

from schemas.alarms import Grade, Kind
from sensors_sim.city import City
from sensors_sim.scenario import Event, Scenario
from sensors_sim.scenarios import load
from sensors_sim.trades import all_trades
from tests.city_world import START_US, JudgedCity

FRIDAY_S = float(calendar.timegm((2026, 5, 15, 0, 0, 0)))
SHOPS = 40


def code(judged: JudgedCity, trade: str, number: int) -> str:
    """The number-th enterprise of a trade."""
    return [shop.code for shop in judged.city.shops if shop.trade.trade == trade][number - 1]


def sooner(event: Event) -> Event:
    """The same, quick enough for a test."""
    quick: dict[str, float] = {"at": 30.0 if event.at < 600 else 120.0, "lasts": min(event.lasts, 420.0)}
    if hasattr(event, "growth_g_min2"):
        quick |= {"growth_g_min2": 20 * event.growth_g_min2, "lasts": event.lasts}
    if hasattr(event, "litres_min"):
        quick["litres_min"] = 2 * event.litres_min
    return msgspec.structs.replace(event, **quick)


@pytest.mark.parametrize("hour", [5.5, 18.5])
def test_nothing_above_blue_rings_while_nothing_burns(hour: float) -> None:
    """Kitchens steam, loads climb, shops open: the hours in which most would ring."""
    judged = JudgedCity(City(*load("quiet_evening"), 30, 1, local_start_s=FRIDAY_S + hour * 3600))
    judged.live(900)
    assert [e for e in judged.events if e.grade > Grade.BLUE] == []
    assert {e.kind for e in judged.events} <= {Kind.ANOMALY}


def test_the_watch_rooms_fire_is_red_in_the_first_restaurant_and_nowhere_else() -> None:
    """The demo promises it: the fire after half a minute, in the place that the guide names."""
    judged = JudgedCity(City(*load("watch_room"), SHOPS, 1, local_start_s=FRIDAY_S + 12 * 3600))
    judged.live(90)
    red = [e for e in judged.events if e.grade is Grade.RED]
    assert {e.enterprise for e in red} == {code(judged, "restaurant", 1)}
    assert {"smoke", "heat"} <= {e.family for e in red}
    assert 30e6 < min(e.event_us for e in red) - START_US < 60e6


@pytest.fixture(scope="module")
def night() -> JudgedCity:
    """Thirteen minutes in which everything of the city's scenarios happens, faster than there."""
    names = ("city_gas_leak", "city_night_smoulder", "city_residual_current", "city_dead_gateway", "city_back_fill")
    events = tuple(sooner(event) for name in names for event in load(name)[0].event)
    scenario = Scenario(says="", starts_at="23:30", seconds=800.0, event=events)
    judged = JudgedCity(City(scenario, all_trades(), SHOPS, 1))
    judged.live(780)
    return judged


def test_a_gas_leak_after_closing_climbs_to_red(night: JudgedCity) -> None:
    gas = {grade for grade, family in night.rang(code(night, "restaurant", 1)) if family == "gas"}
    assert gas == {Grade.YELLOW, Grade.ORANGE, Grade.RED}


def test_a_smoulder_in_a_locked_warehouse_shows_by_smoke_before_heat(night: JudgedCity) -> None:
    rang = night.rang(code(night, "warehouse", 1))
    assert (Grade.RED, "smoke") in rang
    assert not [family for _, family in rang if family == "heat"]


def test_residual_current_is_graded_by_its_height(night: JudgedCity) -> None:
    assert {g for g, f in night.rang(code(night, "bakery", 1)) if f == "residual_current"} == {Grade.YELLOW}
    assert (Grade.RED, "residual_current") in night.rang(code(night, "bakery", 2))


def test_dead_gateways_are_told_with_what_hangs_behind_them_and_nothing_else_is_silent(night: JudgedCity) -> None:
    dead = {code(night, "hotel", 1), code(night, "restaurant", 2)}
    cut = {code(night, "office", number) for number in (1, 2)}
    for enterprise in dead | cut:
        assert {family for _, family in night.rang(enterprise)} >= {"online", "silence"}
    assert {e.enterprise for e in night.events if e.kind is Kind.SILENCE} == dead | cut


def test_what_burns_while_the_line_is_cut_is_told_when_the_back_fill_has_been_read(night: JudgedCity) -> None:
    """Both offices are heard again after seven minutes, and only in one of them is it still true."""
    fires = [e for e in night.events if e.kind is Kind.FIRE]
    burning = code(night, "office", 2)
    assert {e.enterprise for e in fires} == {burning, code(night, "warehouse", 1)}
    first = next(e for e in fires if e.enterprise == burning)
    assert 450e6 <= first.now_us - START_US <= 480e6


def test_all_that_rings_above_blue_rings_where_something_happens(night: JudgedCity) -> None:
    number = {"restaurant": (1, 2), "warehouse": (1,), "bakery": (1, 2), "hotel": (1,), "office": (1, 2)}
    struck = {code(night, trade, n) for trade, numbers in number.items() for n in numbers}
    assert {e.enterprise for e in night.events if e.grade > Grade.BLUE} <= struck
