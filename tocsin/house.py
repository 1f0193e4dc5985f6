"""The house's time in a process that writes no ticks."""

from __future__ import annotations

import threading

from streams.ticks import Clock, HouseTime

_COMPARE_S = 1.0


class House:
    """`now_us` from any thread; `run` compares with the wall clock once a second until `stop`."""

    def __init__(self, clock: Clock, after_us: int = 0) -> None:
        """after_us: the latest time in the log, if the house should go on behind it."""
        self._clock = clock
        self._time = HouseTime(after_us, clock.wall_us(), clock.monotonic_us())
        self._stopping = threading.Event()

    def now_us(self) -> int:
        return self._time.at(self._clock.monotonic_us())

    def run(self) -> None:
        while not self._stopping.wait(_COMPARE_S):
            self._time.compare(self._clock.wall_us(), self._clock.monotonic_us())

    def stop(self) -> None:
        self._stopping.set()
