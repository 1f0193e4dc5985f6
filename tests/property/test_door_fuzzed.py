"""A second of each fuzzer; `tests/fuzz` runs them for as long as one likes."""

from __future__ import annotations

from tests.fuzz import fuzz_door, fuzz_scan


def test_the_scan_over_torn_streams() -> None:
    assert fuzz_scan.fuzz(seconds=1.0, seed=3) == 0


def test_a_running_door_with_torn_sessions() -> None:
    assert fuzz_door.fuzz(seconds=2.0, seed=3) == 0
