"""A partition's records between Faust's event loop and the thread that judges: bounded, in order, without a hole.

The reader says where it wants to begin, and the consumer is steered there (`Feed.steer`). Whatever comes that is not
the next record is dropped, and what lies behind a hole is fetched again: neither the offsets that Kafka remembers for
the group nor a rebalance at a bad moment can lose or repeat an entry. Records are decoded in the reading thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from schemas.entries import Entry
from schemas.errors import CorruptState, ServiceAway
from streams.log.records import payload_of
from streams.log.unreadable import Unreadable

LIMIT_BYTES = 16 << 20
"""A partition's feed takes no more above this; what is on its way still comes in."""
_READ_BYTES = 4 << 20
"""Decoded at once."""
_PATIENCE_S = 5.0
_OVERHEAD = 200
"""Bytes of a held record beside its value."""
_log = structlog.get_logger(__name__)


class Record(Protocol):
    """What is used of a record as Kafka's client gives it."""

    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class Run:
    """Records of one partition that were fetched together, in order.

    turn: counts the seeks of a consumer; which of them these records were fetched after.
    """

    partition: int
    turn: int
    records: Sequence[Record]


@dataclass(frozen=True, slots=True)
class Steering:
    """Where a consumer is to be. seek: go to this offset first, in this turn."""

    flows: bool
    seek: tuple[int, int] | None
    """(turn, offset)"""


class Feed:
    """Port `LogReader` of one partition, to one thread; `put` and `steer` from the event loop's."""

    def __init__(
        self,
        partition: int,
        turns: Iterator[int],
        *,
        unreadable: Unreadable,
        changed: Callable[[], None],
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        """turns: rising numbers above 0, shared by all feeds of a consumer, so that none takes an older one's seek for
        its own.  unreadable: told of each record that is no entry, which is then passed over.

        changed: called from the reading thread when the consumer is to be steered anew.
        """
        self.partition = partition
        self._turns = turns
        self._unreadable = unreadable
        self._changed = changed
        self._limit = limit_bytes
        self._state = threading.Condition()
        self._records: deque[Record] = deque()
        self._bytes = 0
        self._arrived = -1
        """Number of the last record that came, or of the entry before the first that is wanted; -1: not said yet."""
        self._given = self._passed = -1
        """Numbers of the last entry that was read and the last record that was read or passed over."""
        self._turn = 0
        self._is_astray = False
        """The consumer is not where the next record is."""
        self._hole = -1
        """Number of the record before which one is missing, when it was found so once."""
        self._flows = False
        self._has_waited = False
        """The last call was `wait`."""
        self._interrupted = False
        self._failure: CorruptState | None = None
        self.unreadable = 0
        """Records passed over by this process."""

    # --- the reading thread ---

    def read(self, after: int, limit: int = 64) -> list[Entry]:
        """See the port. Behind `wait` it takes what is at hand; otherwise an entry must be there, and is waited for.

        Raises ServiceAway when nothing comes, CorruptState when Kafka no longer holds what is asked for.
        """
        self._go_to(after)
        entries: list[Entry] = []
        while not entries:
            if not self._await_records(0.0 if self._has_waited else _PATIENCE_S) and not self._has_waited:
                raise ServiceAway("Kafka", f"entry {after + 1} of partition {self.partition} does not come.")
            entries = self._take(limit)
            if self._has_waited:
                break
        self._has_waited = False
        if not self._flows and self._bytes <= self._limit // 2:
            self._changed()
        return entries

    def _take(self, limit: int) -> list[Entry]:
        """Entries of the records at hand; what is none is passed over."""
        entries: list[Entry] = []
        taken = 0
        while len(entries) < limit and taken < _READ_BYTES:
            with self._state:
                if not self._records:
                    break
                record = self._records[0]
            # Taken out only after it was dealt with: whoever keeps the unreadable may be away.
            entry = self._entry(record)
            size = _size(record)
            with self._state:
                self._records.popleft()
                self._bytes -= size
            taken += size
            self._passed = record.offset + 1
            if entry is not None:
                self._given = entry.number
                entries.append(entry)
        return entries

    def wait(self, after: int, timeout_s: float) -> bool:
        """See the port. It may be a record that is no entry which is there."""
        self._go_to(after)
        self._has_waited = True
        return self._await_records(timeout_s)

    def interrupt(self) -> None:
        """From any thread: let no `read` or `wait` wait any more."""
        with self._state:
            self._interrupted = True
            self._state.notify_all()

    def _go_to(self, after: int) -> None:
        if self._given >= 0 and self._given <= after <= self._passed:
            return
        with self._state:
            self._records.clear()
            self._bytes = 0
            self._arrived = after
            self._is_astray = True
            self._hole = -1
        self._given = self._passed = after
        self._changed()

    def _await_records(self, timeout_s: float) -> bool:
        with self._state:
            self._state.wait_for(lambda: self._records or self._failure or self._interrupted, timeout_s)
            if self._failure is not None:
                raise self._failure
            return bool(self._records)

    def _entry(self, record: Record) -> Entry | None:
        number, key, value = record.offset + 1, record.key or b"", record.value or b""
        try:
            return Entry(number, payload_of(key, value), self.partition)
        except CorruptState as error:
            _log.error("log_entry_unreadable", partition=self.partition, number=number, why=error.what)
            self._unreadable(self.partition, number, key, value, error.what)
            self.unreadable += 1
            return None

    # --- the event loop's thread ---

    def put(self, run: Run) -> bool:
        """Take what is next of a run; returns whether the consumer must be steered anew."""
        with self._state:
            if self._arrived < 0 or run.turn != self._turn or self._is_astray:
                return False
            records = run.records
            wanted = self._arrived  # the offset of the next record
            if records[-1].offset < wanted:
                return False
            if records[0].offset < wanted:
                records = [record for record in records if record.offset >= wanted]
            if records[0].offset > wanted and not self._is_true_hole(records[0].offset):
                self._is_astray = True
                return True
            self._records.extend(records)
            self._bytes += sum(map(_size, records))
            self._arrived = records[-1].offset + 1
            self._hole = -1
            self._state.notify_all()
            return self._flows and self._bytes > self._limit

    def steer(self, *, afresh: bool = False) -> Steering:
        """Where the consumer is to be now; a seek is told once. afresh: it may be anywhere by now."""
        with self._state:
            seek = None
            if self._arrived >= 0 and (self._is_astray or afresh):
                self._turn = next(self._turns)
                self._is_astray = False
                seek = (self._turn, self._arrived)
            # Filled to the brim it waits until half is read.
            room = self._bytes <= (self._limit if self._flows else self._limit // 2)
            self._flows = self._arrived >= 0 and room
            return Steering(self._flows, seek)

    def not_there(self, offset: int) -> None:
        """Kafka says that it holds nothing at `offset`; a failure for the reader when that is what is wanted."""
        with self._state:
            if offset == self._arrived and not self._is_astray:
                self._failure = CorruptState(
                    f"entry {offset + 1} of partition {self.partition} is needed, and Kafka does not hold it.",
                    mend="Its retention is too short for how far the worker was behind, or Kafka lost what it had.",
                )
                self._state.notify_all()

    def _is_true_hole(self, offset: int) -> bool:
        """Whether it came out the same once before, after a seek to just there: then Kafka has nothing in between."""
        if offset == self._hole:
            _log.warning("log_has_a_hole", partition=self.partition, after=self._arrived, next=offset + 1)
            return True
        self._hole = offset
        return False


def _size(record: Record) -> int:
    return _OVERHEAD + len(record.value or b"")
