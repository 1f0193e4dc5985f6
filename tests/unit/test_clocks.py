"""Clocks of a process other than the machine's."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest

from schemas.errors import ConfigError
from tocsin.clocks import FastClock, LedClock, clock_of

NOW = 1_790_000_000_000_000


def test_a_led_clock_moves_for_all_who_map_it_and_only_when_led(tmp_path: Path) -> None:
    """Two runs over the same readings have the same arrivals only if no process has a time of its own."""
    hand = LedClock.create(tmp_path / "clock", NOW)
    clock = clock_of(None, led_clock=tmp_path / "clock")
    assert (clock.wall_us(), clock.monotonic_us()) == (NOW, NOW)
    assert 0 < clock.wait_s(5_000_000) <= 0.01, "who waits for it looks again soon"
    assert clock.wait_s(0) == 0.0
    hand.move_to(NOW + 5_000_000)
    assert (clock.wall_us(), clock.monotonic_us()) == (NOW + 5_000_000, NOW + 5_000_000)


def test_a_led_clock_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A process with a clock of its own would not be in step, and nobody would see why."""
    with pytest.raises(ConfigError, match="is no clock"):
        clock_of(None, led_clock=tmp_path / "none")
    (tmp_path / "empty").touch()
    with pytest.raises(ConfigError, match="TOCSIN_LED_CLOCK"):
        clock_of(None, led_clock=tmp_path / "empty")


def test_a_fast_clock_runs_so_many_times_as_fast_and_is_the_same_for_all_who_read_its_file(tmp_path: Path) -> None:
    """Door and simulator must agree on the time, or every reading is late or ahead."""
    FastClock.create(tmp_path / "clock", NOW, 100.0)
    one, other = clock_of(None, tmp_path / "clock"), clock_of(None, tmp_path / "clock")
    before = one.wall_us()
    assert before >= NOW
    assert before <= other.wall_us() <= one.monotonic_us()
    assert one.wait_s(5_000_000) == 0.05
    ours = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    begins = one.wall_us() - ours * 100
    again = one.wall_us() - time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000 * 100
    assert abs(again - begins) < 100_000_000, "its seconds are a hundredth of ours"


def test_a_fast_clock_of_another_boot_is_named(tmp_path: Path) -> None:
    """It counts from the machine's start: after another it would show anything."""
    later_us = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000 + 3_600_000_000
    (tmp_path / "clock").write_bytes(struct.pack("<qqd", NOW, later_us, 10.0))
    with pytest.raises(ConfigError, match="before this machine was last started"):
        clock_of(None, tmp_path / "clock")
