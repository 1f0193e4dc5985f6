"""Who watches which open alarms: those of one scope share a room, and what stands in it is a snapshot."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import msgspec
import structlog

from alerting.views import WatchedAlarm
from schemas.viewers import Viewer

_log = structlog.get_logger("console.live")


class Snapshot(msgspec.Struct, frozen=True):
    """What stood open in a scope as of one moment."""

    version: int
    """Rises with every snapshot of a scope, in every process: microseconds since 1970."""
    as_of_us: int
    """PostgreSQL's time of the reading; after a cut it stays behind."""
    alarms: list[WatchedAlarm]
    """Worst first, at most 500."""
    total: int
    grades: dict[str, int]
    """Warning grade → how many are open."""
    unacknowledged: int
    cut_since_us: int | None = None
    """Since when PostgreSQL has not answered: what stands here is as of `as_of_us`, and may be over."""


Callback = Callable[[Snapshot], None]
Scope = tuple[bool, tuple[str, ...], tuple[str, ...]]


class Subscription:
    """One who watches. Only the newest snapshot waits for it, so one that is slow misses some and is never behind."""

    def __init__(
        self, room: Room, callback: Callback, loop: asyncio.AbstractEventLoop | None, leave: Callable[[], None]
    ) -> None:
        self.room = room
        self._callback = callback
        self._loop = loop
        self._leave = leave
        self._lock = threading.Lock()
        self._newest: Snapshot | None = None
        self._closed = False

    def close(self) -> None:
        """No call follows, except one that has begun."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._leave()

    def give(self, snapshot: Snapshot) -> None:
        """From any thread."""
        if self._loop is None:
            if not self._closed:
                self._call(snapshot)
            return
        with self._lock:
            if self._closed:
                return
            waits, self._newest = self._newest is not None, snapshot
        if not waits:
            try:
                self._loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:  # its loop has ended, and whoever ran in it
                self.close()

    def _deliver(self) -> None:
        with self._lock:
            snapshot, self._newest = self._newest, None
        if snapshot is not None and not self._closed:
            self._call(snapshot)

    def _call(self, snapshot: Snapshot) -> None:
        try:
            self._callback(snapshot)
        except Exception:  # noqa: BLE001  one watcher's failure is not the others'
            _log.exception("a watcher failed")


class Room:
    """Those of one scope, and what they see."""

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.snapshot: Snapshot | None = None
        self.inside: set[Subscription] = set()

    def has_changed(self, whole: list[WatchedAlarm]) -> bool:
        """Whether its viewers would see another snapshot, by all that is open."""
        viewer, codes, districts = self.viewer, set(self.viewer.enterprises), set(self.viewer.districts)
        within = [a for a in whole if viewer.sees_all or a.enterprise in codes or a.district in districts]
        known = self.snapshot
        return known is None or known.cut_since_us is not None or known.total != len(within) or known.alarms != within


class Newest:
    """The newest snapshot, for one task; those that it was too slow for are passed over."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._there = asyncio.Event()

    def put(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._there.set()

    async def get(self, timeout_s: float) -> Snapshot | None:
        """The next one, None when none came in that time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._there.wait()
        except TimeoutError:
            return None
        self._there.clear()
        return self._snapshot


def nothing(cut_since_us: int) -> Snapshot:
    """What is known to somebody who came while PostgreSQL was away."""
    return Snapshot(0, 0, [], 0, {}, 0, cut_since_us)
