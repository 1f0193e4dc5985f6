"""The process's clock: the machine's, or one that a test can step."""

from __future__ import annotations

from pathlib import Path

from streams.ticks import Clock, SystemClock


class SteppedClock(SystemClock):
    """The machine's clock, whose wall time is off by the seconds that stand in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def wall_us(self) -> int:
        try:
            offset_s = float(self._file.read_text())
        except (OSError, ValueError):
            offset_s = 0.0
        return super().wall_us() + int(offset_s * 1e6)


def clock_of(file: Path | None) -> Clock:
    return SystemClock() if file is None else SteppedClock(file)
