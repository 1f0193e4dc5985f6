"""What nobody waits for: logins and out-of-service marks once a second, sweeping of what is old once a minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import psycopg
import structlog

from alerting.life import Suppression
from ingest.quarantine import Limits, sweep
from registry.logins import KnownLogins
from registry.store import LoginFollower, open_registry, out_of_service
from schemas.errors import ServiceAway
from streams.log.segments import drop_old_segments

LOG_CONSUMERS = ("engine", "store", "store.last_values")
"""Who may still ask for an entry: judging, the store, and the store's memory after a restart."""
_LOOK_S = 1.0
_MARKS_S = 3.0
_SWEEP_S = 60.0
_log = structlog.get_logger(__name__)


class Housekeeping:
    """`run` blocks until `stop`. PostgreSQL away is only a reason to try again."""

    def __init__(self, dsn: str, logins: KnownLogins, retention_s: float, now_us: Callable[[], int]) -> None:
        self._dsn = dsn
        self._follower = LoginFollower(dsn, logins)
        self._retention_s = retention_s
        self._now_us = now_us
        self._out_of_service: frozenset[str] = frozenset()
        self._stopping = threading.Event()
        self._marked_at = self._swept_at = time.monotonic()

    def refresh(self) -> None:
        """Take logins and marks as they are now. Raises ServiceAway."""
        self._follower.refresh()
        self._read_marks()

    def _read_marks(self) -> None:
        with open_registry(self._dsn) as connection:
            self._out_of_service = out_of_service(connection)

    def suppression_of(self, enterprise: str, device: str) -> Suppression:
        marked = f"{enterprise}/{device}" in self._out_of_service
        return Suppression.OUT_OF_SERVICE if marked else Suppression.NONE

    def run(self) -> None:
        while not self._stopping.wait(_LOOK_S):
            try:
                self._follower.refresh()
                if time.monotonic() - self._marked_at >= _MARKS_S:
                    self._read_marks()
                    self._marked_at = time.monotonic()
                if time.monotonic() - self._swept_at >= _SWEEP_S:
                    self._sweep()
                    self._swept_at = time.monotonic()
            except (ServiceAway, psycopg.OperationalError) as error:
                _log.warning("housekeeping_waits", error=str(error).strip())
        self._follower.close()

    def stop(self) -> None:
        self._stopping.set()

    def _sweep(self) -> None:
        drop_old_segments(
            self._dsn, retention_s=self._retention_s, consumers=LOG_CONSUMERS, checkpointed=LOG_CONSUMERS[:1]
        )
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            swept = sweep(connection, self._now_us(), Limits())
        if swept.rows:
            _log.info("quarantine_swept", rows=swept.rows, unreplayed=swept.unreplayed)
