"""A few connections to PostgreSQL for work that several threads ask for, made when needed. Thread-safe."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from alerting.database import Connection, Database

_IDLE = 2


class Pool:
    """For the house's own work; what is done for a viewer goes by `alerting.viewing`."""

    def __init__(self, dsn: str, name: str) -> None:
        self._dsn = dsn
        self._name = name
        self._idle: list[Database] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for database in idle:
            database.close()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Raises ServiceAway."""
        with self._lock:
            database = self._idle.pop() if self._idle else Database(self._dsn, self._name)
        try:
            with database.transaction() as connection:
                yield connection
        finally:
            with self._lock:
                kept = len(self._idle) < _IDLE
                if kept:
                    self._idle.append(database)
            if not kept:
                database.close()
