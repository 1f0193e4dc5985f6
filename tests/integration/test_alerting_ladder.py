"""Contacts, one after the other, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from alerting.desk import Desk
from alerting.routes import Recipient, Routes
from schemas.alarms import Grade, State
from schemas.notifications import Notification, Part
from tests.alerting_world import US, HandClock, HeldChannel, Story, event, make_desk
from tests.people_world import add_contact, settle

OPS = Recipient("ops", "held")


@contextmanager
def stopped(desk: Desk) -> Iterator[Desk]:
    try:
        yield desk
    finally:
        desk.stop()
        desk.run()


def rows(dsn: str, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(sql).fetchall()  # type: ignore[arg-type]


@pytest.fixture
def shop(dsn: str) -> str:
    """An enterprise with three contacts."""
    settle(dsn)
    for order in (1, 2, 3):
        add_contact(dsn, order)
    return dsn


class World:
    """A desk with a clock that is moved, a carrier in memory and a story that is told to it."""

    def __init__(self, dsn: str, routes: Routes = Routes(())) -> None:
        self.dsn = dsn
        self.clock = HandClock()
        self.sms = HeldChannel("sms")
        self.ops = HeldChannel("held")
        self.story = Story(dsn)
        self.routes = routes
        self.desk = make_desk(dsn, routes, self.clock, self.sms, self.ops)

    def tell(self, *events: object) -> None:
        self.story.tell(*events)  # type: ignore[arg-type]
        self.turn()

    def turn(self, seconds: float = 0.0) -> None:
        self.clock.forward(seconds)
        while self.desk.serve_once():
            pass
        assert self.desk.wait_for_ledger(10.0)

    def restart(self) -> None:
        self.desk.stop()
        self.desk.run()
        self.desk = make_desk(self.dsn, self.routes, self.clock, self.sms, self.ops)

    def called(self) -> list[str]:
        return [n.recipient.rpartition(":")[2] for n in self.sms.sent]

    def acknowledge(self, step: int = 1) -> None:
        with psycopg.connect(self.dsn) as connection:
            connection.execute("UPDATE alarms SET acked_step = %s, acked_by = 'Li Wei'", [step])


@contextmanager
def world(dsn: str, routes: Routes = Routes(())) -> Iterator[World]:
    made = World(dsn, routes)
    try:
        yield made
    finally:
        made.desk.stop()
        made.desk.run()


def test_a_red_calls_the_first_contact_at_once_and_the_next_after_a_minute(shop: str) -> None:
    """One person is woken at a time, and nobody is waited for longer than a minute."""
    with world(shop, Routes((OPS,))) as w:
        w.tell(event(State.RAISED, Grade.RED))
        assert w.called() == ["1"] and len(w.ops.sent) == 1
        w.turn(59)
        assert w.called() == ["1"]
        w.turn(1)
        w.turn(60)
        assert w.called() == ["1", "2", "3"] and len(w.ops.sent) == 1
    reasons = rows(shop, "SELECT number, told, reason FROM rungs ORDER BY number")
    assert reasons[0] == (
        1, ["contact:shop-1:2"],
        "contact:shop-1:1 did not acknowledge within 60 s: contact:shop-1:2 is called",
    )  # fmt: skip
    told = rows(shop, "SELECT told FROM alarms")
    assert told == [(["contact:shop-1:1", "contact:shop-1:2", "contact:shop-1:3", "ops"],)]
