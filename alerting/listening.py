"""Wakes who reads by position when another process has committed something for them.

A notification only wakes: what there is to do is found by reading, and everybody who is woken here looks by himself
now and then. So one that is lost, as all are while the connection is away, costs a moment.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import psycopg
import structlog
from psycopg import sql

from alerting.database import Connection, open_connection

ALARMS = "tocsin_alarms"
"""Channel: the engine of the partition that is named has committed alarm events."""
_LOOK_S = 0.5
_BACKOFF_S = 0.5
_log = structlog.get_logger("alerting.listening")

Wake = Callable[[int], None]
"""Called with the partition that the notification names. Must not block."""


class Listening:
    """`run` blocks until `stop`: one session that LISTENs on channels and calls who waits for them."""

    def __init__(self, dsn: str, wakes: Mapping[str, Wake], *, name: str = "tocsin listening") -> None:
        """wakes: by channel; their notifications bear a partition's number."""
        self._dsn = dsn
        self._wakes = dict(wakes)
        self._name = name
        self._stopping = threading.Event()
        self.heard = 0
        """Notifications of this process."""

    def run(self) -> None:
        """A PostgreSQL that is away is waited for."""
        while not self._stopping.is_set():
            try:
                with open_connection(self._dsn, self._name) as connection:
                    self._listen(connection)
            except psycopg.OperationalError as error:
                _log.warning("listening_waits", error=str(error).strip())
                self._stopping.wait(_BACKOFF_S)

    def stop(self) -> None:
        """`run` ends within half a second."""
        self._stopping.set()

    def _listen(self, connection: Connection) -> None:
        for channel in self._wakes:
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        while not self._stopping.is_set():
            for notify in connection.notifies(timeout=_LOOK_S):
                self._tell(notify)

    def _tell(self, notify: psycopg.Notify) -> None:
        wake = self._wakes.get(notify.channel)
        if wake is not None and notify.payload.isdecimal():
            self.heard += 1
            wake(int(notify.payload))
