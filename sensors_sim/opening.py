"""How busy each minute of a shop's week is: its opening hours, with the activity of a day and of the weekdays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from schemas.hours import DAY_MIN, parse_hours

WEEK_MIN = 7 * DAY_MIN
AROUND_MIN = 30
"""Who opens at ten is there at half past nine, and half an hour after closing the last one leaves."""


def week_of(hours: str) -> npt.NDArray[np.bool_]:
    """Which minutes of the week from Monday are open, (10080,). Raises ConfigError when the text is not understood."""
    read = parse_hours(hours)
    week = np.full(WEEK_MIN, read is None)
    for day, intervals in enumerate(read.week if read else ()):
        for start, end in intervals:
            week[np.arange(day * DAY_MIN + start, day * DAY_MIN + end) % WEEK_MIN] = True
    return week


def busy_week(
    hours: str, activity: tuple[tuple[float, float], ...], weekdays: tuple[float, ...]
) -> npt.NDArray[np.float32]:
    """How busy each minute of the week is, (10080,): the activity of a day, by weekday, while somebody is there."""
    minute = np.arange(WEEK_MIN)
    at, busy = zip(*activity, strict=True)
    day = np.interp((minute % DAY_MIN) / 60.0, at, busy, period=24.0)
    inside = week_of(hours).astype(np.float64)
    # open, widened by half an hour on both sides, with sloping ends
    kernel = np.ones(2 * AROUND_MIN + 1)
    reach = np.convolve(np.concatenate([inside[-AROUND_MIN:], inside, inside[:AROUND_MIN]]), kernel, "valid")
    there = np.clip(reach / (AROUND_MIN + 1), 0.0, 1.0)
    busy_by_minute: npt.NDArray[np.float32] = (day * np.asarray(weekdays)[minute // DAY_MIN] * there).astype(np.float32)
    return busy_by_minute
