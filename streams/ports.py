"""What the log's readers and writers may expect of a log, a position and a checkpoint; two kinds stand behind each.

Rules of the log: see `docs/ideas/architecture.md`. All calls may block; none is called from an event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from schemas.alarms import AlarmEvent, Answer
from schemas.entries import Entry, Payload

Alongside = Callable[[Any, int], None]
"""Writes rows that belong to the entries: handed a psycopg cursor inside a transaction, and the last entry's number.

The log of rows commits both together; no other kind takes it (`NumberedWriter`).
"""


class Appender(Protocol):
    """Any log, for a writer that does not ask which numbers its entries get."""

    def append(self, payloads: Sequence[Payload], /) -> object:
        """Commit the payloads in order. Raises ServiceAway (may be tried again) or Fenced (stop)."""
        ...


class LogWriter(Protocol):
    def append(self, payloads: Sequence[Payload], alongside: Alongside | None = None) -> int:
        """Commit the payloads in order, and `alongside` with them; returns the number of the last.

        Thread-safe. Raises ServiceAway (nothing is committed, may be tried again) or Fenced (stop).
        An unknown outcome is settled inside, by ending the old backend and reading back.
        """
        ...


@runtime_checkable
class NumberedWriter(Protocol):
    """One partition of a log that has no rows of its own (Kafka): what belongs to entries is committed after them.

    A kill between the two repeats the entries, so they must be harmless when they stand in the log twice.
    """

    def put(self, payloads: Sequence[Payload]) -> Sequence[int]:
        """Commit the payloads in order; returns the number of each. Raises ServiceAway: some may be committed."""
        ...

    def last_number(self) -> int:
        """The number of the last committed entry, 0 when there is none. Raises ServiceAway."""
        ...


class LogReader(Protocol):
    def read(self, after: int, limit: int = 64) -> Sequence[Entry]:
        """At most `limit` committed entries whose number is above `after`, in order.

        Empty only where there are none, unless the call before was `wait`: then the next `wait` says more.
        """
        ...

    def wait(self, after: int, timeout_s: float) -> bool:
        """Return True as soon as an entry above `after` is committed, False after `timeout_s`."""
        ...


class PartitionsReader(Protocol):
    """For a consumer that takes several partitions at once (the reading store)."""

    @property
    def partitions(self) -> Sequence[int]: ...

    def read(self, after: Mapping[int, int], limit: int = 64) -> Sequence[Entry]:
        """At most `limit` committed entries, each above its partition's `after`, in order within a partition."""
        ...

    def wait(self, after: Mapping[int, int], timeout_s: float) -> bool:
        """Return True as soon as an entry above `after` is committed anywhere, False after `timeout_s`."""
        ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """What applying one entry gave."""

    events: Sequence[AlarmEvent]
    answers: Sequence[Answer]


@dataclass(frozen=True, slots=True)
class Chunk:
    """One part of a consumer's memory: `body` is opaque here, and does not change any more."""

    name: str
    index: int
    body: bytes | memoryview


def _nothing() -> None:
    """For a snapshot that is all copies."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A consumer's memory as of `position`: on save the chunks that changed, on load all of them.

    On save the chunks may be gone through more than once, from another thread while judging goes on, until `release`.
    """

    position: int
    chunks: Iterable[Chunk]
    release: Callable[[], None] = field(default=_nothing, compare=False)
    """It is saved: what is kept for it may be forgotten."""


class Judge(Protocol):
    """The engine and its naive twin: a function of the log."""

    def apply(self, entry: Entry) -> Verdict: ...

    def snapshot(self, position: int) -> Snapshot:
        """What changed since the last snapshot, which is over now; cheap enough for the hot path."""
        ...

    def restore(self, snapshot: Snapshot) -> None: ...


class Positions(Protocol):
    """The fenced place of one consumer in one partition."""

    def load(self) -> int:
        """The committed position; 0 at the start."""
        ...

    def commit(
        self, expected: int, new: int, events: Sequence[AlarmEvent] = (), answers: Sequence[Answer] = ()
    ) -> None:
        """Output and position in one transaction. Raises Fenced when the position is not `expected`."""
        ...


class Checkpoints(Protocol):
    def save(self, snapshot: Snapshot) -> None:
        """Add a generation; the two newest are kept whole. Raises Fenced or ServiceAway."""
        ...

    def load(self) -> Snapshot | None:
        """The newest readable generation, loudly if not the newest; None when there was never one.

        Raises CorruptState when generations exist and none can be read.
        """
        ...
