"""Sessions of several doors: one thread that writes this door's changes, and speaks with the other doors by PostgreSQL.

A row says which door has a session. Who wants one asks its door for it, which lets its client go, writes what is left
to write and hands the row over; a door that does not answer loses it. Doors beat; what a dead one had is taken up by
the first that sees it, in the transaction that deletes its row. While PostgreSQL is away nobody is judged.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import structlog

from ingest.door_rows import DoorRows
from ingest.news import (
    Adopted,
    CameElsewhere,
    Fetched,
    LookAgain,
    News,
    NotOurs,
    Recalled,
    StatusHeard,
    Wanted,
    Written,
)
from ingest.notices import Came, Status
from ingest.saved import (
    SWORN,
    Change,
    ClientCame,
    OwnedAsked,
    Question,
    Retained,
    RetainedAsked,
    Saved,
    SessionAsked,
    SessionKey,
    SessionMoved,
)
from ingest.unwritten import Row, Unwritten
from schemas.errors import ServiceAway

_ROWS_AT_ONCE = 5_000
"""In one transaction; between two of them the door beats."""
_RETRY_S = (0.05, 0.2, 0.5, 1.0)
_LOST = (psycopg.OperationalError, psycopg.errors.IdleInTransactionSessionTimeout)
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Counts:
    """Since the start. fetched: sessions that came from other doors or their rows.  forced: of those, without their
    door's answer.  adopted: sessions and wills of dead doors.  unsworn: commits whose clients could not be answered."""

    fetched: int = 0
    forced: int = 0
    moved: int = 0
    adopted: int = 0
    unsworn: int = 0
    away: int = 0


class SharedSessions:
    """Ports `ingest.saved.SessionStore` (`load`), `ingest.news.Peers`, and `keep` for `RoundRecords`.

    door: this door's name.  lease_s: how long a door may be silent.  ask_s: how long another may take to let go.
    hung_s: a PostgreSQL that has not answered for so long is away.
    `load` first, then `run` in a thread, at once: the lease runs.
    """

    def __init__(
        self,
        dsn: str,
        door: str,
        *,
        lease_s: float = 15.0,
        ask_s: float = 3.0,
        hung_s: float = 2.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rows = DoorRows(dsn, door, lease_s)
        self._door = door
        self._lease_s = lease_s
        self._ask_s = ask_s
        self._hung_s = hung_s
        self._monotonic = monotonic
        self._hear: Callable[[News], None] = lambda _: None
        self._lock = threading.Lock()
        self._unwritten = Unwritten()
        self._questions: deque[Question] = deque()
        self._number = 0
        self._due: set[int] = set()
        """Numbers whose changes are not written yet."""
        self._asked: dict[SessionKey, float] = {}
        """Sessions that other doors were asked for, and until when they are waited for."""
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stopping = threading.Event()
        self._connection: psycopg.Connection[Any] | None = None
        self._busy_since: float | None = None
        self._failures = 0
        self._beaten = self._judges_from = monotonic()
        self.counts = Counts()

    # --- for the door ---

    @property
    def is_away(self) -> bool:
        """See the port."""
        busy = self._busy_since
        return self._failures > 1 or (busy is not None and self._monotonic() - busy > self._hung_s)

    def trouble(self) -> str:
        """Why persistent sessions cannot begin or move; empty when they can."""
        return "PostgreSQL does not answer: no persistent session begins or moves." if self.is_away else ""

    def attach(self, hear: Callable[[News], None]) -> None:
        """See the port."""
        self._hear = hear

    def load(self) -> Saved:
        """Say that this door lives, and read what is its. Raises ServiceAway."""
        try:
            self._connect()
            assert self._connection is not None
            return self._rows.load(self._connection)
        except psycopg.OperationalError as error:
            self._disconnect()
            raise ServiceAway("PostgreSQL", str(error).strip() or type(error).__name__) from error

    def keep(self, changes: Sequence[Change]) -> int:
        """Take a round's changes and questions; returns a number when a client waits for one of them, else 0."""
        number = 0
        with self._lock:
            self._questions.extend(one for one in changes if isinstance(one, Question))
            self._unwritten.add(one for one in changes if not isinstance(one, Question))
            if any(isinstance(one, SWORN) for one in changes):
                self._number += 1
                number = self._number
                self._due.add(number)
        self._rouse()
        return number

    # --- its thread ---

    def run(self) -> None:
        """Until `stop`; what is unwritten then is written once more. Raises Fenced: another runs under our name."""
        try:
            while not self._stopping.is_set():
                self._wait()
                self._turn()
            self._turn()
        finally:
            self._disconnect()
            with self._lock:
                os.close(self._wake)
                self._wake = -1

    def stop(self) -> None:
        self._stopping.set()
        self._rouse()

    def _rouse(self) -> None:
        # The lock: a file number that was closed may be somebody else's by now.
        with self._lock:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def _wait(self) -> None:
        """For news of either side, or for what is due by the clock."""
        now = self._monotonic()
        if self._connection is None:
            self._stopping.wait(_RETRY_S[min(self._failures, len(_RETRY_S) - 1)])
            return
        due = min([self._beaten + self._beat_s, *self._asked.values()])
        left_s = 0.0 if self._rows.has_heard(self._connection) else max(0.0, due - now)
        poll = select.poll()
        poll.register(self._connection.fileno(), select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        if self._wake in dict(poll.poll(left_s * 1000)):
            os.eventfd_read(self._wake)

    @property
    def _beat_s(self) -> float:
        return self._lease_s / 5

    def _turn(self) -> None:
        """Everything there is to do; what fails is done again."""
        try:
            self._busy_since = self._monotonic()
            if self._connection is None:
                self._connect()
                self._hear(LookAgain())
            self._write()
            self._answer()
            self._listen()
            self._beat()
            self._press()
            self._failures = 0
        except _LOST as error:
            self._failed(error)
        finally:
            self._busy_since = None

    def _connect(self) -> None:
        self._connection = self._rows.connect()
        now = self._monotonic()
        self._beaten = now - self._beat_s
        # Others may have been cut off as long as we were: they have a lease to beat again.
        self._judges_from = now + self._lease_s

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _failed(self, error: psycopg.Error) -> None:
        self._disconnect()
        self._failures += 1
        self.counts.away += 1
        if self._failures == 1:
            return
        if self._failures == 2:
            _log.warning("sessions_wait", error=str(error).strip())
        with self._lock:
            due, self._due = self._due, set()
            asked = [one for one in self._questions if isinstance(one, SessionAsked)]
            # A client was told that it is subscribed: what is retained for it comes later, once however often it asks.
            recalls = {(one.key, one.filter): one for one in self._questions if isinstance(one, RetainedAsked)}
            self._questions = deque(recalls.values())
        self.counts.unsworn += len(due)
        for number in due:
            self._hear(Written(number, False))
        for key in [*(one.key for one in asked), *self._asked]:
            self._hear(Fetched(key, None))
        self._asked.clear()

    def _write(self) -> None:
        assert self._connection is not None
        with self._lock:
            rows, due = self._unwritten.take(), set(self._due)
        done = 0
        try:
            while done < len(rows):
                part = rows[done : done + _ROWS_AT_ONCE]
                self._rows.write(self._connection, part, *_told_of(part))
                done += len(part)
                self._beat()
        except _LOST:
            with self._lock:
                self._unwritten.put_back(rows[done:])
            raise
        with self._lock:
            self._due -= due
        self.counts.moved += sum(isinstance(row, SessionMoved) for row in rows)
        for number in sorted(due):
            self._hear(Written(number, True))

    def _answer(self) -> None:
        """What the door has asked, behind its changes."""
        with self._lock:
            questions = list(self._questions)
        wanted = [one.key for one in questions if isinstance(one, SessionAsked)]
        if wanted:
            self._fetch(wanted)
        assert self._connection is not None
        for one in questions:
            if isinstance(one, RetainedAsked):
                found = self._rows.recall(self._connection, one.filter)
                self._hear(Recalled(one.key, one.filter, one.qos, found))
            elif isinstance(one, OwnedAsked):
                self._hear(NotOurs(self._rows.lost(self._connection, one)))
        with self._lock:
            for _ in questions:
                self._questions.popleft()

    def _fetch(self, keys: Sequence[SessionKey], *, by_force: bool = False) -> None:
        """Take sessions that nobody alive has; ask the others' doors for theirs."""
        assert self._connection is not None
        all_live = self._monotonic() < self._judges_from
        saved, holders = self._rows.claim(self._connection, keys, by_force=by_force, all_live=all_live)
        until = self._monotonic() + self._ask_s
        found = saved.by_session()
        self.counts.fetched += len(saved.sessions)
        self.counts.forced += len(saved.sessions) if by_force else 0
        for key in keys:
            if key in holders:
                self._asked.setdefault(key, until)
            else:
                self._asked.pop(key, None)
                self._hear(Fetched(key, found.get(key, Saved())))

    def _press(self) -> None:
        """Doors that were asked and have not answered in time lose what was asked for."""
        now = self._monotonic()
        late = [key for key, until in self._asked.items() if until <= now]
        if late:
            self._fetch(late, by_force=True)

    def _listen(self) -> None:
        assert self._connection is not None
        moved: list[SessionKey] = []
        for notice in self._rows.hear(self._connection):
            for came in notice.came:
                self._hear(CameElsewhere(came.key, came.at_us))
            for status in notice.statuses:
                self._hear(StatusHeard(status.message))
            for key in notice.wants:
                self._hear(Wanted(key, notice.door))
            moved += [key for key in notice.moved if key in self._asked]
        if moved:
            self._fetch(moved)

    def _beat(self) -> None:
        assert self._connection is not None
        now = self._monotonic()
        if now - self._beaten < self._beat_s:
            return
        if not self._rows.beat(self._connection):
            _log.warning("door_was_taken_for_dead", door=self._door)
            self._hear(LookAgain())
        self._beaten = now
        if now < self._judges_from:
            return
        adopted = self._rows.adopt(self._connection)
        if adopted.sessions or adopted.wills:
            _log.info("door_adopted", sessions=len(adopted.sessions), wills=len(adopted.wills))
            self.counts.adopted += len(adopted.sessions) + len(adopted.wills)
            self._hear(Adopted(adopted))


def _told_of(rows: Sequence[Row]) -> tuple[list[Came], list[Status]]:
    """What everybody is told once these rows are written."""
    came = [Came(row.key, row.at_us) for row in rows if isinstance(row, ClientCame)]
    return came, [Status(row.topic, row.payload, row.qos) for row in rows if isinstance(row, Retained)]
