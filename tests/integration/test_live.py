"""The open alarms, live, on a real PostgreSQL: who sees what, how often it is read, and what a cut does."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from alerting.people import People
from console.live import GATHER_S
from console.rooms import Snapshot
from schemas.alarms import Grade, State
from schemas.viewers import NotAllowed, Role, Viewer
from tests.alerting_world import HandClock, event
from tests.cut_link import CutLink, Fate
from tests.waiting import until
from tests.watching_world import (
    BOSS,
    DUTY,
    INTEGRATOR,
    NORTH,
    OWNER,
    SECOND,
    Seeing,
    Tale,
    living,
    settle,
    telling,
)

pytestmark = pytest.mark.integration


@pytest.fixture
def people(dsn: str) -> Iterator[People]:
    made = People(dsn, HandClock())
    yield made
    made.close()


@pytest.fixture
def tale(dsn: str) -> Iterator[Tale]:
    with telling(dsn) as made:
        yield made


def devices(snapshot: Snapshot) -> list[str]:
    return [alarm.device for alarm in snapshot.alarms]


def test_everybody_sees_what_their_scope_takes_in_and_no_more(dsn: str, people: People, tale: Tale) -> None:
    """A snapshot of one scope that reaches another tells a competitor's fire."""
    settle(dsn, "shop-1", "shop-2")
    with living(dsn, people) as live:
        seen = {viewer.name: Seeing() for viewer in (DUTY, SECOND, NORTH, OWNER, BOSS)}
        for viewer in (DUTY, SECOND, NORTH, OWNER, BOSS):
            live.subscribe(viewer, seen[viewer.name])
            seen[viewer.name].until(lambda snapshot: snapshot.total == 0 and snapshot.cut_since_us is None)
        with pytest.raises(NotAllowed):
            live.subscribe(INTEGRATOR, Seeing())
        tale.tell(
            event(State.RAISED, Grade.YELLOW),
            event(State.RAISED, Grade.RED, enterprise="shop-2", device="hall"),
            event(State.RAISED, Grade.BLUE, enterprise="shop-9", device="nobody"),
        )
        for name, wanted in {
            "duty": ["hall", "kitchen", "nobody"],
            "second": ["hall", "kitchen", "nobody"],
            "boss": ["hall", "kitchen", "nobody"],
            "north": ["kitchen"],
            "owner": ["kitchen"],
        }.items():
            shown = seen[name].until(lambda snapshot, wanted=wanted: devices(snapshot) == wanted)  # type: ignore[misc]
            assert (shown.total, shown.unacknowledged) == (len(wanted), len(wanted))
        assert seen["duty"].newest is seen["second"].newest is seen["boss"].newest, "one reading serves a scope"
        mine = seen["owner"].newest.alarms[0]
        assert (mine.enterprise_name, mine.zone_name_en, mine.device_name_en) == (
            "老王饭店",
            "Kitchen",
            "Heat detector",
        )
        assert seen["duty"].newest.grades == {"red": 1, "yellow": 1, "blue": 1}


def test_what_people_do_is_seen_at_once(dsn: str, people: People, tale: Tale) -> None:
    """Two at one desk must not both run."""
    settle(dsn, "shop-1")
    (key,) = tale.tell(event(State.RAISED, Grade.RED))
    with living(dsn, people) as live:
        seen = Seeing()
        live.subscribe(DUTY, seen)
        people.acknowledge(SECOND, key)
        people.comment(SECOND, key, "on my way")
        shown = seen.until(lambda snapshot: bool(snapshot.alarms) and snapshot.alarms[0].comments == 1).alarms[0]
        assert (shown.acknowledged_by, [heard.recipient for heard in shown.heard]) == ("second", ["ops"])
        assert shown.heard[0].answered_us is not None


def test_a_storm_is_read_some_ten_times_a_second(dsn: str, people: People, tale: Tale) -> None:
    """However much happens, PostgreSQL is asked no more often than a person can look."""
    with living(dsn, people) as live:
        seen = Seeing()
        live.subscribe(DUTY, seen)
        seen.until(lambda snapshot: snapshot.cut_since_us is None)
        before, begun = live.readings, time.monotonic()
        with psycopg.connect(dsn, autocommit=True) as connection:
            tale.tell(event(State.RAISED, Grade.BLUE, device="last"))
            for _ in range(200):
                connection.execute("UPDATE alarms SET acked_by = acked_by")
            connection.execute("UPDATE alarms SET acked_step = 1, acked_by = 'end'")
        seen.until(lambda snapshot: bool(snapshot.alarms) and snapshot.alarms[0].acknowledged_by == "end")
        assert live.readings - before <= (time.monotonic() - begun) / GATHER_S + 2
        versions = [snapshot.version for snapshot in seen.given]
        assert versions == sorted(set(versions))


def test_a_cut_is_said_at_once_and_what_was_missed_is_read(dsn: str, people: People, tale: Tale) -> None:
    """Old alarms that are shown as the newest are a lie that kills."""
    (key,) = tale.tell(event(State.RAISED, Grade.RED))
    with CutLink(dsn) as link, living(link.dsn, people) as live:
        seen = Seeing()
        live.subscribe(DUTY, seen)
        before = seen.until(lambda snapshot: snapshot.total == 1)
        link.decide = lambda packet: Fate.SWALLOW  # nor does it come back for now
        link.cut()
        cut = seen.until(lambda snapshot: snapshot.cut_since_us is not None)
        assert (cut.as_of_us, devices(cut)) == (before.as_of_us, ["kitchen"])
        late = Seeing()
        live.subscribe(OWNER, late)
        assert late.until(lambda snapshot: snapshot.cut_since_us is not None).as_of_us == 0, "nothing is known"
        people.acknowledge(DUTY, key)
        link.decide = lambda packet: Fate.PASS
        back = seen.until(lambda snapshot: snapshot.cut_since_us is None)
        assert back.as_of_us > before.as_of_us and back.alarms[0].acknowledged
        assert [snapshot.version for snapshot in seen.given] == sorted({s.version for s in seen.given})
        late.until(lambda snapshot: snapshot.cut_since_us is None)


def test_a_database_that_hangs_is_a_cut(dsn: str, people: People, tale: Tale) -> None:
    """It answers nothing and closes nothing: without a word from it we know nothing."""
    tale.tell(event(State.RAISED, Grade.RED))
    released = threading.Event()

    def hold(packet: bytes) -> Fate:
        released.wait(120)
        return Fate.PASS

    with CutLink(dsn) as link, living(link.dsn, people, silent_s=1.5) as live:
        seen = Seeing()
        live.subscribe(DUTY, seen)
        seen.until(lambda snapshot: snapshot.total == 1 and snapshot.cut_since_us is None)
        link.decide = hold
        seen.until(lambda snapshot: snapshot.cut_since_us is not None)
        released.set()
        seen.until(lambda snapshot: snapshot.cut_since_us is None)


def test_who_is_slow_misses_snapshots_and_is_never_behind(dsn: str, people: People, tale: Tale) -> None:
    """A browser on a bad line costs nobody anything, and shows the newest when it can."""

    async def story() -> None:
        with living(dsn, people) as live:
            seen, subscriptions = [Seeing() for _ in range(200)], []
            for one in seen:
                subscriptions.append(live.subscribe(DUTY, one))
            while not all(one.given and one.newest.cut_since_us is None for one in seen):
                await asyncio.sleep(0)
            given = [len(one.given) for one in seen]
            # The loop stands still while much happens.
            for n in range(5):
                readings = live.readings
                tale.tell(event(State.RAISED, Grade.BLUE, device=f"d{n}"))
                until(lambda readings=readings: live.readings > readings, "it is read")  # type: ignore[misc]
            until(lambda: live.newest_total(DUTY) == 5, "all is read")
            while not all(one.newest.total == 5 for one in seen):
                await asyncio.sleep(0)
            assert all(len(one.given) <= before + 2 for one, before in zip(seen, given, strict=True))
            assert live.watchers == 200
            for subscription in subscriptions:
                subscription.close()
            assert live.watchers == 0

    asyncio.run(story())


def test_a_change_is_read_for_those_whom_it_concerns(dsn: str, people: People, tale: Tale) -> None:
    """Two hundred owners look at their phones; one kitchen smokes."""
    owners = [Viewer(f"o{n}", Role.OWNER, enterprises=(f"shop-{n}",), account=n) for n in range(1, 13)]
    with living(dsn, people) as live:
        seen = {viewer.name: Seeing() for viewer in (DUTY, *owners)}
        for viewer in (DUTY, *owners):
            live.subscribe(viewer, seen[viewer.name])
            seen[viewer.name].until(lambda snapshot: snapshot.cut_since_us is None)
        tale.tell(event(State.RAISED, Grade.BLUE, enterprise="shop-12"))
        seen["duty"].until(lambda snapshot: snapshot.total == 1)
        seen["o12"].until(lambda snapshot: snapshot.total == 1)
        until(lambda: not live.is_reading, "the round is over")
        given = {name: len(one.given) for name, one in seen.items()}
        tale.tell(event(State.RAISED, Grade.RED, enterprise="shop-7"))
        seen["o7"].until(lambda snapshot: snapshot.total == 1)
        seen["duty"].until(lambda snapshot: snapshot.total == 2)
        tale.tell(event(State.RAISED, Grade.RED, enterprise="shop-8"))
        seen["o8"].until(lambda snapshot: snapshot.total == 1)
        untouched = [f"o{n}" for n in (1, 2, 3, 4, 5, 6, 9, 10, 11)]
        assert {name: len(seen[name].given) for name in untouched} == {name: given[name] for name in untouched}
