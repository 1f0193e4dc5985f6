"""The open alarms, live: one session of PostgreSQL listens for a whole process, however many watch.

Viewers of the same scope share one snapshot, read once for all of them, at most some ten times a second, more rarely
where it takes long; where many scopes are watched, those alone are read whom a change concerns. A cut from PostgreSQL
is said at once; what was known until then stays in the snapshot, with the moment from which it is, and is replaced by
what is read first after the cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import AsyncIterator

import msgspec
import psycopg
import structlog

from alerting.database import Connection, open_connection
from alerting.people import LONGEST_PAGE, People
from alerting.views import WatchedAlarm
from console.bell import Bell
from console.rooms import Callback, Newest, Room, Scope, Snapshot, Subscription, nothing
from schemas.errors import TocsinError
from schemas.viewers import Act, Viewer, house

CHANNEL = "tocsin_watch"
"""Of NOTIFY: an alarm, what people did about one, or the registry has changed (migration 0017)."""
GATHER_S = 0.1
"""Changes that follow each other faster are read together."""
_FLOOD_S = 0.5
"""Where they go on following each other, readings become as rare as this, step by step: nobody reads ten lists a second
and every browser draws each."""
_SHARE = 4
"""Between two readings lies at least so many times what one takes: where much is open, watching costs the machine no
more than a fifth of a core, and engine and door go on."""
_GATHER_MOST_S = 1.0
_AT_ONCE = "alarms"
"""What is said on the channel of alarms and of what people did about them."""
_LATER_S = 0.7
"""What became of a message, and the registry, may wait so long: the next alarm takes it along, and a screen that is
drawn anew three times an alarm costs three times as much."""
_PROOF_S = 1.0
"""A quiet PostgreSQL is asked so often whether it is there."""
SILENT_S = 3.0
"""A PostgreSQL that has not answered for so long is away."""
_FEW_ROOMS = 4
"""More scopes than these are not all read at every change, but those whom it concerns."""
_BACKOFF_S = 0.5
_log = structlog.get_logger("console.live")


class Live:
    """`run` blocks until `stop`, and must run in a thread of its own; everything else is for any thread."""

    def __init__(
        self,
        dsn: str,
        people: People,
        *,
        name: str = "tocsin live",
        most: int = LONGEST_PAGE,
        silent_s: float = SILENT_S,
    ) -> None:
        """most: alarms in a snapshot.  silent_s: a PostgreSQL that has not answered for so long is away."""
        self._dsn = dsn
        self._people = people
        self._name = name
        self._most = most
        self._silent_s = silent_s
        self._rooms: dict[Scope, Room] = {}
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._bell = Bell()
        self._proved_at: float | None = None
        self._cut_since_us: int | None = _now_us()
        self._cuts = 0
        self.readings = 0
        """Snapshots that were read."""
        self.is_reading = False

    # For those who watch.

    def subscribe(
        self, viewer: Viewer, callback: Callback, loop: asyncio.AbstractEventLoop | None = None
    ) -> Subscription:
        """Call `callback` with what stands, and with every snapshot from now on, until the subscription is closed.

        loop: in which the calls are made; the running one if there is one, else they come from Live's own threads.
        The first call comes once something is known; while PostgreSQL is away that may be an empty snapshot that says
        so.  Raises NotAllowed when the viewer may not see alarms.
        """
        viewer.must(Act.SEE_ALARMS)
        if loop is None:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                loop = None
        with self._lock:
            room = self._rooms.get(viewer.scope)
            if room is None:
                room = self._rooms[viewer.scope] = Room(viewer)
            made = Subscription(room, callback, loop, lambda: self._leave(made))
            room.inside.add(made)
            snapshot, cut = room.snapshot, self._cut_since_us
        if snapshot is not None:
            made.give(snapshot)
        else:
            if cut is not None:
                made.give(nothing(cut))
            self._bell.ring()
        return made

    @contextlib.asynccontextmanager
    async def stream(self, viewer: Viewer) -> AsyncIterator[Newest]:
        """Snapshots as they come, the newest each time, for one task of a loop."""
        newest = Newest()
        subscription = self.subscribe(viewer, newest.put)
        try:
            yield newest
        finally:
            subscription.close()

    @property
    def cut_since_us(self) -> int | None:
        """Since when PostgreSQL does not answer; None while it does."""
        return self._cut_since_us

    @property
    def watchers(self) -> int:
        with self._lock:
            return sum(len(room.inside) for room in self._rooms.values())

    def newest_total(self, viewer: Viewer) -> int | None:
        """How many alarms are open in the viewer's scope, None when nobody watches it."""
        with self._lock:
            room = self._rooms.get(viewer.scope)
            return None if room is None or room.snapshot is None else room.snapshot.total

    # Its threads.

    def run(self) -> None:
        """A PostgreSQL that is away is waited for."""
        watchdog = threading.Thread(target=self._watch_over, name="live watchdog", daemon=True)
        watchdog.start()
        try:
            with self._bell.hung():
                while not self._stopping.is_set():
                    try:
                        with open_connection(self._dsn, self._name) as connection:
                            self._follow(connection)
                    except psycopg.OperationalError as error:
                        self._cut(str(error).strip())
                    except TocsinError as error:
                        self._cut(error.what)
                    if not self._stopping.is_set():
                        self._stopping.wait(_BACKOFF_S)
        finally:
            self._stopping.set()
            watchdog.join()

    def stop(self) -> None:
        """`run` ends at once, or within some seconds when PostgreSQL hangs."""
        self._stopping.set()
        self._bell.ring()

    def _follow(self, connection: Connection) -> None:
        connection.execute("LISTEN tocsin_watch")
        changed, again_at, gather_s = True, 0.0, GATHER_S
        while not self._stopping.is_set():
            cuts = self._cuts
            if changed or self._cut_since_us is not None:
                begun = time.monotonic()
                gather_s = min(_FLOOD_S, 1.5 * gather_s) if begun - again_at < GATHER_S else GATHER_S
                self._read(all_rooms=True)
                read_at = time.monotonic()
                again_at = read_at + min(_GATHER_MOST_S, max(gather_s, _SHARE * (read_at - begun)))
            else:
                self._read(all_rooms=False)
            connection.execute("SELECT 1")
            self._proved(cuts)
            changed = self._wait(connection, again_at)

    def _wait(self, connection: Connection, again_at: float) -> bool:
        """Until something has changed (true, not before `again_at`), somebody new is here, or a second has passed."""
        until, due = time.monotonic() + _PROOF_S, math.inf
        while not self._stopping.is_set():
            now = time.monotonic()
            for notify in connection.notifies(timeout=0):
                if not self._rooms:
                    continue  # whoever comes is read for by himself
                due = min(due, again_at if notify.payload == _AT_ONCE else max(again_at, now + _LATER_S))
            if now >= due:
                return True
            if self._bell.rung() or now >= min(due, until):
                return due < math.inf
            self._bell.wait(connection.fileno(), min(due, until) - now)
        return False

    def _read(self, *, all_rooms: bool) -> None:
        with self._lock:
            rooms = [room for room in self._rooms.values() if all_rooms or room.snapshot is None]
        # Those of the desk wait for nobody.
        rooms.sort(key=lambda room: not room.viewer.sees_all)
        self.is_reading = True
        try:
            whole = self._whole() if len(rooms) > _FEW_ROOMS else None
            for room in rooms:
                if whole is None or room.has_changed(whole):
                    self._read_room(room)
        finally:
            self.is_reading = False

    def _whole(self) -> list[WatchedAlarm] | None:
        """All that is open, to see whom a change concerns; None when it is too much."""
        seen = self._people.watch(house(), self._most)
        self.readings += 1
        return seen.alarms if seen.total == len(seen.alarms) else None

    def _read_room(self, room: Room) -> None:
        seen = self._people.watch(room.viewer, self._most)
        self.readings += 1
        with self._lock:
            before = room.snapshot
            version = seen.as_of_us if before is None else max(seen.as_of_us, before.version + 1)
            now = Snapshot(version, seen.as_of_us, seen.alarms, seen.total, seen.grades, seen.unacknowledged)
            room.snapshot = now
            told = list(room.inside)
        for subscription in told:
            subscription.give(now)

    def _proved(self, cuts: int) -> None:
        """PostgreSQL has answered, and all is read, unless a cut was said meanwhile: then it is read again."""
        with self._lock:
            self._proved_at = time.monotonic()
            if self._cuts == cuts:
                self._cut_since_us = None

    def _watch_over(self) -> None:
        while not self._stopping.wait(0.2):
            proved_at = self._proved_at
            if proved_at is not None and time.monotonic() - proved_at > self._silent_s:
                self._cut("no answer")

    def _cut(self, why: str) -> None:
        """Say it once, to everybody."""
        with self._lock:
            self._proved_at = None
            if self._cut_since_us is not None:
                return
            self._cuts += 1
            cut = self._cut_since_us = _now_us()
            told = []
            for room in self._rooms.values():
                if room.snapshot is not None:
                    room.snapshot = msgspec.structs.replace(
                        room.snapshot, version=room.snapshot.version + 1, cut_since_us=cut
                    )
                told += [(subscription, room.snapshot or nothing(cut)) for subscription in room.inside]
        _log.warning("cut from PostgreSQL", why=why)
        for subscription, snapshot in told:
            subscription.give(snapshot)

    def _leave(self, subscription: Subscription) -> None:
        with self._lock:
            room = subscription.room
            room.inside.discard(subscription)
            if not room.inside and self._rooms.get(room.viewer.scope) is room:
                del self._rooms[room.viewer.scope]


def _now_us() -> int:
    return time.time_ns() // 1000
