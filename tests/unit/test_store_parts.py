"""Parts of time: where a reading goes, what is not covered, what is merged."""

from __future__ import annotations

import numpy as np

from streams.store.parts import (
    BUSY_PART_US,
    BUSY_RATE,
    CLOSES_AFTER_US,
    DAY_US,
    HOUR_US,
    MERGE_READINGS,
    PART_US,
    Partition,
    closes_us,
    gaps,
    next_merge,
    parts_of,
    too_old,
)

NOON = 20_000 * DAY_US + 12 * HOUR_US


def partition(start_us: int, end_us: int, readings: int = 1) -> Partition:
    return Partition(f"p{start_us}", start_us, end_us, readings)


def test_each_reading_is_in_exactly_one_part_that_holds_its_time() -> None:
    """Fresh ones in short parts, those of past days in whole days."""
    times = NOON + np.array([0, 1, PART_US - 1, PART_US, -3 * DAY_US, -3 * DAY_US + HOUR_US, -2 * HOUR_US])
    parts = parts_of(times, NOON, 100.0)
    seen = np.zeros(len(times), int)
    for start, end, where in parts:
        assert ((times[where] >= start) & (times[where] < end)).all()
        seen[where] += 1
    assert seen.tolist() == [1] * len(times)
    assert [end - start for start, end, _ in parts] == [DAY_US, PART_US, PART_US, PART_US]


def test_parts_are_shorter_where_much_arrives() -> None:
    """So that no index is built over more than some ten million rows."""
    ((start, end, _),) = parts_of(np.array([NOON]), NOON, BUSY_RATE * 2)
    assert (start, end) == (NOON, NOON + BUSY_PART_US)


def test_a_part_closes_when_nothing_live_can_come_for_it() -> None:
    """Counted from its end, or from when it was made if that was later."""
    assert closes_us(NOON, NOON - 5) == NOON + CLOSES_AFTER_US
    assert closes_us(NOON - DAY_US, NOON) == NOON + CLOSES_AFTER_US


def test_gaps_and_partitions_cover_a_stretch_without_overlap() -> None:
    """Half-open intervals, whatever sticks out at the sides."""
    known = [partition(-5, 10), partition(30, 40), partition(20, 30), partition(90, 200)]
    assert gaps(0, 100, known) == [(10, 20), (40, 90)]
    assert gaps(0, 100, []) == [(0, 100)]
    assert gaps(0, 10, known) == []


def test_hours_are_merged_when_over_and_days_after_them() -> None:
    """Few tables in a day, one for each day of the past."""
    parts = [partition(NOON + k * PART_US, NOON + (k + 1) * PART_US) for k in range(14)]
    assert next_merge(parts, NOON + HOUR_US) == []
    assert next_merge(parts, NOON + HOUR_US + 2 * CLOSES_AFTER_US) == parts[:12]
    merged = [partition(NOON, NOON + HOUR_US, 12), *parts[12:]]
    assert next_merge(merged, NOON + HOUR_US + 2 * CLOSES_AFTER_US) == []
    assert next_merge(merged, NOON + DAY_US) == merged
    assert next_merge([partition(NOON - 12 * HOUR_US, NOON + 12 * HOUR_US)], NOON + 9 * DAY_US) == []


def test_merging_makes_nothing_too_large_and_comes_to_an_end() -> None:
    """A busy day stays in several tables."""
    parts = [partition(NOON + k * PART_US, NOON + (k + 1) * PART_US, MERGE_READINGS // 3) for k in range(12)]
    rounds = 0
    while run := next_merge(parts, NOON + 2 * DAY_US):
        rounds += 1
        whole = partition(run[0].start_us, run[-1].end_us, sum(p.readings for p in run))
        assert whole.readings <= MERGE_READINGS
        parts = sorted([p for p in parts if p not in run] + [whole], key=lambda p: p.start_us)
    assert (rounds, len(parts)) == (4, 4)


def test_a_partition_goes_when_its_last_reading_is_too_old() -> None:
    """Not when its first is."""
    parts = [partition(0, 10), partition(10, 20)]
    assert too_old(parts, 110, 100) == parts[:1]
    assert too_old(parts, 109, 100) == []
