"""What nobody waits for: logins, out-of-service marks, sweeping of what is old. A process has chores of its parts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import psycopg
import structlog

from alerting.life import Suppression
from ingest.quarantine import Limits, sweep
from registry import audit
from registry.store import open_registry, out_of_service
from schemas.errors import ServiceAway
from streams.log.segments import drop_old_segments
from streams.log.session import connect

LOG_CONSUMERS = ("engine", "store", "store.last_values")
"""Who may still ask for an entry: judging, the store, and the store's memory after a restart."""
LOGINS_S = 1.0
MARKS_S = 3.0
SWEEP_S = 60.0
REPLAY_S = 1.0
HEAP_S = 4.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Chore:
    """What is done every so many seconds; raises ServiceAway when it has to wait."""

    every_s: float
    do: Callable[[], object]


class Housekeeping:
    """`run` blocks until `stop`. PostgreSQL away is only a reason to try again."""

    def __init__(self, *chores: Chore) -> None:
        self._chores = chores
        self._stopping = threading.Event()

    def run(self) -> None:
        due = [time.monotonic() + chore.every_s for chore in self._chores]
        while not self._stopping.wait(max(0.0, min(due) - time.monotonic())):
            for place, chore in enumerate(self._chores):
                if due[place] > time.monotonic():
                    continue
                try:
                    chore.do()
                except (ServiceAway, psycopg.OperationalError) as error:
                    _log.warning("housekeeping_waits", error=str(error).strip())
                due[place] = time.monotonic() + chore.every_s

    def stop(self) -> None:
        self._stopping.set()


class OutOfService:
    """Devices whose alarms tell nobody meanwhile, as of the last `refresh`."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._marked: frozenset[str] = frozenset()

    def refresh(self) -> None:
        """Raises ServiceAway."""
        with open_registry(self._dsn) as connection:
            self._marked = out_of_service(connection)

    def suppression_of(self, enterprise: str, device: str) -> Suppression:
        return Suppression.OUT_OF_SERVICE if f"{enterprise}/{device}" in self._marked else Suppression.NONE


def drop_segments(dsn: str, retention_s: float) -> None:
    """Of a log of rows: what is older than the retention and needed by nobody."""
    drop_old_segments(dsn, retention_s=retention_s, consumers=LOG_CONSUMERS, checkpointed=LOG_CONSUMERS[:1])


def sweep_audit(dsn: str, retention_days: float) -> None:
    """Of the log of acts: what is older than the retention."""
    with connect(dsn, "tocsin-sweep-acts") as connection:
        swept = audit.sweep(connection, timedelta(days=retention_days))
    if swept:
        _log.info("audit_swept", rows=swept)


def sweep_quarantine(dsn: str, now_us: int) -> None:
    with connect(dsn, "tocsin-sweep") as connection:
        swept = sweep(connection, now_us, Limits())
    if swept.rows:
        _log.info("quarantine_swept", rows=swept.rows, unreplayed=swept.unreplayed)
