"""Reads now and then what PostgreSQL knows of positions, checkpoints and the store.

So neither `/metrics` nor `/readyz` waits for it, and all ask about the same moment.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import psycopg
import structlog

from schemas.errors import ServiceAway
from streams.store.edge import Connection, session
from streams.store.queries import StoreStatus, status

_LOOK_S = 2.0
_POSITIONS = "SELECT consumer, partition, position FROM positions"
_CHECKPOINTS = """
    SELECT partition, extract(epoch FROM clock_timestamp() - max(saved_at))::float8 FROM checkpoints
     WHERE consumer = 'engine' GROUP BY partition
"""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """at: of the monotonic clock, in seconds.  positions: (consumer, partition) → position.

    checkpoints: partition → seconds since its engine's newest, as of `at`.
    """

    at: float
    store: StoreStatus
    positions: Mapping[tuple[str, int], int] = field(default_factory=dict)
    checkpoints: Mapping[int, float] = field(default_factory=dict)


class Watch:
    """`run` blocks until `stop`; PostgreSQL away is only a reason to try again."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._stopping = threading.Event()
        self.seen: Seen | None = None
        """None before the first look."""
        self._moved: dict[tuple[str, int], tuple[int, float]] = {}

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                with session(self._dsn, "tocsin-watch") as connection:
                    while not self._stopping.is_set():
                        self.take(look(connection))
                        self._stopping.wait(_LOOK_S)
            except (ServiceAway, psycopg.OperationalError) as error:
                _log.warning("watch_waits", error=str(error).strip())
                self._stopping.wait(_LOOK_S)

    def stop(self) -> None:
        self._stopping.set()

    def take(self, seen: Seen) -> None:
        """This is how it all stands now."""
        for key, position in seen.positions.items():
            if self._moved.get(key, (-1, 0.0))[0] != position:
                self._moved[key] = (position, seen.at)
        self.seen = seen

    def still_s(self, consumer: str, partition: int) -> float:
        """Since a position was first seen where it is, as of the last look; infinite where there is none."""
        seen, moved = self.seen, self._moved.get((consumer, partition))
        return float("inf") if seen is None or moved is None else seen.at - moved[1]

    def age_s(self) -> float:
        """Since the last look, infinite before the first."""
        seen = self.seen
        return float("inf") if seen is None else time.monotonic() - seen.at


def look(connection: Connection) -> Seen:
    """How it all stands now. Raises ServiceAway."""
    positions = {(consumer, partition): position for consumer, partition, position in connection.execute(_POSITIONS)}
    checkpoints: dict[int, float] = dict(connection.execute(_CHECKPOINTS).fetchall())
    return Seen(time.monotonic(), status(connection), positions, checkpoints)
