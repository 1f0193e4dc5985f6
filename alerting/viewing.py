"""Transactions on behalf of a viewer: row security shows its scope alone. Thread-safe."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from alerting.database import Connection, Database
from alerting.sql import load_queries
from schemas.errors import ConfigError
from schemas.viewers import BECOME_VIEWER, Viewer

_Q = load_queries("alerting", "people.sql")
_IDLE_CONNECTIONS = 4
_BOUND = "SELECT set_config('statement_timeout', '5s', true), set_config('jit', 'off', true)"
"""A person waits no longer, and PostgreSQL has others to serve. To compile a query takes longer than a page of it."""


class TooMuch(ConfigError):
    """What was asked takes too long to look through."""


class Viewing:
    """Some connections to PostgreSQL, made when needed. Raises ServiceAway when it is away."""

    def __init__(self, dsn: str, name: str = "tocsin people") -> None:
        self._dsn = dsn
        self._name = name
        self._idle: list[Database] = []
        self._lock = threading.Lock()
        self._has_role = False

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for database in idle:
            database.close()

    @contextmanager
    def transaction(self, viewer: Viewer, *, one_moment: bool = False) -> Iterator[Connection]:
        """Raises TooMuch when a statement takes longer than a person waits.

        one_moment: all its queries see the database as of one moment.
        """
        with self._lock:
            database = self._idle.pop() if self._idle else Database(self._dsn, self._name)
        try:
            with database.transaction() as connection:
                if one_moment:
                    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                if not self._has_role:
                    self._has_role = connection.execute(_Q["is_viewer_there"]).fetchone() == (True,)
                connection.execute(_BOUND)
                if self._has_role:
                    connection.execute(BECOME_VIEWER, viewer.parameters())
                yield connection
        except psycopg.errors.QueryCanceled as error:
            raise TooMuch(
                "this was not found within 5 s.", mend="Narrow it: by time, enterprise, grade or kind."
            ) from error
        finally:
            with self._lock:
                kept = len(self._idle) < _IDLE_CONNECTIONS
                if kept:
                    self._idle.append(database)
            if not kept:
                database.close()
