"""Sessions with PostgreSQL on behalf of people: a few idle ones, each transaction as the viewer who asks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from schemas.errors import ServiceAway
from schemas.viewers import BECOME_VIEWER, Viewer

Connection = psycopg.Connection[tuple[Any, ...]]

_IDLE = 4
_LOST = (psycopg.OperationalError, psycopg.InterfaceError)


class Sessions:
    """Thread-safe; a session that broke is made again by the next who asks."""

    def __init__(self, dsn: str, name: str) -> None:
        self._dsn = dsn
        self._name = name
        self._idle: list[Connection] = []
        self._lock = threading.Lock()

    @contextmanager
    def transaction(self, viewer: Viewer) -> Iterator[Connection]:
        """One transaction on the viewer's behalf. Raises ServiceAway when PostgreSQL is away."""
        try:
            connection = self._take()
            try:
                with connection.transaction():
                    connection.execute(BECOME_VIEWER, viewer.parameters())
                    yield connection
            finally:
                self._give_back(connection)
        except _LOST as error:
            raise ServiceAway("PostgreSQL", str(error).strip() or type(error).__name__) from error

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> Connection:
        with self._lock:
            while self._idle:
                connection = self._idle.pop()
                if not (connection.closed or connection.broken):
                    return connection
        return psycopg.connect(
            self._dsn, autocommit=True, application_name=self._name, connect_timeout=5, keepalives_idle=5,
            keepalives_interval=2, keepalives_count=3, tcp_user_timeout=10_000,
        )  # fmt: skip

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            if len(self._idle) < _IDLE and not (connection.closed or connection.broken):
                self._idle.append(connection)
                return
        connection.close()
