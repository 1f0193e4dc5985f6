"""What goes to open pages by itself: changes of their alarms, and a beat a second that says they are alive.

One feed a process, in the console's event loop. Viewers of one scope share one subscription of `console.live`, one
list of rows and its changes; a page that is slow or gone costs the others nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

import structlog

from console.live import Live
from console.rooms import Scope, Snapshot, Subscription
from console.rows import Rows, ringing, rows_of, unseen_reds
from console.telling import Telling
from console.words import words_of
from schemas.viewers import Act, Viewer

BEAT_S = 1.0
CHECK_S = 15.0
"""So often a page's session is looked at."""
_log = structlog.get_logger("console.feed")

Sender = Callable[[Telling], None]
_Key = tuple[Scope, bool]
"""Whoever may not see alarms is in another hall than who may, though they see the same enterprises."""
StillIn = Callable[[], Awaitable[bool]]
"""Whether the session of a page is still good."""


@dataclass(eq=False, slots=True)
class Reader:
    """An open page. Both senders put something into the page's outbox and return at once."""

    viewer: Viewer
    language: str
    beat: Sender
    still_in: StillIn
    expired: Callable[[], None]
    done: Callable[[str], None]
    """Told of an act that was done from the page."""
    change: Sender | None = None
    """Of a page that shows the list."""
    checked_at: float = field(default_factory=time.monotonic)


@dataclass(eq=False, slots=True)
class Hall:
    """The open pages of one scope."""

    rows: Rows | None = None
    as_of_us: int = 0
    """Until when the rows were those of the database; what has not changed since is as of now while there is no cut."""
    cut: bool = True
    readers: set[Reader] = field(default_factory=set)
    subscription: Subscription | None = None
    there: asyncio.Event = field(default_factory=asyncio.Event)


class Feed:
    """Everything is called from the console's event loop."""

    def __init__(
        self,
        live: Live,
        now_us: Callable[[], int],
        judged_us: Callable[[], int | None],
        last_end_us: Callable[[Viewer], int | None] = lambda viewer: None,
    ) -> None:
        """now_us: the house's time.  judged_us: when the engine last judged, None while that is not known.

        last_end_us: when a viewer's last alarm ended; may block.
        """
        self._live = live
        self._now_us = now_us
        self._judged_us = judged_us
        self._last_end_us = last_end_us
        self._halls: dict[_Key, Hall] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def hall(self, viewer: Viewer, patience_s: float = 1.0) -> Hall:
        """The viewer's, with what stands in it: as soon as something is known, empty when that takes too long."""
        hall = self._open(viewer)
        if hall.rows is None and hall.subscription is not None:
            # In vain: the page is made empty, and says so.
            with suppress(TimeoutError):
                await asyncio.wait_for(hall.there.wait(), patience_s)
            await self._look_back(viewer, hall)
        return hall

    def _open(self, viewer: Viewer) -> Hall:
        """The viewer's hall as it is, or a new one."""
        hall = self._halls.get(_key(viewer))
        if hall is None:
            made = hall = self._halls[_key(viewer)] = Hall()
            if viewer.may(Act.SEE_ALARMS):
                hall.subscription = self._live.subscribe(viewer, lambda snapshot: self._take(made, snapshot))
        return hall

    async def _look_back(self, viewer: Viewer, hall: Hall) -> None:
        """Quiet did not begin when this process did."""
        if hall.rows is not None and hall.rows.quiet_since_us is not None:
            ended_us = await asyncio.to_thread(self._last_end_us, viewer)
            if ended_us is not None and hall.rows.quiet_since_us is not None:
                hall.rows = replace(hall.rows, quiet_since_us=min(ended_us, hall.rows.quiet_since_us))

    def join(self, reader: Reader) -> None:
        """A hall that emptied before its page was made is opened anew: nobody sits in one that hears nothing."""
        self._open(reader.viewer).readers.add(reader)

    def leave(self, reader: Reader) -> None:
        hall = self._halls.get(_key(reader.viewer))
        if hall is not None:
            hall.readers.discard(reader)

    def beat_of(self, hall: Hall, language: str) -> Telling:
        """What a page must know to say that it is alive: times in milliseconds."""
        judged = self._judged_us()
        return Telling(
            t=self._now_us() // 1000,
            as_of=(hall.as_of_us if hall.cut else self._now_us()) // 1000,
            line="away" if hall.cut else "live",
            judged=None if judged is None else judged // 1000,
            reds=[] if hall.rows is None else unseen_reds(hall.rows, words_of(language)),
        )

    async def run(self) -> None:
        """Until cancelled: beats, and sessions that have ended."""
        while True:
            begun = time.monotonic()
            for key, hall in list(self._halls.items()):
                if hall.subscription is None:
                    hall.cut = self._live.cut_since_us is not None
                try:
                    self._beat(hall)
                except Exception:  # noqa: BLE001  one scope's trouble must not silence the others
                    _log.exception("a beat failed")
                if not hall.readers and (hall.subscription is None or hall.rows is not None):
                    self._close(key, hall)
            await asyncio.sleep(max(0.05, BEAT_S - (time.monotonic() - begun)))

    def _beat(self, hall: Hall) -> None:
        beats: dict[str, Telling] = {}
        now = time.monotonic()
        if not hall.cut:
            hall.as_of_us = self._now_us()
        for reader in list(hall.readers):
            if reader.language not in beats:
                beats[reader.language] = self.beat_of(hall, reader.language)
            _tell(reader.beat, beats[reader.language])
            if now - reader.checked_at > CHECK_S:
                reader.checked_at = now
                task = asyncio.create_task(self._check(reader))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _check(self, reader: Reader) -> None:
        try:
            if not await reader.still_in():
                reader.expired()
        except Exception:  # noqa: BLE001  looked at again a moment later
            _log.warning("a session could not be looked at", exc_info=True)

    def _take(self, hall: Hall, snapshot: Snapshot) -> None:
        was_cut, hall.cut = hall.cut, snapshot.cut_since_us is not None
        rang = ringing(hall.rows)
        if snapshot.as_of_us == 0:
            hall.there.set()  # nothing has ever been read: the page says that the database is away
        elif not hall.cut or hall.rows is None:
            before, hall.as_of_us = hall.rows, snapshot.as_of_us
            hall.rows = rows_of(
                snapshot.alarms,
                total=snapshot.total,
                grades=snapshot.grades,
                as_of_us=snapshot.as_of_us,
                before=before,
            )
            change = hall.rows.whole() if before is None else hall.rows.change_from(before)
            hall.there.set()
            for reader in list(hall.readers):
                if reader.change is not None:
                    _tell(reader.change, change)
        # Where something is to be rung or said the next beat would be late.
        if was_cut is not hall.cut or ringing(hall.rows) != rang:
            self._beat(hall)

    def _close(self, key: _Key, hall: Hall) -> None:
        if hall.subscription is not None:
            hall.subscription.close()
        del self._halls[key]


def _tell(sender: Sender, told: Telling) -> None:
    """One page's trouble is not the others'."""
    try:
        sender(told)
    except Exception:  # noqa: BLE001  it finds out what it has missed by the number of the next
        _log.exception("a page could not be told")


def _key(viewer: Viewer) -> _Key:
    return viewer.scope, viewer.may(Act.SEE_ALARMS)
