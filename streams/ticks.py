"""The house's time: what ticks say and the door's stamps follow. It never goes back and never stands still.

It runs by the monotonic clock, since a wall clock may be set by anyone at any moment, and timers must not notice. Small
differences to the wall clock are made up slowly. A step of more than 10 s is told in the log at once, but doubted for
ten minutes, for as many are undone as are right; then it is followed: forward at once, which shows as a hole in the
ticks, back by running at nine tenths, so that no on-delay stops while the house is ahead.

Everything here is pure: it is told what the clocks say.
"""

from __future__ import annotations

import time
from typing import Protocol

from schemas.entries import ClockStepped, Tick

SECOND_US = 1_000_000
STEP_US = 10 * SECOND_US
"""A difference to the wall clock above this is a step."""
DOUBT_US = 600 * SECOND_US
"""So long a step must have stood before it is followed."""
_SLEW = 0.005
"""Small differences are made up by at most 5 ms a second."""
_BACK = 0.1
"""Of a step back, 100 ms a second."""


class Clock(Protocol):
    """Where time comes from; `wait_s` turns µs of this clock into real seconds to wait."""

    def wall_us(self) -> int: ...

    def monotonic_us(self) -> int: ...

    def wait_s(self, us: int) -> float: ...


class SystemClock:
    """The machine's clocks; the monotonic one counts a suspended machine's sleep, too."""

    def wall_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic_us(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000

    def wait_s(self, us: int) -> float:
        return us / SECOND_US


class HouseTime:
    """The house's time as a line through (monotonic, house) whose slope is near one."""

    def __init__(self, last_us: int, wall_us: int, monotonic_us: int) -> None:
        """last_us: the latest time in the log, 0 where it is empty; the house goes on after it."""
        start = max(wall_us, last_us + 1)
        self._line = (start, monotonic_us, 1.0)
        """House, monotonic, slope: one object, since the door reads while the ticker compares."""
        self._offset = wall_us - start
        """Wall clock minus house when last compared; a change of it is a step."""
        self._stepped_at: int | None = None if self._offset >= -STEP_US else monotonic_us - DOUBT_US

    def at(self, monotonic_us: int) -> int:
        """The house's time at a reading of the monotonic clock, not before the one last compared."""
        house, since, slope = self._line
        return house + int(max(0, monotonic_us - since) * slope)

    def compare(self, wall_us: int, monotonic_us: int) -> ClockStepped | None:
        """Look at the wall clock, about once a second; says so when it has stepped since the last look."""
        house = self.at(monotonic_us)
        offset = wall_us - house
        by = offset - self._offset
        stepped = abs(by) > STEP_US
        if stepped:
            self._stepped_at = monotonic_us
        if abs(offset) <= STEP_US:
            self._stepped_at = None
        elif self._stepped_at is None:
            self._stepped_at = monotonic_us
        believed = self._stepped_at is None or monotonic_us - self._stepped_at >= DOUBT_US
        if believed and offset > STEP_US:
            house, offset = wall_us, 0
            self._stepped_at = None
        self._offset = offset
        self._line = (house, monotonic_us, self._slope(offset, believed))
        return ClockStepped(by, house) if stepped else None

    @staticmethod
    def _slope(offset: int, believed: bool) -> float:
        if not believed:
            return 1.0
        if offset < -STEP_US:
            return 1.0 - _BACK
        return 1.0 + max(-_SLEW, min(_SLEW, offset / SECOND_US))


class Ticker:
    """One tick a second of the monotonic clock. A tick that could not be logged is not made up for: it is a hole."""

    def __init__(self, house: HouseTime, monotonic_us: int) -> None:
        self._house = house
        self._due = monotonic_us

    def due_in_us(self, monotonic_us: int) -> int:
        """µs until the next tick, 0 when it is due."""
        return max(0, self._due - monotonic_us)

    def tick(self, wall_us: int, monotonic_us: int) -> tuple[Tick | None, ClockStepped | None]:
        """The tick to log now, and before it a step of the wall clock; neither before it is due."""
        if monotonic_us < self._due:
            return None, None
        self._due += SECOND_US * (1 + (monotonic_us - self._due) // SECOND_US)
        step = self._house.compare(wall_us, monotonic_us)
        return Tick(self._house.at(monotonic_us)), step
