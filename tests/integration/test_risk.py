"""Risk on PostgreSQL: what touches an enterprise becomes its row, once, whatever is killed; people see their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from schemas.alarms import Grade, State
from schemas.errors import Fenced
from schemas.risk import RiskColour
from schemas.viewers import NotAllowed, Role, Viewer, house
from streams.risk_book import RiskBook, UnknownRisk
from streams.risk_keeper import RiskKeeper
from tests.alerting_world import START_US, US, HandClock, Story, event

HOUSE = house()
_ENTERPRISE = """
    INSERT INTO enterprises
        (code, name, name_en, trade, district, area_m2, built, wired, open_flame, flammables, people)
    VALUES (%s, '面馆', 'Noodles', 'H6210', %s, 90, 1995, 1995, true, 'some', 30)
"""


def put_enterprise(dsn: str, code: str = "shop-1", district: str = "310101") -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO districts (code, name) VALUES (%s, '黄浦') ON CONFLICT DO NOTHING", [district])
        connection.execute(_ENTERPRISE, [code, district])


@pytest.fixture
def keeper(dsn: str) -> Iterator[RiskKeeper]:
    with closing(RiskKeeper(dsn, HandClock(START_US))) as one:
        yield one


@pytest.fixture
def book(dsn: str) -> Iterator[RiskBook]:
    with closing(RiskBook(dsn)) as one:
        yield one


def settle(keeper: RiskKeeper) -> None:
    """Turns until there is nothing more to do."""
    while keeper.serve_once():
        pass


def test_an_alarm_event_becomes_the_risk_of_an_enterprise_with_facts(
    dsn: str, keeper: RiskKeeper, book: RiskBook
) -> None:
    """The thin path: the registry's facts and a fire, and the duty officer sees red with its reason."""
    put_enterprise(dsn)
    settle(keeper)
    calm = book.of(HOUSE, "shop-1")
    assert calm.risk.colour < RiskColour.RED
    assert calm.name_en == "Noodles"
    Story(dsn).tell(event(State.RAISED, Grade.RED, latched=True, event_us=START_US + 60 * US))
    settle(keeper)
    burning = book.of(HOUSE, "shop-1")
    assert burning.risk.colour is RiskColour.RED
    assert burning.risk.reasons[0].code == "open_red"
    assert burning.risk.score > calm.risk.score
    assert [chapter.colour for chapter in book.history(HOUSE, "shop-1")] == ["red", calm.colour]


def test_what_is_outside_the_scope_is_not_there(dsn: str, keeper: RiskKeeper, book: RiskBook) -> None:
    put_enterprise(dsn, "shop-1", "310101")
    put_enterprise(dsn, "shop-2", "310104")
    settle(keeper)
    supervisor = Viewer("li", Role.SUPERVISOR, districts=("310104",))
    assert [view.risk.enterprise for view in book.list(supervisor).risks] == ["shop-2"]
    assert [total.key for total in book.totals(supervisor)] == ["310104"]
    with pytest.raises(UnknownRisk):
        book.of(supervisor, "shop-1")
    with pytest.raises(UnknownRisk):
        book.history(supervisor, "shop-1")
    with pytest.raises(NotAllowed):
        book.list(Viewer("wang", Role.INTEGRATOR, enterprises=("shop-2",)))


def test_of_two_keepers_the_older_is_fenced(dsn: str) -> None:
    put_enterprise(dsn)
    with closing(RiskKeeper(dsn, HandClock())) as first, closing(RiskKeeper(dsn, HandClock())) as second:
        settle(first)
        settle(second)
        Story(dsn).tell(event(State.RAISED, Grade.RED))
        with pytest.raises(Fenced):
            settle(first)
        settle(second)
        assert second.position == 1
