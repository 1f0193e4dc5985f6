"""The process's clock: the machine's, one that a test can step or lead, or one that runs faster than the machine's."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from schemas.errors import ConfigError
from streams.ticks import Clock, SystemClock

_LED_BYTES = 8


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


class FastClock(SystemClock):
    """Start + speed × elapsed: every process that reads its file sees the same time, and seconds pass faster."""

    _FORM = struct.Struct("<qqd")

    def __init__(self, file: Path) -> None:
        """file: as `create` made it. Raises OSError or ValueError when it is something else, or not of this boot."""
        try:
            start_us, began_us, speed = self._FORM.unpack(file.read_bytes())
        except struct.error as error:
            raise ValueError(str(error)) from error
        self._start_us, self._began_us, self.speed = int(start_us), int(began_us), float(speed)
        if self.speed <= 0 or super().monotonic_us() < self._began_us:
            raise ValueError("it was made before this machine was last started")

    @classmethod
    def create(cls, file: Path, start_us: int, speed: float) -> FastClock:
        """start_us: what it shows now."""
        file.write_bytes(cls._FORM.pack(start_us, SystemClock().monotonic_us(), speed))
        return cls(file)

    def wall_us(self) -> int:
        return self._start_us + int((super().monotonic_us() - self._began_us) * self.speed)

    def monotonic_us(self) -> int:
        return self.wall_us()

    def wait_s(self, us: int) -> float:
        return super().wait_s(us) / self.speed


def clock_of(file: Path | None, led_clock: Path | None = None) -> Clock:
    """led_clock: a file of LedClock or FastClock. Raises ConfigError where it is neither."""
    if led_clock is None:
        return SystemClock() if file is None else SteppedClock(file)
    try:
        return LedClock(led_clock) if led_clock.stat().st_size <= _LED_BYTES else FastClock(led_clock)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{led_clock} is no clock: {error}", field="TOCSIN_LED_CLOCK") from error
