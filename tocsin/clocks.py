"""The process's clock: the machine's, or one that a test can step."""

from __future__ import annotations

from pathlib import Path

from schemas.errors import ConfigError
from streams.ticks import Clock, SpeedClock, SystemClock


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


def clock_of(file: Path | None, speed_clock: str = "") -> Clock:
    """speed_clock: `START_US:ZERO_US:SPEED`, see `SpeedClock`. Raises ConfigError for anything else."""
    if not speed_clock:
        return SystemClock() if file is None else SteppedClock(file)
    try:
        start_us, zero_us, speed = speed_clock.split(":")
        return SpeedClock(int(start_us), float(speed), zero_us=int(zero_us))
    except ValueError as error:
        raise ConfigError(
            f"{speed_clock!r} is no clock.", field="TOCSIN_SPEED_CLOCK", mend="Write START_US:ZERO_US:SPEED."
        ) from error
