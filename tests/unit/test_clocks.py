"""Clocks of a process other than the machine's."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import ConfigError
from tocsin.clocks import LedClock, clock_of

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
