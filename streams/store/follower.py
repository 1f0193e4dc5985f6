"""Follows the log, all its partitions: gathers for a moment, so that blocks are large, and has them written."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from schemas.entries import Entry, Sensors, Tick
from schemas.readings import ReadingBatch
from streams.ports import PartitionsReader
from streams.store.heard import Heard
from streams.store.parts import HOUR_US
from streams.store.writer import BlockWriter

GATHER_S = 2.0
"""One commit in so many seconds: everything is stored within a few, and blocks are large where there is much."""
BLOCK_READINGS = 500_000
"""A block is written at once when it has as many: about 100 MB of memory on its way."""
_ENTRIES = 128
_LOOK_EVERY_S = 0.25
_WAITS_US = HOUR_US


class Follower:
    """One consumer of the log: `run` until `stop` is set. What was gathered by then is written."""

    def __init__(
        self,
        reader: PartitionsReader,
        writer: BlockWriter,
        heard: Heard | None = None,
        *,
        gather_s: float = GATHER_S,
        block_readings: int = BLOCK_READINGS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._heard = heard
        self._gather_s = gather_s
        self._block_readings = block_readings
        self._clock = clock
        self._place = dict(writer.place)
        self._streams = dict.fromkeys(self._place, writer.stream_us)
        self._batches: list[ReadingBatch] = []
        self._readings = 0
        self._written_at = clock() - gather_s
        self._rate = 0.0

    def run(self, stop: threading.Event, check: Callable[[], None]) -> None:
        """check: called every round, raises when the work behind has failed.

        Raises Fenced, ServiceAway or CorruptState; then it and its writer are of no more use.
        """
        while not stop.is_set():
            check()
            more = self.gather()
            if self.is_due():
                self.write()
            elif not more:
                self._pause(stop)
        self.write()

    def gather(self) -> bool:
        """Read some entries; True when there may be more at once."""
        entries = self._reader.read(self._place, _ENTRIES)
        for entry in entries:
            self._take(entry)
        return len(entries) == _ENTRIES

    def is_due(self) -> bool:
        """The first after a silence is written at once, then one block every `gather_s`."""
        if self._place == self._writer.place:
            return False
        return self._readings >= self._block_readings or self._clock() - self._written_at >= self._gather_s

    def write(self) -> None:
        """Commit what was gathered."""
        if self._place == self._writer.place:
            return
        now = self._clock()
        span_s = max(now - self._written_at, 1e-3)
        # Smoothed, so that the lengths of parts do not flutter.
        self._rate += (min(self._readings / span_s, 1e7) - self._rate) * min(1.0, span_s / 30.0)
        if self._heard is not None:
            self._heard.write()
        self._writer.write(ReadingBatch.concat(self._batches), self._place, self._stream_us(), self._rate)
        self._batches.clear()
        self._readings = 0
        self._written_at = now

    def _take(self, entry: Entry) -> None:
        self._place[entry.partition] = entry.number
        if isinstance(entry.payload, ReadingBatch):
            if len(entry.payload):
                self._batches.append(entry.payload)
                self._readings += len(entry.payload)
                self._advance(entry.partition, int(entry.payload.arrival_time.max()))
        elif isinstance(entry.payload, Sensors) and self._heard is not None:
            self._heard.note(entry.payload)
        elif isinstance(entry.payload, Tick):
            self._advance(entry.partition, entry.payload.now_us)

    def _advance(self, partition: int, now_us: int) -> None:
        self._streams[partition] = max(self._streams[partition], now_us)

    def _stream_us(self) -> int:
        """That of the hindmost partition, so no part closes on readings that are still to come; but a partition that
        stands still holds the closing up for no longer than `_WAITS_US`."""
        return max(min(self._streams.values()), max(self._streams.values()) - _WAITS_US)

    def _pause(self, stop: threading.Event) -> None:
        if self._place == self._writer.place:
            self._reader.wait(self._place, _LOOK_EVERY_S)
        else:
            stop.wait(min(_LOOK_EVERY_S, max(0.0, self._gather_s - (self._clock() - self._written_at))))
