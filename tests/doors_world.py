"""Several doors over one PostgreSQL and one log in memory, each with its thread of shared sessions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ingest.commit_kafka import RoundRecords
from ingest.ports import RoundLog
from ingest.quarantine import decode_kept
from ingest.shared_sessions import SharedSessions
from schemas.entries import Payload
from tests.door_world import WAIT_S, Clock, World

_PATIENT = {"lease_s": 60.0, "ask_s": 60.0, "hung_s": 1e9}
"""However slow the machine is, no door is taken for dead, passed over or called away unless a test wants it."""


class WallClock(Clock):
    """For doors over services that take their real time."""

    def monotonic(self) -> float:
        return time.monotonic()

    def us(self) -> int:
        return time.time_ns() // 1000


class OneDoor(World):
    """A `World` whose door is one of several."""

    def __init__(
        self,
        dsn: str,
        name: str,
        clock: Clock,
        settings: dict[str, Any],
        log: Callable[[SharedSessions], RoundLog] | None = None,
        **lease: float,
    ) -> None:
        """log: makes another than that of the world."""
        self._ahead_s = 0.0
        self.shared = SharedSessions(dsn, name, monotonic=self._shared_monotonic, **{**_PATIENT, **lease})  # type: ignore[arg-type]
        self._running = threading.Thread(target=self._run_shared, name=f"shared-{name}")
        in_memory = RoundRecords(self._append, self._produce, self.shared.keep)
        super().__init__(
            {"name": name, **settings},
            store=self.shared, peers=self.shared, log=in_memory if log is None else log(self.shared),
            clock=clock.us, monotonic=clock.monotonic,
        )  # fmt: skip
        self.clock = clock
        self._running.start()

    def jump(self, seconds: float) -> None:
        """So much time has passed for the leases that it watches, and for its own next beat."""
        self._ahead_s += seconds
        self.shared.keep(())

    def _shared_monotonic(self) -> float:
        return time.monotonic() + self._ahead_s

    def _append(self, payloads: Sequence[Payload]) -> None:
        self.log.commit(payloads, (), ())

    def _produce(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        self.log.commit((), [decode_kept(body) for _, body in records], ())

    def _run_shared(self) -> None:
        try:
            self.shared.run()
        except BaseException as failure:
            self.failure = failure

    def end(self) -> None:
        super().end()
        self.shared.stop()
        self._running.join(WAIT_S)
        assert not self._running.is_alive()


class Doors:
    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.clock = Clock()
        self._open: list[OneDoor] = []

    def open(self, name: str, settings: dict[str, Any] | None = None, **lease: float) -> OneDoor:
        """A door; after each the clock moves on, so that no two clients come at the same time."""
        door = OneDoor(self.dsn, name, self.clock, settings or {}, **lease)
        self._open.append(door)
        return door

    def end(self) -> None:
        for door in self._open:
            door.end()
        for door in self._open:
            if door.failure is not None:
                raise door.failure


@contextmanager
def several_doors(dsn: str) -> Iterator[Doors]:
    doors = Doors(dsn)
    try:
        yield doors
    finally:
        doors.end()
