"""The log as PostgreSQL rows, numbered by their one writer. One commit costs one round trip and one flush.

Rule 4 of the log lives here: a commit whose outcome never came back is settled before anything else happens. The old
backend is ended, the rows are read back, and epoch and content say whether they are ours.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, LiteralString

import psycopg
import structlog

from schemas.entries import EntryKind, Payload, encode, kind_of
from schemas.errors import Fenced, OutcomeUnknown, ServiceAway
from streams.log.segments import first_of, make_segment, segment_of
from streams.log.session import open_session
from streams.log.tail import Tail
from streams.ports import Alongside

Row = tuple[EntryKind, bytes]

_INSERT = "INSERT INTO log_entries (partition, number, epoch, kind, body) VALUES (%b, %b, %b, %b, %b)"
# A statement a row would cost the interpreter, which door and engine share, ten times as much.
_INSERT_MANY = """
    INSERT INTO log_entries (partition, number, epoch, kind, body) SELECT %b, number, %b, kind, body
      FROM unnest(%b::bigint[], %b::smallint[], %b::bytea[]) AS entry (number, kind, body)
"""
_BACKOFF_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)

_log = structlog.get_logger(__name__)


class PostgresLogWriter:
    """The one writer of a partition (port `LogWriter`). Opening it takes the partition over from any other."""

    def __init__(self, dsn: str, *, partition: int = 0, tail: Tail | None = None) -> None:
        """Raises ServiceAway when PostgreSQL does not answer."""
        self._dsn = dsn
        self._partition = partition
        self.tail = tail or Tail()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._connection: psycopg.Connection[Any] | None = None
        self._epoch: int | None = None
        self._fenced: Fenced | None = None
        self._head = 0
        self._segment_end = 0
        self.settled = 0
        """Commits whose outcome had to be read back."""
        self.settling = False
        """True while an outcome is unknown: nothing can be appended."""
        self._open()

    @property
    def head(self) -> int:
        """Number of the last committed entry."""
        return self._head

    def append(self, payloads: Sequence[Payload], alongside: Alongside | None = None) -> int:
        """See the port. `alongside` may run again if its first try did not commit, and what it raises is raised here.

        Blocks while an outcome is unknown, until PostgreSQL answers again; `close` from another thread ends that
        with OutcomeUnknown.
        """
        rows = [(kind_of(payload), encode(payload)) for payload in payloads]
        with self._lock:
            if self._closing.is_set():
                raise ServiceAway("log", "it is closed")
            if self._fenced is not None:
                raise self._fenced
            if self._connection is None:
                self._open()
            try:
                known = self._commit(rows, alongside)
                if not known and not self._settle(rows):
                    raise ServiceAway("PostgreSQL", "the connection was lost before the commit.", retry_after_s=0.0)
            except Fenced as fenced:
                self._fenced = fenced
                raise
            self._head += len(rows)
            # Settled, the new session has begun the tail behind these entries: they are read from PostgreSQL.
            if known:
                self.tail.extend(payloads, [len(body) for _, body in rows])
            return self._head

    def close(self) -> None:
        """Also from another thread, while `append` waits for PostgreSQL."""
        self._closing.set()
        with self._lock:
            self._drop()

    def __enter__(self) -> PostgresLogWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        try:
            self._connection, self._epoch, head = open_session(self._dsn, self._partition, self._epoch)
            self._extend_segments(head + 1)
        except psycopg.OperationalError as error:
            self._drop()
            raise ServiceAway("PostgreSQL", str(error).strip() or type(error).__name__) from error
        except Fenced as fenced:
            self._fenced = fenced
            raise
        self._head = head
        self.tail.start(head)

    def _extend_segments(self, number: int) -> None:
        """Have the segment of `number` and the next one; the second is made long before it is needed."""
        assert self._connection is not None
        segment = segment_of(number)
        make_segment(self._connection, segment)
        make_segment(self._connection, segment + 1)
        self._segment_end = first_of(segment + 2)

    def _commit(self, rows: Sequence[Row], alongside: Alongside | None) -> bool:
        """True when the rows are committed; False when the connection died and nobody knows."""
        connection = self._connection
        assert connection is not None
        last = self._head + len(rows)
        insert, values = self._statement(rows)
        try:
            if last >= self._segment_end:
                self._extend_segments(last)
            if alongside is None:
                connection.execute(insert, values, prepare=True)
            else:
                with connection.pipeline(), connection.transaction(), connection.cursor() as cursor:
                    cursor.execute(insert, values, prepare=True)
                    alongside(cursor, last)
        except psycopg.Error as error:
            if _is_lost(connection, error):
                _log.warning("log_connection_lost", error=str(error).strip())
                return False
            self._refused(error)
            raise
        return True

    def _statement(self, rows: Sequence[Row]) -> tuple[LiteralString, Sequence[object]]:
        if len(rows) == 1:
            ((kind, body),) = rows
            return _INSERT, (self._partition, self._head + 1, self._epoch, int(kind), body)
        numbers = list(range(self._head + 1, self._head + len(rows) + 1))
        kinds, bodies = [int(kind) for kind, _ in rows], [body for _, body in rows]
        return _INSERT_MANY, (self._partition, self._epoch, numbers, kinds, bodies)

    def _refused(self, error: psycopg.Error) -> None:
        """Say in our words why the server refused a transaction; what is left is the fault of `alongside`."""
        table = error.diag.table_name or ""
        if isinstance(error, psycopg.errors.UniqueViolation) and table.startswith("log_entries"):
            raise Fenced(f"entry {self._head + 1} is not ours: a second writer is at work.") from error
        if isinstance(error, psycopg.OperationalError):
            raise ServiceAway("PostgreSQL", str(error).strip()) from error

    def _settle(self, rows: Sequence[Row]) -> bool:
        """Find out whether the last commit was made; True if it was."""
        before, self.settling = self._head, True
        self.settled += 1
        self._drop()
        try:
            for attempt in range(1 << 62):
                try:
                    self._open()
                    return self._is_ours(before, rows)
                except (ServiceAway, psycopg.OperationalError) as error:
                    _log.warning("log_outcome_unknown", attempt=attempt, error=str(error).strip())
                    self._drop()
                if self._closing.wait(_BACKOFF_S[min(attempt, len(_BACKOFF_S) - 1)]):
                    break
        finally:
            self.settling = False
        raise OutcomeUnknown("a commit was sent and PostgreSQL has not answered since.")

    def _is_ours(self, before: int, rows: Sequence[Row]) -> bool:
        assert self._connection is not None
        found = self._connection.execute(
            "SELECT epoch, kind, sha256(body) FROM log_entries WHERE partition = %s AND number > %s ORDER BY number",
            (self._partition, before), binary=True,
        ).fetchall()  # fmt: skip
        self._head = before
        if not found:
            return False
        if found != [(self._epoch, int(kind), sha256(body).digest()) for kind, body in rows]:
            raise Fenced(f"entry {before + 1} is not ours: a second writer is at work.")
        return True

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _is_lost(connection: psycopg.Connection[Any], error: psycopg.Error) -> bool:
    """Whether the session is gone; the end of a backend is told before its socket closes."""
    return connection.broken or error.diag.severity_nonlocalized in ("FATAL", "PANIC")
