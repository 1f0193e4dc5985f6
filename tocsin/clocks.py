"""The process's clock: the machine's, or one that a test can step or lead."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from schemas.errors import ConfigError
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


class LedClock:
    """A clock that stands still until somebody moves it; every process that maps its file sees the same time."""

    _LOOK_S = 0.001
    _US = struct.Struct("<q")

    def __init__(self, file: Path) -> None:
        """file: as `create` made it. Raises OSError or ValueError when it is something else."""
        with file.open("r+b") as opened:
            self._time = mmap.mmap(opened.fileno(), self._US.size)

    @classmethod
    def create(cls, file: Path, start_us: int) -> LedClock:
        file.write_bytes(cls._US.pack(start_us))
        return cls(file)

    def move_to(self, us: int) -> None:
        self._time[:] = self._US.pack(us)

    def wall_us(self) -> int:
        return int(self._US.unpack_from(self._time)[0])

    def monotonic_us(self) -> int:
        return self.wall_us()

    def wait_s(self, us: int) -> float:
        """How long it will be nobody knows: look again soon."""
        return self._LOOK_S if us > 0 else 0.0


def clock_of(file: Path | None, led_clock: Path | None = None) -> Clock:
    """Raises ConfigError where `led_clock` is no such file."""
    if led_clock is None:
        return SystemClock() if file is None else SteppedClock(file)
    try:
        return LedClock(led_clock)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{led_clock} is no clock: {error}", field="TOCSIN_LED_CLOCK") from error
