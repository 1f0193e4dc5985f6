"""A dead gateway on a real PostgreSQL: one alarm to people, and its devices' silence only if it outlasts it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from alerting.desk import Desk
from alerting.lists import Wanted
from alerting.people import People
from alerting.routes import Recipient, Routes
from schemas.alarms import Grade, State
from schemas.identity import id_of
from schemas.notifications import Part
from schemas.viewers import house
from tests.alerting_world import START_US, HandClock, HeldChannel, Story, make_desk
from tests.unit.test_alerting_effects import MIN_US, silent

OPS = Recipient("ops", "held")
DEVICES = ("kitchen", "hall")


class World:
    """A desk, its channel and a clock; `pass_minutes` lets it serve all that becomes due."""

    def __init__(self, dsn: str) -> None:
        with psycopg.connect(dsn) as connection:
            for device, facts in [("gateway", "{}"), *((d, '{"gateway": "gateway", "period_s": 30}') for d in DEVICES)]:
                connection.execute(
                    "INSERT INTO devices (enterprise, device, id, facts) VALUES ('shop-1', %s, %s, %s)",
                    [device, id_of(f"shop-1/{device}"), facts],
                )
        self.dsn = dsn
        self.clock = HandClock()
        self.channel = HeldChannel("held")
        self.story = Story(dsn)
        self.desk: Desk = make_desk(dsn, Routes((OPS,)), self.clock, self.channel)

    def pass_minutes(self, minutes: int) -> None:
        for _ in range(minutes):
            self.clock.forward(60)
            while self.desk.serve_once():
                pass

    def warned(self) -> list[str]:
        """Subjects of the warnings that were sent."""
        assert self.desk.wait_for_ledger(10)
        return [line.subject for n in self.channel.sent for line in n.lines if line.part is Part.WARNING]

    def suppressed(self) -> set[str]:
        with psycopg.connect(self.dsn) as connection:
            found = connection.execute(
                "SELECT device FROM alarms WHERE open AND suppression = 'suppressed_by_design'"
            ).fetchall()
        return {device for (device,) in found}


@pytest.fixture
def world(dsn: str) -> Iterator[World]:
    made = World(dsn)
    yield made
    made.desk.stop()
    made.desk.run()


def test_a_dead_gateway_is_one_alarm_with_what_hangs_behind_it(world: World) -> None:
    """Its own silence and that of its devices stay in the list, and nobody is told of them."""
    world.story.tell(silent("gateway", family="online"))
    world.pass_minutes(4)
    world.story.tell(silent("gateway"), *(silent(device) for device in DEVICES))
    world.pass_minutes(4)
    assert world.warned() == ["shop-1/gateway/online"]
    (line,) = (line for n in world.channel.sent for line in n.lines)
    assert line.behind == 2
    assert world.suppressed() == {"gateway", *DEVICES}
    with closing(People(world.dsn, world.clock)) as people:
        watched = people.watch(house())
        assert [one.subject for one in watched.alarms] == ["shop-1/gateway/online"]
        assert (watched.total, len(people.list_alarms(house(), Wanted()).alarms)) == (1, 4)


def test_devices_that_fall_silent_first_are_taken_out_of_the_bundle_when_their_gateway_follows(world: World) -> None:
    """Without a last will the gateway may be missed some seconds after those behind it."""
    world.story.tell(*(silent(device) for device in DEVICES))
    world.desk.serve_once()
    world.story.tell(silent("gateway"))
    world.pass_minutes(4)
    assert world.warned() == ["shop-1/gateway"]
    assert world.suppressed() == set(DEVICES)


def test_what_is_still_silent_after_its_gateway_came_back_is_announced_then(world: World) -> None:
    """One device answers, the other has died with the gateway."""
    world.story.tell(silent("gateway", family="online"), *(silent(device) for device in DEVICES))
    world.pass_minutes(3)
    back_us = world.clock() - START_US
    world.story.tell(silent("gateway", family="online", state=State.CLEARED, at_us=back_us))
    world.story.tell(silent("kitchen", state=State.CLEARED, at_us=back_us + MIN_US))
    world.pass_minutes(4)
    assert world.warned() == ["shop-1/gateway/online"]
    world.pass_minutes(3)
    assert world.warned() == ["shop-1/gateway/online", "shop-1/hall"]
    assert world.suppressed() == set()


def test_what_becomes_worse_than_its_gateway_is_announced(world: World) -> None:
    """Hiding is for what people know already."""
    world.story.tell(silent("gateway", family="online"), silent("hall"))
    world.pass_minutes(3)
    world.story.tell(silent("kitchen", Grade.ORANGE))
    world.pass_minutes(1)
    assert world.warned() == ["shop-1/gateway/online", "shop-1/kitchen"]
