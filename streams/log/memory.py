"""A log in memory: for replays, which need none on disk, and for tests. One object writes and reads."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from schemas.entries import Entry, Payload
from streams.log.tail import Tail
from streams.ports import Alongside


class MemoryLog:
    """Holds every entry until it is dropped; `alongside` has no transaction to join and is refused."""

    def __init__(self) -> None:
        self._tail = Tail(limit_bytes=1 << 62)
        self._lock = threading.Lock()

    def append(self, payloads: Sequence[Payload], alongside: Alongside | None = None) -> int:
        if alongside is not None:
            raise TypeError("a log in memory has no rows to write alongside")
        with self._lock:
            self._tail.extend(payloads, [1] * len(payloads))
            return self._tail.last

    def read(self, after: int, limit: int = 64) -> Sequence[Entry]:
        return self._tail.read(after, limit) or []

    def wait(self, after: int, timeout_s: float) -> bool:
        return self._tail.wait(after, timeout_s)
