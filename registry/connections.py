"""Connections of the registry's people's side: a few idle ones, a transaction each time, as the viewer who asks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.types.string import TextLoader

from schemas.errors import ServiceAway
from schemas.viewers import BECOME_VIEWER, Viewer

Connection = psycopg.Connection[tuple[Any, ...]]

_IDLE_CONNECTIONS = 4
_NOTICES_A_CUT: dict[str, Any] = {
    "connect_timeout": 5, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}  # fmt: skip
_LOST = (psycopg.OperationalError, psycopg.InterfaceError)


class Connections:
    """Thread-safe; a connection that broke is made again by the next who asks."""

    def __init__(self, dsn: str, name: str) -> None:
        self._dsn = dsn
        self._name = name
        self._idle: list[Connection] = []
        self._lock = threading.Lock()

    @contextmanager
    def transaction(self, viewer: Viewer | None) -> Iterator[Connection]:
        """One transaction on the viewer's behalf; None: the house's own. Raises ServiceAway when PostgreSQL is away."""
        try:
            connection = self._take()
            try:
                with connection.transaction():
                    if viewer is not None:
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
        connection = psycopg.connect(self._dsn, autocommit=True, application_name=self._name, **_NOTICES_A_CUT)
        # JSON is decoded by its own types; a dict in between would cost twice.
        connection.adapters.register_loader("jsonb", TextLoader)
        return connection

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            if len(self._idle) < _IDLE_CONNECTIONS and not (connection.closed or connection.broken):
                self._idle.append(connection)
                return
        connection.close()
