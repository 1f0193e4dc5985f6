"""What tests of the people's side are made of: enterprises in districts, viewers, a desk that takes what is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import psycopg

from alerting.people import People
from alerting.routes import Recipient, Routes
from console.live import Live
from console.rooms import Snapshot
from schemas.alarms import AlarmEvent
from schemas.entries import DeviceFacts
from schemas.viewers import Role, Viewer
from tests.alerting_world import HandClock, HeldChannel, Story, make_desk
from tests.waiting import until

DUTY = Viewer("duty", Role.OPERATOR, account=1)
SECOND = Viewer("second", Role.OPERATOR, account=2)
NORTH = Viewer("north", Role.SUPERVISOR, districts=("310101",), account=3)
OWNER = Viewer("owner", Role.OWNER, enterprises=("shop-1",), account=4)
INTEGRATOR = Viewer("integrator", Role.INTEGRATOR, enterprises=("shop-1",), account=5)
BOSS = Viewer("boss", Role.ADMINISTRATOR, account=6)


def settle(dsn: str, *shops: str) -> None:
    """Enterprises with a kitchen in which the device `kitchen` hangs; `shop-1` lies in district 310101."""
    with psycopg.connect(dsn) as connection:
        for code in shops:
            facts = msgspec.json.encode(DeviceFacts(code, "kitchen")).decode()
            place = {"code": code, "district": f"31010{code[-1]}", "facts": facts}
            connection.execute(
                "INSERT INTO districts (code, name, name_en) VALUES (%(district)s, '区', 'North')"
                " ON CONFLICT DO NOTHING",
                place,
            )
            connection.execute(
                "INSERT INTO enterprises (code, name, name_en, trade, district, address, address_en)"
                " VALUES (%(code)s, '老王饭店', 'Wang''s', 'H6210', %(district)s, '中山路1号', '1 Zhongshan Rd')",
                place,
            )
            connection.execute("INSERT INTO zones VALUES (%(code)s, 'k', '厨房', 'Kitchen', '1')", place)
            connection.execute(
                "INSERT INTO devices (enterprise, device, id, facts, zone, name, name_en)"
                " VALUES (%(code)s, 'kitchen', hashtext(%(code)s), %(facts)s, 'k', '热探测器', 'Heat detector')",
                place,
            )


class Tale:
    """Events that a desk has taken by the time `tell` returns."""

    def __init__(self, dsn: str) -> None:
        self.clock = HandClock()
        self._story = Story(dsn)
        self._desk = make_desk(dsn, Routes((Recipient("ops", "held"),)), self.clock, HeldChannel("held"))

    def tell(self, *events: AlarmEvent) -> list[str]:
        """Their keys."""
        keys = [e.key for e in self._story.tell(*events)]
        while self._desk.serve_once():
            pass
        assert self._desk.wait_for_ledger(30.0)
        return keys

    def end(self) -> None:
        self._desk.stop()
        self._desk.run()


@contextmanager
def telling(dsn: str) -> Iterator[Tale]:
    tale = Tale(dsn)
    try:
        yield tale
    finally:
        tale.end()


@contextmanager
def living(dsn: str, people: People, **more: Any) -> Iterator[Live]:
    """A `Live` that runs."""
    live = Live(dsn, people, **more)
    thread = threading.Thread(target=live.run)
    thread.start()
    try:
        until(lambda: live.cut_since_us is None, "it listens")
        yield live
    finally:
        live.stop()
        thread.join(60)


class Seeing:
    """Keeps what a subscription was given."""

    def __init__(self) -> None:
        self.given: list[Snapshot] = []
        self._changed = threading.Condition()

    def __call__(self, snapshot: Snapshot) -> None:
        with self._changed:
            self.given.append(snapshot)
            self._changed.notify_all()

    @property
    def newest(self) -> Snapshot:
        return self.given[-1]

    def until(self, holds: Callable[[Snapshot], bool], patience_s: float = 60.0) -> Snapshot:
        """The newest, once it is as it should be."""
        with self._changed:
            assert self._changed.wait_for(lambda: bool(self.given) and holds(self.given[-1]), patience_s)
            return self.given[-1]
