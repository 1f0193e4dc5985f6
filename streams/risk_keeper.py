"""Keeps the risk of every enterprise of a partition: takes in what touches it, and looks again when it falls due.

A turn is one transaction: the fenced position in the alarm events, the rows that were taken out of the inbox, the risks
that came of both. So a kill at any moment neither loses nor doubles anything. Everything counts at its own time, in the
order of the times; what falls due waits for `SETTLE_US`, so that what was said before it is there. The keeper has a
connection of its own and reads behind the engine: nobody waits for it. It is woken by NOTIFY, and looks by itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import psycopg
import structlog

from schemas.alarms import AlarmEvent
from schemas.errors import Fenced, ServiceAway
from schemas.risk import Risk
from scoring.risk import explain
from scoring.risk_state import apply_acknowledgement, apply_event, apply_facts, apply_strain, apply_verdict
from scoring.risk_table import DAY_US
from streams import risk_rows as rows
from streams.log.session import connect
from streams.risk_rows import Asked, Connection
from streams.risk_strain import Hourly, circuits_of, slot_of, strain_of
from streams.risk_turn import Happened, Kept, live_through

SETTLE_US = 2_000_000
_AT_ONCE = 500
"""Rows that a turn takes of each kind. A worker's engines share its process, and a turn is some tenths of a second."""
_REST = 2.0
"""Behind a turn with more to come lies so many times what it took: thirty thousand enterprises that were just imported
are judged within a minute, and an alarm meanwhile finds a core, and in a worker the interpreter, free."""
_GATHER_S = 0.5
"""No turn begins sooner after the one before: thirty alarms a second are two turns, not thirty. A colour may wait for
half a second, an alarm beside it may not."""
_OURSELVES = "tocsin"
"""The engine's alarms about the house itself are of no enterprise."""
_SAY_AGAIN, _SAY_AGAIN_US = 5_000, 60_000_000
_LOOK_S = 0.5
_BACKOFF_S = 1.0
_log = structlog.get_logger(__name__)

Clock = Callable[[], int]
Publish = Callable[[Sequence[Risk]], None]
"""Takes copies of risks that have changed, for others; may raise ServiceAway."""


@dataclass(frozen=True, slots=True)
class _Turn:
    codes: Sequence[str]
    events: Sequence[AlarmEvent]
    asked: Sequence[Asked]
    strained: Sequence[str]
    """Whose circuits are looked at."""
    now_us: int
    until_us: int


class RiskKeeper:
    """The consumer `risk` of one partition. `run` blocks until `stop`; `wake` and `trouble` are for any thread."""

    def __init__(
        self,
        dsn: str,
        clock: Clock,
        *,
        partition: int = 0,
        publish: Publish | None = None,
        failpoint: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._dsn = dsn
        self._clock = clock
        self._partition = partition
        self._publish = publish
        self._unsaid: dict[str, Risk] = {}
        """Copies that are still to be published, the newest of each."""
        self._failpoint = failpoint
        self._connection: Connection | None = None
        self._owner: int | None = None
        self._hourly = Hourly()
        self._stopping = threading.Event()
        self._trouble = "starting"
        self.position = 0
        self.recomputed = 0
        """Enterprises, each time that its risk was made again."""
        self.changed = 0
        """Colours and reasons that became others."""
        self.turns = 0

    def stop(self) -> None:
        """`run` ends within half a second."""
        self._stopping.set()

    def trouble(self) -> str:
        """Empty when all is well, else what is wrong, for a person."""
        return self._trouble

    def run(self) -> None:
        """PostgreSQL that is away is waited for. Raises Fenced when another keeper is at work."""
        try:
            while not self._stopping.is_set():
                begun = time.monotonic()
                try:
                    busy = self.serve_once()
                    self._trouble = ""
                except ServiceAway as error:
                    if not self._trouble:
                        _log.warning("risk_waits", service=error.service)
                    self._trouble = f"{error.service} is away"
                    self._stopping.wait(_BACKOFF_S)
                    continue
                if busy:
                    self._stopping.wait(_REST * (time.monotonic() - begun))
                else:
                    self._wait()
                    self._stopping.wait(max(0.0, begun + _GATHER_S - time.monotonic()))
        except Fenced as error:
            self._trouble = error.what
            raise
        finally:
            self.close()

    def serve_once(self) -> bool:
        """One turn; True when there may be more to do at once. Raises ServiceAway or Fenced."""
        owner = self._begin() if self._owner is None else self._owner
        self._say()
        slots = self._hourly.due(self._clock())
        with self._edge() as connection:
            strained = rows.in_slots(connection, self._partition, slots) if slots else []
            if not strained:
                self._hourly.done(slots)
                if not rows.has_work(connection, self._partition, self._clock() - SETTLE_US):
                    return len(slots) > 1
        with self._edge() as connection, connection.transaction():
            position = rows.hold(connection, self._partition, owner)
            unsorted = rows.sort_inbox(connection, _AT_ONCE)
            events = rows.events_after(connection, self._partition, position, _AT_ONCE)
            asked = rows.inbox(connection, self._partition, _AT_ONCE)
            taken = {one.number for one in asked}
            if told_facts := [one.enterprise for one in asked if one.what == "facts"]:
                taken.update(rows.facts_asked(connection, told_facts))
            now_us = self._clock()
            until_us = now_us - SETTLE_US
            if len(events) == _AT_ONCE:
                # What is still to be read may be earlier than what is due.
                until_us = min(until_us, events[-1][1].now_us)
            due = rows.due(connection, self._partition, until_us, _AT_ONCE)
            # After a long stand day by day: each day has a row of its own, and a turn must end.
            behind = min(due.values(), default=until_us) + DAY_US < until_us
            if behind:
                until_us = min(due.values()) + DAY_US
            told = [event for _, event in events if event.enterprise != _OURSELVES]
            codes = dict.fromkeys([*(e.enterprise for e in told), *(a.enterprise for a in asked), *due, *strained])
            turn = _Turn(list(codes), told, asked, strained, now_us, until_us)
            kept = self._live(connection, turn) if codes else []
            if kept:
                rows.write(connection, self._partition, kept)
            rows.empty_inbox(connection, sorted(taken))
            if events:
                position = events[-1][0]
                rows.move(connection, self._partition, position)
            self._failpoint("before_risk_commit")
        self._failpoint("after_risk_commit")
        self.position = position
        if strained:
            self._hourly.done(slots)
        self._count(kept)
        return behind or _AT_ONCE in (unsorted, len(events), len(asked), len(due)) or len(slots) > 1

    def _begin(self) -> int:
        """Take the place over, and remember what an earlier keeper may have died before it was published."""
        with self._edge() as connection:
            self.position, owner = rows.take_over(connection, self._partition)
            if self._publish is not None:
                codes = rows.changed_last(connection, self._partition, _SAY_AGAIN_US, _SAY_AGAIN)
                kept = rows.load(connection, codes)
                self._unsaid = {code: explain(code, one.state) for code, one in kept.items() if one.state.colour}
        self._owner = owner
        return owner

    def _say(self) -> None:
        if self._publish is not None and self._unsaid:
            self._publish(list(self._unsaid.values()))
            self._unsaid = {}

    def _live(self, connection: Connection, turn: _Turn) -> list[Kept]:
        """Every enterprise of the turn through what happened to it; those of which there is something to write."""
        kept = rows.load(connection, turn.codes)
        happened: dict[str, list[Happened]] = {code: [] for code in turn.codes}
        strained = dict.fromkeys([*turn.strained, *self._take_facts(connection, turn, kept, happened)])
        if strained:
            for code, strain in strain_of(connection, list(strained), turn.now_us).items():
                happened[code].append(Happened(turn.now_us, partial(apply_strain, strain=strain)))
        for event in turn.events:
            happened[event.enterprise].append(Happened(event.now_us, partial(apply_event, event=event)))
        for one in turn.asked:
            if one.what == "acknowledged":
                apply = partial(apply_acknowledgement, key=one.alarm, step=one.step, at_us=one.at_us)
                happened[one.enterprise].append(Happened(one.at_us, apply))
            elif one.what == "verdict":
                apply = partial(apply_verdict, key=one.alarm, step=one.step, verdict=one.word)
                happened[one.enterprise].append(Happened(one.at_us, apply))
        for code, book in kept.items():
            live_through(book, happened[code], turn.until_us)
            # The engine may share this interpreter: whoever waits for it goes first.
            time.sleep(0)
        return [book for book in kept.values() if book.touched]

    def _take_facts(
        self, connection: Connection, turn: _Turn, kept: dict[str, Kept], happened: dict[str, list[Happened]]
    ) -> list[str]:
        """What the registry says of enterprises that are new here, or of which it says something new.

        Returns those of them that have circuits.
        """
        fresh = {code for code, book in kept.items() if book.state.colour == 0}
        codes = sorted(fresh | {one.enterprise for one in turn.asked if one.what == "facts"})
        if not codes:
            return []
        electrical = circuits_of(connection, codes)
        for code, found in rows.facts_of(connection, codes).items():
            at_us = turn.now_us
            if code in fresh:
                # They held before anything that we know of happened.
                at_us = min([at_us, *(event.now_us for event in turn.events if event.enterprise == code)])
            happened[code].append(Happened(at_us, partial(apply_facts, facts=found, at_us=at_us)))
            kept[code].slot = slot_of(code) if code in electrical else None
            # Also when no fact that counts is another: the district may be.
            kept[code].touched = True
        return list(electrical)

    def _count(self, kept: Sequence[Kept]) -> None:
        self.turns += 1
        self.recomputed += len(kept)
        news = {one.enterprise: one.risk for one in kept if one.history and one.risk is not None}
        self.changed += len(news)
        if self._publish is not None:
            self._unsaid |= news
            self._say()

    @contextmanager
    def _edge(self) -> Iterator[Connection]:
        """A connection; when it breaks, whether the last transaction was committed is found by its position."""
        try:
            if self._connection is None:
                self._connection = connect(self._dsn, f"tocsin risk {self._partition}")
                self._connection.execute(f"LISTEN {rows.ASKED}; LISTEN {rows.EVENTS}")
                # Between its statements a turn computes, on a busy machine for some seconds.
                self._connection.execute("SET idle_in_transaction_session_timeout = '30s'")
            yield self._connection
        except (psycopg.OperationalError, psycopg.errors.IdleInTransactionSessionTimeout) as error:
            self.close()
            raise ServiceAway("PostgreSQL", str(error).strip() or type(error).__name__) from error

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _wait(self) -> None:
        """Until somebody says that there is something, or for half a second."""
        try:
            with self._edge() as connection:
                for notify in connection.notifies(timeout=_LOOK_S):
                    if self._stopping.is_set() or notify.channel == rows.ASKED or self._is_ours(notify.payload):
                        return
        except ServiceAway:
            return

    def _is_ours(self, payload: str) -> bool:
        return payload == str(self._partition)
