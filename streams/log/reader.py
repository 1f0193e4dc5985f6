"""Reads the log: from the writer's tail in its own process, from PostgreSQL where the tail does not reach.

In another process a reader polls, at 0.1 ms a look. A NOTIFY with every commit costs the writer no time that could be
measured (p50 0.40 ms both ways), but it would wake readers a thousand times a second that gather for seconds anyway.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import psycopg

from schemas.entries import Entry, EntryKind, decode
from schemas.errors import CorruptState, ServiceAway
from streams.log.session import connect
from streams.log.tail import Tail

_READ = (
    "SELECT number, kind, body FROM log_entries WHERE partition = %b AND number > %b ORDER BY number LIMIT %b"
)
_LAST = "SELECT number FROM log_entries WHERE partition = %b AND number > %b ORDER BY number LIMIT 1"


class PostgresLogReader:
    """Port `LogReader`; one to a thread.

    Raises ServiceAway from any call while PostgreSQL is away, CorruptState when entries are gone that are asked for.
    """

    def __init__(
        self, dsn: str, *, partition: int = 0, tail: Tail | None = None, poll_s: float = 0.02
    ) -> None:
        """tail: the writer's, when it lives in this process.  poll_s: how often `wait` looks when there is none."""
        self._dsn = dsn
        self._partition = partition
        self._tail = tail
        self._poll_s = poll_s
        self._connection: psycopg.Connection[Any] | None = None
        self._closing = threading.Event()

    def read(self, after: int, limit: int = 64) -> Sequence[Entry]:
        if self._tail is not None:
            held = self._tail.read(after, limit)
            if held is not None:
                return held
        rows = self._query(_READ, (self._partition, after, limit))
        if rows and rows[0][0] != after + 1:
            raise CorruptState(
                f"the log begins at entry {rows[0][0]}, and {after + 1} is needed.",
                mend="Restore the database from a backup, checkpoints and log together.",
            )
        return [Entry(number, decode(EntryKind(kind), body)) for number, kind, body in rows]

    def wait(self, after: int, timeout_s: float) -> bool:
        if self._tail is not None:
            return self._tail.wait(after, timeout_s)
        until = time.monotonic() + timeout_s
        while not self._query(_LAST, (self._partition, after)):
            left = until - time.monotonic()
            if left <= 0 or self._closing.wait(min(left, self._poll_s)):
                return False
        return True

    def close(self) -> None:
        """Also ends a `wait` in another thread within one poll."""
        self._closing.set()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _query(self, query: str, values: tuple[int, ...]) -> list[Any]:
        try:
            if self._connection is None:
                self._connection = connect(self._dsn, "tocsin-log-reader")
            return self._connection.execute(query, values, prepare=True, binary=True).fetchall()
        except psycopg.Error as error:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            raise ServiceAway("PostgreSQL", str(error).strip()) from error
