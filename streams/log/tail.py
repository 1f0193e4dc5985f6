"""The newest committed entries, kept in memory for the readers of the writer's own process.

A reader that keeps up never asks PostgreSQL and never decodes: it gets the very objects that were appended, and is
woken by their commit.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from schemas.entries import Entry, Payload

LIMIT_BYTES = 12 << 20
"""A second or two of the heaviest load; what is older comes from PostgreSQL."""


class Tail:
    """Entries in one unbroken row of numbers; thread-safe."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit = limit_bytes
        self._entries: deque[tuple[Entry, int]] = deque()
        self._bytes = 0
        self._last = 0
        self._changed = threading.Condition()

    @property
    def last(self) -> int:
        """Number of the newest committed entry."""
        return self._last

    def start(self, last: int) -> None:
        """Continue after `last`; what is held is kept only if it ends there."""
        with self._changed:
            if last != self._last:
                self._entries.clear()
                self._bytes = 0
                self._last = last
            self._changed.notify_all()

    def extend(self, payloads: Sequence[Payload], sizes: Sequence[int]) -> None:
        """Add committed payloads of `sizes` bytes after the last and wake the readers."""
        with self._changed:
            for payload, size in zip(payloads, sizes, strict=True):
                self._last += 1
                self._entries.append((Entry(self._last, payload), size))
                self._bytes += size
            while self._bytes > self._limit and len(self._entries) > 1:
                self._bytes -= self._entries.popleft()[1]
            self._changed.notify_all()

    def read(self, after: int, limit: int) -> list[Entry] | None:
        """At most `limit` entries above `after`; None when some of them are no longer held."""
        with self._changed:
            first = self._last - len(self._entries) + 1
            if after >= self._last:
                return []
            if after + 1 < first:
                return None
            start = after + 1 - first
            stop = min(start + limit, len(self._entries))
            return [self._entries[index][0] for index in range(start, stop)]

    def wait(self, after: int, timeout_s: float) -> bool:
        """Return True as soon as the last entry is above `after`, False after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: self._last > after, timeout_s)
