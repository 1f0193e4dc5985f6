"""The thread that writes the ticks, and the way back to the log's time after a restart."""

from __future__ import annotations

import threading

import structlog

from schemas.entries import ClockStepped, Entry, Tick
from schemas.errors import Fenced, OutcomeUnknown, ServiceAway
from schemas.readings import ReadingBatch
from streams.ports import Appender, LogReader
from streams.ticks import Clock, HouseTime, Ticker

_STRIDE = 64
_log = structlog.get_logger(__name__)


def last_logged_us(reader: LogReader, head: int, first: int = 1) -> int:
    """The latest time that the log holds, 0 when it is empty; head, first: numbers of its last and its first entry.

    The last tick, or an arrival near it: a batch that waits for the writer's lock beside a tick may be the later.
    """
    last = 0
    above = head
    while above >= first:
        below = max(first - 1, above - _STRIDE)
        entries = _between(reader, below, above)
        for entry in entries:
            if isinstance(entry.payload, Tick):
                last = max(last, entry.payload.now_us)
            elif isinstance(entry.payload, ReadingBatch) and len(entry.payload):
                last = max(last, int(entry.payload.arrival_time.max()))
        # Beyond the stride that has the last tick nothing is newer; nor is there anything below the retention.
        if not entries or any(isinstance(entry.payload, Tick) for entry in entries):
            break
        above = below
    return last


def _between(reader: LogReader, below: int, above: int) -> list[Entry]:
    """The entries above `below` and not above `above`; one read may bring fewer."""
    found: list[Entry] = []
    at = below
    while at < above and (entries := reader.read(at, above - at)):
        found += [entry for entry in entries if entry.number <= above]
        at = entries[-1].number
    return found


def run_ticks(writer: Appender, clock: Clock, house: HouseTime, stop: threading.Event) -> None:
    """Write a tick a second until `stop`, into every partition. While the log is away there are none. Raises Fenced."""
    ticker = Ticker(house, clock.monotonic_us())
    steps: list[ClockStepped] = []
    while not stop.wait(clock.wait_s(ticker.due_in_us(clock.monotonic_us()))):
        # In this order: when it is time for a tick, the wall clock was not read before it was.
        monotonic_us = clock.monotonic_us()
        tick, step = ticker.tick(clock.wall_us(), monotonic_us)
        if tick is None:
            continue
        if step is not None:
            # A step is told even if the log was away when it was seen.
            steps.append(step)
        try:
            writer.append([*steps, tick])
            steps.clear()
        except (ServiceAway, OutcomeUnknown) as error:
            _log.warning("tick_lost", error=error.what)
        except Fenced:
            if stop.is_set():
                return
            raise
