"""The alarm desk: reads alarm events by position, keeps the alarms, plans who is told, and hands messages over.

A turn is one transaction: the fenced position, the alarms, the plan and the first attempts of what goes at once; only
then is anything sent. Whoever commits alarm events calls `wake`; without it the desk looks by itself once a second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import structlog

from alerting import due_rows, effects, falling_due, ledger, store, whereabouts
from alerting.climbing import Climbing
from alerting.composer import Composer, Reply
from alerting.database import Connection, Database, session_name
from alerting.falling_due import FallingDue
from alerting.life import Alarm, Suppression
from alerting.message import Texts
from alerting.metrics import AlertingMetrics
from alerting.outbox import Outbox
from alerting.overdue import OverdueWatch
from alerting.plan import plan_afresh
from alerting.ports import Clock
from alerting.routes import Routes
from alerting.rows import Sending
from alerting.store import Judged
from alerting.turn import Deciding, SuppressionOf, Turn
from schemas.alarms import State
from schemas.errors import Fenced, ServiceAway

CONSUMER = "desk"
TURNS = "tocsin_turns"
"""Channel of NOTIFY: the desk of the partition that is named has taken events."""
_US = 1_000_000
_EVENTS_A_TURN = 500
_LOOK_S = 1.0
_LOOK_AT_SUPPRESSED_US = 5 * _US
_HUNG_S = 10.0
"""A turn takes milliseconds, and the longest wait between two a second."""
_KEEP_LOCK = "SET tcp_keepalives_idle = 2; SET tcp_keepalives_interval = 1; SET tcp_keepalives_count = 3"
"""So that the server, too, notices a cut, and the lock is free."""
_log = structlog.get_logger("alerting.desk")


def nothing_suppressed(enterprise: str, device: str) -> Suppression:
    return Suppression.NONE


class ServedElsewhere(ServiceAway):
    """Another desk has this partition's lock."""


class Desk:
    """The consumer of one partition's alarm events. `run` blocks until `stop`; everything else may be called from any
    thread.

    Two desks of one partition exclude each other by an advisory lock, and by the fenced position if that failed.
    """

    def __init__(
        self,
        dsn: str,
        routes: Routes,
        outbox: Outbox,
        texts: Mapping[str, Texts],
        metrics: AlertingMetrics,
        clock: Clock,
        *,
        partition: int = 0,
        shares: bool = False,
        instance: str = "",
        reply: Reply | None = None,
        suppression_of: SuppressionOf = nothing_suppressed,
        on_turn: Callable[[], None] = lambda: None,
    ) -> None:
        """outbox: the process's, with a channel for each that `routes` speaks of; whoever made it stops it.

        shares: there are desks in other processes, so `run` returns when one of them serves the partition (else it
        waits for it), and a turn that took events is told to them by NOTIFY.  instance: the process's name, for those
        who look into PostgreSQL.  reply: how people answer; the outbox finishes messages by the same.  on_turn: called
        after a turn that took events.
        """
        self._routes = routes
        self._composer = Composer(texts, outbox.facts, reply)
        self._channels = frozenset(outbox.facts)
        self._climbing = Climbing(partition, self._composer, metrics, self._channels)
        self._deciding = Deciding(partition, routes, self._composer, suppression_of)
        self._falling_due = FallingDue(partition, routes, self._composer, self._channels)
        self._overdue = OverdueWatch(partition, metrics)
        self._metrics = metrics
        self._clock = clock
        self._partition = partition
        self._suppression_of = suppression_of
        self._on_turn = on_turn
        self._shares = shares
        self._database = Database(dsn, session_name(f"desk {partition}", instance), self._take_lock)
        self._outbox = outbox
        self._tray = outbox.tray(self._queued)
        self._condition = threading.Condition()
        self._woken = True
        self._stopping = False
        self._due_us: int | None = 0
        self._position: int | None = None
        self._trouble = "starting"
        self._turned_at = time.monotonic()
        self._overdue_looked_us = 0
        self._suppressed_looked_us = 0

    # Called from outside.

    def wake(self) -> None:
        """There are new alarm events. Cheap; call it after the commit."""
        with self._condition:
            self._woken = True
            self._condition.notify()

    def stop(self) -> None:
        """End `run`."""
        with self._condition:
            self._stopping = True
            self._condition.notify()

    def trouble(self) -> str:
        """Empty when all is well, else what is wrong, for a person."""
        quiet_s = time.monotonic() - self._turned_at
        hung = f"no turn for {quiet_s:.0f} s" if quiet_s > _HUNG_S and not self._trouble else ""
        return "; ".join(said for said in (self._trouble, hung, self._outbox.trouble()) if said)

    @property
    def position(self) -> int:
        """`seq` of the last alarm event that was taken; 0 while that is not known."""
        return self._position or 0

    def wait_for_ledger(self, timeout_s: float) -> bool:
        """Wait until the answer to every message handed over is recorded; False when `timeout_s` has passed."""
        return self._tray.wait_until_empty(timeout_s)

    def run(self, stop_timeout_s: float = 3.0) -> None:
        """Serve until `stop`; then what was not begun is back in the queue and the rest in the ledger.

        A PostgreSQL that is away is waited for. Raises Fenced when another desk is at work.
        """
        try:
            while not self._stopping:
                try:
                    busy = self.serve_once()
                    self._trouble = ""
                    self._turned_at = time.monotonic()
                except ServedElsewhere as error:
                    self._trouble = error.what
                    if self._shares:
                        return
                    self._sleep(error.retry_after_s)
                    continue
                except ServiceAway as error:
                    if not self._trouble:
                        _log.warning("the desk waits", service=error.service, what=error.what)
                    self._trouble = f"{error.service} is away"
                    self._position = None
                    self._sleep(error.retry_after_s)
                    continue
                if not busy:
                    self._wait()
        except Fenced as error:
            self._trouble = error.what
            raise
        finally:
            # The lock goes last: whoever serves the partition next finds in the ledger what became of our messages.
            self._tray.close(stop_timeout_s)
            self._overdue.forget()
            self._database.close()

    def serve_once(self) -> bool:
        """One turn over events and one over what is due; True when there may be more. Raises ServiceAway or Fenced."""
        with self._condition:
            self._woken = False
        if self._position is None:
            self._begin()
        taken = self._take_events()
        # With events still to come an alarm may be over already.
        returned = self._take_returned() if taken < _EVENTS_A_TURN else 0
        done = self._take_due()
        return _EVENTS_A_TURN in (taken, returned) or done == falling_due.MOST

    # The turn over events.

    def _begin(self) -> None:
        """Find the committed place, and what an earlier run had sent without hearing the answer."""
        with self._database.transaction() as connection:
            position = store.make_position(connection, CONSUMER, self._partition)
            left = ledger.settle_leftovers(connection, self._partition, self._outbox.in_the_air(), self._clock())
        self._metrics.repeated.inc(left)
        if left:
            _log.warning("sends without an answer are made again", count=left)
        self._position = position
        self._due_us = 0

    def _take_events(self) -> int:
        assert self._position is not None
        with self._database.transaction() as connection:
            rows, asked = store.events_after(connection, CONSUMER, self._partition, self._position, _EVENTS_A_TURN)
            if not rows:
                return 0
            turn = Turn(self._clock(), whereabouts.read(asked, self._channels))
            silent = effects.of_events(row.event for row in rows)
            turn.silences = effects.ask(connection, self._partition, turn.now_us, silent)
            for row in rows:
                self._deciding.decide(turn, row.event, row.alarm)
            self._deciding.record(connection, turn)
            last = rows[-1].seq
            store.move_position(connection, CONSUMER, self._partition, last)
            if self._shares:
                store.announce(connection, TURNS, self._partition)
        self._position = last
        self._hand_over(turn)
        self._count(rows)
        self._on_turn()
        return len(rows)

    def _count(self, rows: Sequence[Judged]) -> None:
        now_us = self._clock()
        for _, judged_us, event, _ in rows:
            self._metrics.events.labels(event.kind.value).inc()
            if event.state in (State.RAISED, State.REGRADED) and not event.late:
                self._metrics.judged_s.observe(max(judged_us - event.received_us, 0) / _US)
                self._metrics.queued_s.observe(max(now_us - event.received_us, 0) / _US)

    def _hand_over(self, turn: Turn) -> None:
        """After the commit."""
        self._tray.hand_over(message.sending for message in turn.messages)
        self._metrics.planned.labels("at_once").inc(len(turn.messages))
        self._metrics.planned.labels("bundled").inc(len(turn.bundled))
        for _, telling in turn.bundled:
            self._queued(telling.due_us)
        for planned in turn.plans:
            if planned.ladder is not None:
                self._queued(planned.ladder.due_us)

    # The turn over alarms whose suppression has ended.

    def _take_returned(self) -> int:
        """Announce what was raised while its device was out of service or its gateway silent, and still stands now that
        it is back.
        """
        assert self._position is not None
        now_us = self._clock()
        if 0 <= now_us - self._suppressed_looked_us < _LOOK_AT_SUPPRESSED_US:
            return 0
        with self._database.transaction() as connection:
            silent = store.suppressed_devices(connection, self._partition)
            devices = [device for device in silent if self._suppression_of(*device) is Suppression.NONE]
            alarms = (
                store.suppressed_alarms(
                    connection, CONSUMER, self._partition, self._position, devices, _EVENTS_A_TURN
                )
                if devices
                else []
            )  # fmt: skip
            if hidden := effects.no_longer_hidden(connection, self._partition, now_us, _EVENTS_A_TURN):
                store.hold_position(connection, CONSUMER, self._partition, self._position)
                alarms += [alarm for alarm in hidden if self._suppression_of(*_device(alarm)) is Suppression.NONE]
            pairs = {_device(alarm) for alarm in alarms}
            turn = Turn(now_us, whereabouts.around(connection, pairs, self._channels))
            turn.silences = effects.ask(
                connection, self._partition, now_us, effects.of_events(alarm.event for alarm in alarms)
            )
            for alarm in alarms:
                if turn.silences.cause_of(alarm.event, now_us):
                    turn.alarms[alarm.event.key] = replace(alarm, suppression=Suppression.BY_DESIGN)
                elif alarm.event.active:
                    contacts = turn.contacts(alarm.event.enterprise)
                    planned = plan_afresh(alarm, self._routes, now_us, contacts)
                    turn.alarms[alarm.event.key] = planned.alarm
                    self._deciding.tell(turn, planned, again=False)
                else:
                    # It is over and waits for its reset: seen in the list, and no news to anybody.
                    turn.alarms[alarm.event.key] = replace(alarm, suppression=Suppression.NONE)
            if alarms:
                self._deciding.record(connection, turn)
        if len(alarms) < _EVENTS_A_TURN:
            self._suppressed_looked_us = now_us
        self._hand_over(turn)
        return len(alarms)

    # The turn over what is due.

    def _take_due(self) -> int:
        now_us = self._clock()
        if now_us - self._overdue_looked_us >= _US:
            self._overdue_looked_us = now_us
            if self._overdue.look(self._database, now_us):
                # Another process may have put something into the queue, or a call may have failed there.
                self._queued(now_us)
        if self._due_us is None or self._due_us > now_us:
            return 0
        with self._condition:
            # What is put back into the queue from here on may not be seen below, and sets it anew.
            self._due_us = None
        sendings: list[Sending] = []
        with self._database.transaction() as connection:
            sendings += self._climbing.climb(connection, now_us)
            done, told = self._falling_due.take(connection, now_us)
            sendings += told
            next_due_us = due_rows.next_due(connection, self._partition)
        self._tray.hand_over(sendings)
        if next_due_us is not None:
            self._queued(next_due_us)
        return done

    # Helpers.

    def _queued(self, due_us: int) -> None:
        """Something will be due at `due_us`."""
        with self._condition:
            if self._due_us is None or due_us < self._due_us:
                self._due_us = due_us
                self._condition.notify()

    def _wait(self) -> None:
        with self._condition:
            if not (self._woken or self._stopping):
                self._condition.wait(self._until_due_s())

    def _sleep(self, seconds: float) -> None:
        with self._condition:
            if not self._stopping:
                self._condition.wait(seconds)

    def _until_due_s(self) -> float:
        if self._due_us is None:
            return _LOOK_S
        return min(max((self._due_us - self._clock()) / _US, 0.0), _LOOK_S)

    def _take_lock(self, connection: Connection) -> None:
        connection.execute(_KEEP_LOCK)
        row = connection.execute(
            "SELECT pg_try_advisory_lock(hashtext('tocsin.desk'), %s)", [self._partition]
        ).fetchone()
        if row != (True,):
            raise ServedElsewhere("the desk", f"another one serves partition {self._partition}")


def _device(alarm: Alarm) -> tuple[str, str]:
    return alarm.event.enterprise, alarm.event.device
