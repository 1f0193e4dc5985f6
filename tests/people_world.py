"""An enterprise with its zone, device and contacts, written as the registry does; and a desk that calls them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg

from alerting.composer import Reply
from alerting.routes import Routes
from schemas.alarms import AlarmEvent
from tests.alerting_world import HandClock, HeldChannel, LoneDesk, Story, make_outbox

NO_ROUTES = Routes(())
NO_REPLY = Reply()
DISTRICT = "330106"


def settle(dsn: str, code: str = "shop-1", *, name: str = "城东饭店", name_en: str = "East Gate Diner") -> None:
    """A restaurant with a kitchen, in which the device `kitchen` hangs."""
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO districts (code, name, name_en) VALUES (%s, '西湖区', 'Xihu') ON CONFLICT DO NOTHING",
            [DISTRICT],
        )
        connection.execute(
            "INSERT INTO enterprises (code, name, name_en, trade, district, address, address_en)"
            " VALUES (%s, %s, %s, 'H6210', %s, '文三路 1 号', '1 Wensan Road')",
            [code, name, name_en, DISTRICT],
        )
        connection.execute("INSERT INTO zones VALUES (%s, 'kitchen', '后厨', 'Kitchen', '1')", [code])
        connection.execute(
            "INSERT INTO devices (enterprise, device, id, facts, zone, name, name_en)"
            " VALUES (%s, 'kitchen', hashtext(%s), '{}', 'kitchen', '烟感2', 'Detector 2')",
            [code, code],
        )


def add_contact(
    dsn: str,
    order: int,
    *,
    enterprise: str = "shop-1",
    name: str = "",
    language: str = "zh",
    hours: str = "",
    least: str = "orange",
    phone: str = "",
) -> str:
    """Returns its name as a recipient."""
    with psycopg.connect(dsn) as connection:
        made = connection.execute(
            'INSERT INTO contacts (enterprise, "order", name, phone, language, hours, least)'
            " VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING id",
            [enterprise, order, name or f"联系人{order}", phone or f"+86100000000{order:02}", language, hours, least],
        ).fetchone()
    assert made is not None
    return f"contact:{enterprise}:{made[0]}"


class Watch:
    """A desk with a clock that is moved, a carrier in memory and a story that is told to it."""

    def __init__(self, dsn: str, routes: Routes, reply: Reply, sms: HeldChannel | None, **more: Any) -> None:
        self.dsn = dsn
        self.clock = HandClock()
        self.sms = sms or HeldChannel("sms", short=True)
        self.ops = HeldChannel("held")
        self.story = Story(dsn)
        self._make = lambda: LoneDesk(
            dsn,
            routes,
            make_outbox(dsn, self.clock, self.sms, self.ops, finish=reply.finish),
            self.clock,
            reply=reply,
            **more,
        )
        self.desk = self._make()

    def tell(self, *events: AlarmEvent) -> None:
        """The engine says it, and the desk takes it."""
        self.story.tell(*events)
        self.turn()

    def turn(self, seconds: float = 0.0) -> None:
        """Time passes, and the desk does what is due."""
        self.clock.forward(seconds)
        while self.desk.serve_once():
            pass
        assert self.desk.wait_for_ledger(10.0)

    def restart(self) -> None:
        self.stop()
        self.desk = self._make()

    def stop(self) -> None:
        self.desk.stop()
        self.desk.run()

    def called(self) -> list[str]:
        """Ids of the contacts, in the order in which messages went to them."""
        return [message.recipient.rpartition(":")[2] for message in self.sms.sent]

    def acknowledge(self, step: int = 1, by: str = "Li Wei") -> None:
        """All alarms, as they stood at `step`."""
        with psycopg.connect(self.dsn) as connection:
            connection.execute("UPDATE alarms SET acked_step = %s, acked_by = %s", [step, by])

    def rows(self, sql: LiteralString) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(sql).fetchall()


@contextmanager
def watch(
    dsn: str, routes: Routes = NO_ROUTES, reply: Reply = NO_REPLY, sms: HeldChannel | None = None, **more: Any
) -> Iterator[Watch]:
    """sms: the carrier, if it is to be another than one that takes everything."""
    made = Watch(dsn, routes, reply, sms, **more)
    try:
        yield made
    finally:
        made.stop()
