"""The bridge: reads a broker that is already there, in one thread, one round after the other.

A round takes what the broker's connections have into one buffer, finds the messages in one pass, commits what they
say, and then acknowledges them: what is not in the log stays with the broker. paho connects; from then on the bytes of
its socket are read here.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np

from ingest.bridge.limits import BridgeSettings, Cause, Counts
from ingest.bridge.line import Line, has_room
from ingest.bridge.round import Round
from ingest.bridge.seat import Seat
from ingest.bridge.sessions import Alone, Held, Leases, Role
from ingest.door import sockets
from ingest.door.repeats import Fingerprints
from ingest.door.scan import Found
from ingest.ports import Intake, RoundLog
from schemas.errors import OutcomeUnknown, ServiceAway
from schemas.readings import U8

_IDLE_S = 0.2
"""The longest wait for the broker: a stop is seen after it."""
_TICK_S = 0.25
_RETRY_S = 0.05
"""The shortest pause before a commit is tried again."""
_DIALLING = 4
"""Connections that are begun at once."""


class Bridge:
    """leases: which sessions are ours; None: this bridge is alone, and reads everything by one session.

    clock: µs since 1970.  after_us: the last arrival that the log holds; ours are above it.
    """

    def __init__(
        self,
        settings: BridgeSettings,
        *,
        intake: Intake,
        log: RoundLog,
        clock: Callable[[], int],
        leases: Leases | None = None,
        after_us: int = 0,
        monotonic: Callable[[], float] = time.monotonic,
        failpoint: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.counts = Counts()
        self._settings = settings
        self._log = log
        self._leases: Leases = Alone(settings) if leases is None else leases
        self._monotonic = monotonic
        self._failpoint = failpoint
        # A door of the same name has other messages of the same arrivals.
        self._round = Round(f"bridge/{settings.name}", intake, self.counts, clock, after_us)
        self._fingerprints = Fingerprints()
        self._buffer: U8 = np.zeros(settings.round_bytes + 2 * settings.packet_size, np.uint8)
        self._found = Found(settings.round_messages)
        self._held: tuple[Held, ...] = ()
        self._seats: dict[str, Seat] = {}
        self._leaving: list[Seat] = []
        self._places: list[Seat] = []
        """Of this round, by the number that their messages have as connection."""
        self._turn = 0
        self._ticked = self._began = monotonic()
        self._dialling = ThreadPoolExecutor(_DIALLING, thread_name_prefix="dial")
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._waking = threading.Lock()

    def trouble(self) -> str:
        """What keeps messages from coming in, for a person; empty when nothing does."""
        if self.counts.is_away:
            return "the log is away; the broker keeps what comes"
        seats = list(self._seats.values())
        if not seats and self._leases.held():
            return f"{self._settings.address}: not connected yet"
        return "; ".join(sorted({seat.trouble for seat in seats if seat.trouble}))

    def run(self, stop: threading.Event) -> None:
        """Read until `stop` is set. Raises Fenced when another writer holds the log: stop."""
        try:
            while not stop.is_set():
                self._serve(stop)
        finally:
            self._shut()

    def _rouse(self) -> None:
        # The lock: a file number that was closed may be somebody else's by now.
        with self._waking:
            if not self._epoll.closed:
                os.eventfd_write(self._wake, 1)

    # --- a round ---

    def _serve(self, stop: threading.Event) -> None:
        self._sit_down()
        ready = self._wait()
        is_busy = self._found.count >= self._settings.busy_messages
        gather_s = self._settings.busy_gather_s if is_busy else self._settings.gather_s
        early_s = self._began + gather_s - self._monotonic()
        if ready and early_s > 0:
            time.sleep(early_s)
        self._began = self._monotonic()
        self._read(ready)
        self._pass_time()
        self._round.decide(self._buffer, self._found, self._places)
        if self._round.wants_commit:
            if not self._commit(stop):
                return
            self._round.committed()
            self._failpoint("after_commit_before_puback")
        self._answer()
        self._end_lines()
        self.counts.rounds += 1

    def _sit_down(self) -> None:
        """Begin the sessions that are ours, give up those that are not, and connect."""
        held = self._leases.held()
        if held is not self._held:
            wanted = {one.client_id: one for one in held}
            for client_id, seat in list(self._seats.items()):
                if wanted.get(client_id) != seat.held:
                    seat.leave(Cause.LEASE)
                    self._leaving.append(self._seats.pop(client_id))
            self._held = held
        busy = {seat.held.client_id for seat in self._leaving}
        for one in held:
            if one.client_id not in self._seats and one.client_id not in busy:
                self._seats[one.client_id] = Seat(
                    one, self._settings, self.counts, self._dialling, self._fingerprints, self._rouse
                )
        now, confirmed_at = self._monotonic(), self._leases.confirmed_at()
        # A dead bridge's subscription is given up only where another has one: else nobody would get what comes.
        may_adopt = any(seat.held.role is Role.OWN and seat.was_subscribed for seat in self._seats.values())
        for seat in [*self._seats.values(), *self._leaving]:
            if seat.held.role is Role.ADOPTED and not may_adopt and seat in self._seats.values():
                continue
            if seat.advance(now, confirmed_at) and seat.line is not None:
                self._epoll.register(seat.line.number, select.EPOLLIN)

    def _wait(self) -> set[int]:
        """Numbers of the sockets that have something for us."""
        is_due = any(line.is_pending or line.closing is not None for _, line in self._lines())
        events = self._epoll.poll(0 if is_due else _IDLE_S)
        ready = {number for number, event in events if event & ~select.EPOLLOUT}
        for _, line in self._lines():
            if line.has_backlog:
                line.flush()
                self._listen(line)
        if self._wake in ready:
            with suppress(BlockingIOError):
                os.eventfd_read(self._wake)
        return ready

    def _read(self, ready: set[int]) -> None:
        self._found.count = filled = 0
        self._places = []
        now = self._monotonic()
        lines = [one for one in self._lines() if one[1].number in ready or one[1].is_pending]
        if not lines:
            return
        # The round may be full before its end: each time another comes first.
        self._turn += 1
        first = self._turn % len(lines)
        share = len(self._buffer) // len(lines)
        for seat, line in lines[first:] + lines[:first]:
            if not has_room(self._found):
                line.is_pending = True
                continue
            end = line.receive(self._buffer, filled, share, now)
            line.read(len(self._places), self._buffer, filled, end, self._found, now)
            filled = end
            self._places.append(seat)

    def _commit(self, stop: threading.Event) -> bool:
        """True once the round is durable. While the log is away the round is kept and the broker is not read."""
        while True:
            try:
                self._log.commit(self._round.payloads, self._round.kept, ())
                self.counts.is_away = False
                return True
            except OutcomeUnknown:
                if stop.is_set():
                    return False
                raise
            except ServiceAway as away:
                self.counts.is_away = True
                self.counts.away += 1
                until = self._monotonic() + max(away.retry_after_s, _RETRY_S)
            while (left := until - self._monotonic()) > 0:
                if stop.wait(min(left, _IDLE_S)):
                    return False
                self._pass_time(is_read=False)

    def _answer(self) -> None:
        """PUBACKs in the order of receipt, and what was committed is remembered."""
        found, count = self._found, self._found.count
        versions = np.array([seat.line.version if seat.line else 0 for seat in self._places], np.uint8)
        pubacks = sockets.acknowledge(
            found.connection[:count], found.qos[:count], found.packet_id[:count], found.reason[:count], versions
        )
        is_marked = (found.qos[:count] == 1) & (found.taken[:count] == 1)
        for place, seat in enumerate(self._places):
            mine = found.connection[:count] == place
            seat.committed.add(self._buffer, found, np.flatnonzero(is_marked & mine))
            if seat.line is not None:
                seat.line.answer(pubacks.bytes[pubacks.start[place] : pubacks.end[place]].tobytes())
                self._listen(seat.line)
        self.counts.acknowledged += int(np.count_nonzero(found.qos[:count] == 1))

    # --- between rounds ---

    def _lines(self) -> list[tuple[Seat, Line]]:
        return [(seat, seat.line) for seat in [*self._seats.values(), *self._leaving] if seat.line is not None]

    def _listen(self, line: Line) -> None:
        """Wait for what this connection may do now."""
        self._epoll.modify(line.number, select.EPOLLIN | (select.EPOLLOUT if line.has_backlog else 0))

    def _pass_time(self, *, is_read: bool = True) -> None:
        now = self._monotonic()
        elapsed_s = now - self._ticked
        if elapsed_s < _TICK_S:
            return
        self._ticked = now
        for seat in self._seats.values():
            # After a gap in which nothing was read, nobody can be said to be silent.
            seat.pass_time(now, is_read=is_read and elapsed_s < 4 * _TICK_S)

    def _end_lines(self) -> None:
        now = self._monotonic()
        for seat, line in self._lines():
            if line.closing is None:
                continue
            is_drained = line.closing is Cause.DRAINED
            self._epoll.unregister(line.number)
            seat.end_line(now)
            if seat.is_in_doubt:
                self._leases.look()
            if is_drained:
                self.counts.adopted += 1
                self._leases.drained(seat.held.client_id)
                seat.leave(Cause.DRAINED)
        self._leaving = [seat for seat in self._leaving if not seat.is_over]
        self.counts.sessions = len(self._seats)
        self.counts.connections = sum(seat.line is not None for seat in self._seats.values())

    def _shut(self) -> None:
        self._dialling.shutdown(wait=True, cancel_futures=True)
        now = self._monotonic()
        for seat in [*self._seats.values(), *self._leaving]:
            seat.leave(Cause.STOPPING)
            seat.advance(now, self._leases.confirmed_at())
            if seat.line is not None:
                seat.line.close(Cause.STOPPING)
                seat.end_line(now)
        with self._waking:
            self._epoll.close()
            os.close(self._wake)
