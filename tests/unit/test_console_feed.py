"""What open pages are sent by themselves: changes once, beats always, and what is old never as new."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from console.feed import CHECK_S, Feed, Reader
from console.live import Live
from console.rooms import Snapshot
from schemas.viewers import Role, Viewer
from tests.unit.test_console_rows import AT_US, alarm

OFFICER = Viewer("officer", Role.OPERATOR, account=1)
FITTER = Viewer("fitter", Role.INTEGRATOR, enterprises=("shop-1",), account=2)


class HeldLive:
    """`console.live` in memory: `give` is a snapshot for everybody."""

    def __init__(self) -> None:
        self.callbacks: list[Callable[[Snapshot], None]] = []
        self.cut_since_us: int | None = None

    def subscribe(self, viewer: Viewer, callback: Callable[[Snapshot], None]) -> HeldLive:
        self.callbacks.append(callback)
        return self

    def close(self) -> None:
        self.callbacks.clear()

    def give(self, *alarms: Any, as_of_us: int = AT_US, cut: int | None = None) -> None:
        shot = Snapshot(as_of_us, as_of_us, list(alarms), len(alarms), {"red": len(alarms)}, len(alarms), cut)
        for callback in list(self.callbacks):
            callback(shot)


class Room:
    def __init__(self) -> None:
        self.live = HeldLive()
        self.now_us = AT_US
        self.feed = Feed(cast(Live, self.live), lambda: self.now_us, lambda: AT_US)
        self.beats: list[dict[str, Any]] = []
        self.changes: list[dict[str, Any]] = []
        self.ended: list[str] = []
        self.is_in = True

    def reader(self, viewer: Viewer = OFFICER) -> Reader:
        async def still_in() -> bool:
            return self.is_in

        return Reader(
            viewer, "en", self.beats.append, still_in, lambda: self.ended.append("out"), lambda act: None,
            self.changes.append,
        )  # fmt: skip


def test_a_page_gets_what_stands_then_each_change_with_the_next_number() -> None:
    """A browser that missed one asks for all again: it knows by the number."""

    async def story() -> None:
        room = Room()
        asking = asyncio.create_task(room.feed.hall(OFFICER))
        await asyncio.sleep(0)
        room.live.give(alarm("a"))
        hall = await asking
        assert hall.rows is not None
        room.feed.join(room.reader())
        room.live.give(alarm("a"), alarm("b"))
        room.live.give(alarm("b"))
        assert [(c["number"], [r["key"] for r in c["rows"]], c["gone"]) for c in room.changes] == [
            (2, ["b"], []), (3, [], ["a"]),
        ]  # fmt: skip
        assert [red["id"] for red in room.beats[-1]["reds"]] == ["b/1"]

    asyncio.run(story())


def test_two_pages_of_one_scope_share_a_subscription() -> None:
    """Two hundred desks cost one reading."""

    async def story() -> None:
        room = Room()
        room.live.give()
        for _ in range(2):
            await room.feed.hall(OFFICER, patience_s=0.01)
        assert len(room.live.callbacks) == 1

    asyncio.run(story())


def test_a_page_that_takes_long_to_make_hears_what_happens_then() -> None:
    """Its hall emptied before it came in, and it sat in a new one that heard nothing: calm for ever, and `live`."""

    async def story() -> None:
        room = Room()
        asking = asyncio.create_task(room.feed.hall(OFFICER))
        await asyncio.sleep(0)
        room.live.give()
        await asking
        beating = asyncio.create_task(room.feed.run())
        await asyncio.sleep(0)  # a beat finds nobody there
        beating.cancel()
        assert room.live.callbacks == []
        room.feed.join(room.reader())
        room.live.give(alarm("a"))
        assert [[r["key"] for r in c["rows"]] for c in room.changes] == [["a"]]

    asyncio.run(story())


def test_a_page_that_fails_keeps_nothing_from_the_others() -> None:
    """The page of an alarm could not take its change, and a fire that came with it was on no other page."""

    async def story() -> None:
        room = Room()
        asking = asyncio.create_task(room.feed.hall(OFFICER))
        await asyncio.sleep(0)
        room.live.give()
        await asking

        def fail(told: Any) -> None:
            raise RuntimeError("it cannot take that")

        for _ in range(8):
            broken = room.reader()
            broken.beat = broken.change = fail
            room.feed.join(broken)
            room.feed.join(room.reader())
        room.live.give(alarm("a"))
        assert len(room.changes) == len(room.beats) == 8

    asyncio.run(story())


def test_a_cut_is_said_with_the_time_until_which_the_rows_were_true() -> None:
    """Old data is never shown as new, and nothing of it is taken away."""

    async def story() -> None:
        room = Room()
        asking = asyncio.create_task(room.feed.hall(OFFICER))
        await asyncio.sleep(0)
        room.live.give(alarm("a"))
        hall = await asking
        room.feed.join(room.reader())
        room.now_us = AT_US + 7_000_000
        room.live.give(alarm("a", raised_step=2))
        assert (room.beats[-1]["line"], room.beats[-1]["as_of"]) == ("live", (AT_US + 7_000_000) // 1000)
        room.now_us += 60_000_000
        room.live.give(alarm("a", raised_step=2), cut=room.now_us)
        assert (room.beats[-1]["line"], room.beats[-1]["as_of"]) == ("away", (AT_US + 7_000_000) // 1000)
        assert hall.rows is not None and list(hall.rows.rows) == ["a"]

    asyncio.run(story())


def test_a_page_that_is_made_while_nothing_is_known_says_so() -> None:
    """It does not say that all is quiet."""

    async def story() -> None:
        room = Room()
        asking = asyncio.create_task(room.feed.hall(OFFICER))
        await asyncio.sleep(0)
        room.live.give(as_of_us=0, cut=AT_US)
        hall = await asking
        assert hall.rows is None
        assert room.feed.beat_of(hall, "en")["line"] == "away"

    asyncio.run(story())


def test_a_session_that_ended_is_told_to_its_page_alone() -> None:
    """Looked at again every few seconds."""

    async def story() -> None:
        room = Room()
        room.live.give()
        await room.feed.hall(OFFICER, patience_s=0.01)
        reader = room.reader()
        room.feed.join(reader)
        room.is_in = False
        room.live.give(alarm("a"))
        await asyncio.sleep(0)
        assert room.ended == []
        reader.checked_at -= CHECK_S + 1
        room.live.give(alarm("a"), alarm("b"))
        for _ in range(3):
            await asyncio.sleep(0)
        assert room.ended == ["out"]

    asyncio.run(story())


def test_who_may_not_see_alarms_has_a_live_page_without_them() -> None:
    """A fitter's page must say when its line is cut, and nothing of fires."""

    async def story() -> None:
        room = Room()
        hall = await room.feed.hall(FITTER)
        room.feed.join(room.reader(FITTER))
        running = asyncio.create_task(room.feed.run())
        await asyncio.sleep(0)
        running.cancel()
        assert hall.subscription is None
        assert (room.beats[0]["line"], room.beats[0]["reds"]) == ("live", [])

    asyncio.run(story())


def test_quiet_is_counted_from_the_last_alarm_of_the_time_before() -> None:
    """A console that was started a minute ago does not say that it has been quiet for a minute."""

    async def story() -> None:
        room = Room()
        room.feed = Feed(cast(Live, room.live), lambda: AT_US, lambda: AT_US, lambda viewer: AT_US - 5)
        asking = asyncio.create_task(room.feed.hall(OFFICER))
        await asyncio.sleep(0)
        room.live.give()
        hall = await asking
        assert hall.rows is not None and hall.rows.quiet_since_us == AT_US - 5

    asyncio.run(story())
