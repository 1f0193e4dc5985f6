"""Runs a judge over the log: from the last checkpoint, silently up to the committed position, then live.

The answer is a function of the log, so a kill at any moment costs only time: what was judged and not committed is
judged again with the same result. Events and position are one commit; without events the position follows every 100 ms.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

import structlog

from schemas.alarms import AlarmEvent, Answer
from schemas.entries import Entry, Tick
from schemas.errors import CorruptState, ServiceAway
from schemas.readings import ReadingBatch
from streams.checkpointing import Saver
from streams.ports import Checkpoints, Judge, LogReader, Positions

COMMIT_EVERY_S = 0.1
_BUNCH_S = 0.002
"""How long an event may wait for others in the entries that are at hand."""
_READ = 64
_LAST_CHECKPOINT_S = 2.5
"""What a clean stop may spend on its checkpoint; without it the next start replays a little more."""
_BACKOFF_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)

_T = TypeVar("_T")
_log = structlog.get_logger(__name__)


class SettledPositions(Positions, Protocol):
    """Positions that can say where they stand after the answer to a commit was lost."""

    def committed(self) -> int: ...

    def close(self) -> None: ...


class ClosableCheckpoints(Checkpoints, Protocol):
    def close(self) -> None: ...


class _Stopped(Exception):
    """`stop` was called while a service was away."""


class Judging:
    """One consumer of the log with a judge. `run` it in a thread of its own; attributes may be read from any."""

    def __init__(
        self,
        judge: Judge,
        reader: LogReader,
        positions: SettledPositions,
        checkpoints: ClosableCheckpoints,
        *,
        checkpoint_every_s: float = 30.0,
        on_events: Callable[[], None] = lambda: None,
        failpoint: Callable[[str], None] = lambda name: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """on_events: called after a commit that holds events, to wake who reads them.  failpoint: a test's kill."""
        self._judge = judge
        self._reader = reader
        self._positions = positions
        self._checkpoints = checkpoints
        self._saver = Saver(checkpoints)
        self._every_s = checkpoint_every_s
        self._on_events = on_events
        self._failpoint = failpoint
        self._monotonic = monotonic
        self._stop = threading.Event()
        self._events: list[AlarmEvent] = []
        self._answers: list[Answer] = []
        self._offered = 0
        self.ready = threading.Event()
        """Set when memory is rebuilt and the log is judged live."""
        self.applied = 0
        """Number of the last entry in the judge's memory."""
        self.position = 0
        """Number of the last entry whose verdict is committed."""
        self.judged_until_us = 0
        """The engine's now: the last tick in memory."""
        self.replayed = 0
        """Entries between checkpoint and committed position at the start."""
        self.entries = 0
        self.readings = 0
        self.events = 0
        self.answers = 0
        """Counts of this process, replayed entries included, committed events and answers only."""

    @property
    def checkpoints(self) -> int:
        """Generations saved by this process."""
        return self._saver.saved

    @property
    def checkpointed(self) -> int:
        """Number of the last entry that the newest saved checkpoint covers; 0 when there is none."""
        return self._saver.covers

    def stop(self) -> None:
        """Ask `run` to commit, to save a checkpoint and to return; it does within some seconds."""
        self._stop.set()

    def run(self) -> None:
        """Judge until `stop`. While PostgreSQL is away, wait for it.

        Raises Fenced when another has taken over, CorruptState when memory cannot be rebuilt.
        """
        self._saver.start()
        try:
            self._rebuild()
            self.ready.set()
            self._judge_live()
            self._last_checkpoint()
        except _Stopped:
            _log.warning("judging_stopped_uncommitted", applied=self.applied, position=self.position)
        finally:
            self.ready.clear()
            self._saver.close()
            # A worker's partitions come and go, and their connections with them.
            self._positions.close()
            self._checkpoints.close()

    def _rebuild(self) -> None:
        """Bring the judge's memory to the committed position; nothing is emitted."""
        begun = self._monotonic()
        self.position = self._patiently(self._positions.load)
        snapshot = self._patiently(self._checkpoints.load)
        if snapshot is not None:
            self._judge.restore(snapshot)
            self.applied = self._offered = self._saver.covers = snapshot.position
        if self.applied > self.position:
            raise CorruptState(f"the checkpoint stands at {self.applied}, the committed position at {self.position}.")
        while self.applied < self.position:
            entries = self._read(min(_READ, self.position - self.applied))
            if not entries:
                raise CorruptState(f"the log ends at {self.applied}, before the committed position {self.position}.")
            for entry in entries:
                self._apply(entry)
            self.replayed += len(entries)
            # What the replay says again is committed already.
            self._events, self._answers = [], []
        took_s = round(self._monotonic() - begun, 3)
        _log.info("judging_ready", position=self.position, replayed=self.replayed, took_s=took_s)

    def _judge_live(self) -> None:
        # Some readers wait in `read` for an entry that must be there; from here on none must.
        self._patiently(lambda: self._reader.wait(self.applied, 0.0))
        committed_at = checkpoint_at = self._monotonic()
        while not self._stop.is_set():
            self._saver.check()
            for entry in self._read(_READ):
                self._apply(entry)
                if (self._events or self._answers) and self._monotonic() - committed_at > _BUNCH_S:
                    self._commit()
                    committed_at = self._monotonic()
            now = self._monotonic()
            if self._events or self._answers or now - committed_at >= COMMIT_EVERY_S:
                self._commit()
                committed_at = now
            if now - checkpoint_at >= self._every_s and not self._saver.busy:
                checkpoint_at = now
                self._checkpoint()
            # Entries above what is applied end this wait at once.
            left = COMMIT_EVERY_S - (now - committed_at) if self.applied > self.position else COMMIT_EVERY_S
            self._patiently(lambda: self._reader.wait(self.applied, max(0.0, left)))  # noqa: B023 - called at once
        self._commit()

    def _read(self, limit: int) -> list[Entry]:
        return list(self._patiently(lambda: self._reader.read(self.applied, limit)))

    def _apply(self, entry: Entry) -> None:
        verdict = self._judge.apply(entry)
        self._events.extend(verdict.events)
        self._answers.extend(verdict.answers)
        self.applied = entry.number
        self.entries += 1
        if isinstance(entry.payload, ReadingBatch):
            self.readings += len(entry.payload)
        elif isinstance(entry.payload, Tick):
            self.judged_until_us = max(self.judged_until_us, entry.payload.now_us)

    def _commit(self) -> None:
        if self.applied == self.position:
            return
        events, answers = self._events, self._answers
        says = bool(events or answers)
        if says:
            self._failpoint("before_engine_commit")
        try:
            self._positions.commit(self.position, self.applied, events, answers)
        except ServiceAway as error:
            self._settle(error)
        if says:
            self._failpoint("after_engine_commit")
        self.position = self.applied
        self.events += len(events)
        self.answers += len(answers)
        self._events, self._answers = [], []
        if events:
            self._on_events()

    def _settle(self, error: ServiceAway) -> None:
        """The answer to a commit was lost: look where the position stands, and commit again if it did not move."""
        _log.warning("judging_outcome_unknown", position=self.position, error=error.what)

        def again() -> None:
            if self._positions.committed() == self.position:
                self._positions.commit(self.position, self.applied, self._events, self._answers)

        self._patiently(again)

    def _checkpoint(self) -> None:
        """Hand over the memory as of now, once all that it has said is committed."""
        self._commit()
        if self.position > self._offered:
            self._saver.offer(self._judge.snapshot(self.position))
            self._offered = self.position

    def _last_checkpoint(self) -> None:
        until = self._monotonic() + _LAST_CHECKPOINT_S
        if self._saver.wait_idle(_LAST_CHECKPOINT_S):
            self._checkpoint()
            self._saver.wait_idle(max(0.0, until - self._monotonic()))
        self._saver.check()

    def _patiently(self, call: Callable[[], _T]) -> _T:
        """Call until the service answers. Raises _Stopped when `stop` comes first."""
        attempt = 0
        while True:
            try:
                return call()
            except ServiceAway as error:
                if attempt == 0:
                    _log.warning("judging_waits", error=error.what)
                if self._stop.wait(_BACKOFF_S[min(attempt, len(_BACKOFF_S) - 1)]):
                    raise _Stopped from error
                attempt += 1
