"""How each part stands: words for `/readyz` and the heartbeat, numbers for `/metrics`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
import structlog

from alerting.channels.mqtt_events import MqttEvents
from alerting.desk import Desk
from ingest.door.limits import Counts
from schemas.errors import ServiceAway
from streams.engine import Engine
from streams.judging import Judging
from streams.log.postgres import PostgresLogWriter
from streams.store.edge import session
from streams.store.queries import StoreStatus, status
from streams.ticks import HouseTime
from tocsin.crew import Crew
from tocsin.metrics import Station

LAG_S = 10.0
"""Judging that is further behind than this is not ready."""
STORE_SILENT_S = 60.0
_LOOK_S = 2.0
_log = structlog.get_logger(__name__)


class StoreWatch:
    """Reads the store's own row now and then, so that neither `/metrics` nor `/readyz` waits for PostgreSQL."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._stopping = threading.Event()
        self.status: StoreStatus | None = None
        self.read_at = 0.0

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                with session(self._dsn, "tocsin-store-watch") as connection:
                    while not self._stopping.is_set():
                        self.status = status(connection)
                        self.read_at = time.monotonic()
                        self._stopping.wait(_LOOK_S)
            except (ServiceAway, psycopg.OperationalError) as error:
                _log.warning("store_watch_waits", error=str(error).strip())
                self._stopping.wait(_LOOK_S)

    def stop(self) -> None:
        self._stopping.set()


@dataclass(frozen=True, slots=True)
class Parts:
    """What is asked how it stands."""

    crew: Crew
    writer: PostgresLogWriter
    house: HouseTime
    monotonic_us: Callable[[], int]
    judging: Judging
    engine: Engine
    desk: Desk
    mqtt_events: MqttEvents
    store: StoreWatch
    door: Counts

    def troubles(self) -> dict[str, Callable[[], str]]:
        """Part → what is wrong with it, empty when all is well."""
        return {
            "crew": lambda: f"{self.crew.failed_part} has failed" if self.crew.failed.is_set() else "",
            "door": lambda: "the log is away; clients wait" if self.door.is_away else "",
            "log": lambda: "a commit's outcome is unknown" if self.writer.settling else "",
            "judging": self._judging_trouble,
            "desk": self.desk.trouble,
            "mqtt_events": self.mqtt_events.trouble,
            "store": self._store_trouble,
        }

    def _judging_trouble(self) -> str:
        if not self.judging.ready.is_set():
            return "memory is being rebuilt"
        behind_s = self.lag_s()
        return f"{behind_s:.0f} s behind" if behind_s > LAG_S else ""

    def _store_trouble(self) -> str:
        known = self.store.status
        if known is None or time.monotonic() - self.store.read_at > STORE_SILENT_S:
            return "it cannot be asked"
        return f"nothing stored for {known.silent_s:.0f} s" if known.silent_s > STORE_SILENT_S else ""

    def lag_s(self) -> float:
        """Seconds from the engine's now to the house's time; ticks come once a second."""
        return max(0.0, (self.house.at(self.monotonic_us()) - self.judging.judged_until_us) / 1e6)

    def stations(self) -> list[Station]:
        return [
            Station("door", self._door_counters, self._door_gauges, self._door_causes),
            Station("log", lambda: {"settled_total": self.writer.settled}, lambda: {"head": self.writer.head}),
            Station("engine", self._engine_counters, self._engine_gauges),
            Station("store", self._store_counters, self._store_gauges),
        ]

    def _door_counters(self) -> dict[str, float]:
        named = ("rounds", "received_bytes", "messages", "acknowledged", "published", "connects", "rate_limited")
        return {name: getattr(self.door, name) for name in named}

    def _door_gauges(self) -> dict[str, float]:
        named = ("connections", "sessions", "unfinished_bytes", "is_away")
        return {name: float(getattr(self.door, name)) for name in named}

    def _door_causes(self) -> dict[str, dict[str, float]]:
        return {
            name: {cause.value: float(count) for cause, count in dict(getattr(self.door, name)).items()}
            for name in ("closed", "refused", "dropped")
        }

    def _engine_counters(self) -> dict[str, float]:
        fates = {f"readings_{name}": float(count) for name, count in self.engine.counters().items()}
        for gauge in ("sensors", "devices", "watched", "silent"):
            fates.pop(f"readings_{gauge}", None)
        return fates | {
            "entries": self.judging.entries,
            "events": self.judging.events,
            "checkpoints": self.judging.checkpoints,
        }

    def _engine_gauges(self) -> dict[str, float]:
        counted = self.engine.counters()
        return {name: float(counted[name]) for name in ("sensors", "devices", "watched", "silent")} | {
            "lag_entries": float(max(0, self.writer.head - self.judging.position)),
            "lag_seconds": self.lag_s(),
        }

    def _store_counters(self) -> dict[str, float]:
        known = self.store.status
        if known is None:
            return {}
        named = ("stored", "late", "duplicate", "conflicting", "refused_old", "blocks")
        return {name: float(getattr(known, name)) for name in named}

    def _store_gauges(self) -> dict[str, float]:
        known = self.store.status
        if known is None:
            return {}
        return {name: float(getattr(known, name)) for name in ("open_parts", "closing", "partitions", "silent_s")} | {
            "lag_entries": float(max(0, self.writer.head - known.position))
        }
