"""Opening hours as OpenStreetMap writes them: read, ask whether it is open, ask when that changes. Pure.

A subset of the `opening_hours` language, which covers a shop's week:

    Mo-Fr 08:00-18:00; Sa 09:00-12:00      days, then times; rules are parted by semicolons
    Mo-Su 11:00-14:00,17:00-02:00          several times a day; the second goes on after midnight
    08:00-18:00; We off                    no days: every day; a later rule replaces the days that it names
    24/7                                   always

Times are wall clock times of the enterprise's own time zone; intervals are half open. The empty text is "not known".
Public holidays, weeks, months and comments are refused: who reads them as nothing would call a night guard at noon.
Source: wiki.openstreetmap.org/wiki/Key:opening_hours/specification
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from schemas.errors import ConfigError

DAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
DAY_MIN = 24 * 60
LONGEST = 200
"""Characters of a text."""

_TIMES = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})\Z", re.ASCII)
_CLOSED = frozenset({"off", "closed"})
_FOREIGN = re.compile(r"\b(PH|SH|week|easter|sunrise|sunset|dawn|dusk|unknown|open)\b|[\"|+\[]", re.IGNORECASE)
_MEND = "Write it like `Mo-Fr 08:00-18:00; Sa 09:00-12:00`, or `24/7`; leave it empty if not known."

Interval = tuple[int, int]
"""From, until: minutes since the day's midnight; until may lie in the next day (up to 48 h)."""


@dataclass(frozen=True, slots=True)
class Hours:
    """A week: for each day, Monday first, the intervals that begin on it, in order."""

    week: tuple[tuple[Interval, ...], ...]


NEVER = Hours(((),) * 7)
ALWAYS = Hours((((0, DAY_MIN),),) * 7)


@lru_cache(maxsize=4096)
def parse_hours(text: str) -> Hours | None:
    """The hours that `text` says; None when it is empty, which is "not known".

    Raises ConfigError that names the part which cannot be read.
    """
    if not text.strip():
        return None
    if len(text) > LONGEST:
        raise ConfigError(f"hours may have {LONGEST} characters.", field="hours", mend=_MEND)
    week: list[tuple[Interval, ...]] = [()] * 7
    for rule in text.split(";"):
        if rule.strip():
            days, intervals = _rule(rule.strip())
            for day in days:
                week[day] = intervals
    return Hours(tuple(week))


def is_open(hours: Hours, at: datetime) -> bool:
    """Whether it is open at the wall clock time `at`."""
    minute = at.hour * 60 + at.minute
    today, yesterday = hours.week[at.weekday()], hours.week[at.weekday() - 1]
    return any(start <= minute < end for start, end in today) or any(
        start <= minute + DAY_MIN < end for start, end in yesterday
    )


def next_change(hours: Hours, at: datetime) -> datetime | None:
    """The first wall clock time after `at` at which it opens or closes; None when it never does."""
    now_open = is_open(hours, at)
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    for edge in sorted(set(_edges(hours, midnight))):
        if edge > at and is_open(hours, edge) is not now_open:
            return edge
    return None


def is_open_at(text: str, timezone: str, at_us: int) -> bool | None:
    """Whether it is open at `at_us` (µs since 1970); None when the hours or the time zone are not known."""
    hours = hours_or_none(text)
    if hours is None:
        return None
    try:
        zone = ZoneInfo(timezone)
    except (ValueError, OSError, KeyError):
        return None
    return is_open(hours, datetime.fromtimestamp(at_us / 1e6, UTC).astimezone(zone))


def hours_or_none(text: str) -> Hours | None:
    """The hours, or None when they are not known or not ours to read: for readers of what is already kept."""
    try:
        return parse_hours(text)
    except ConfigError:
        return None


def _edges(hours: Hours, midnight: datetime) -> Iterator[datetime]:
    """Where intervals begin and end, from yesterday's to those of the same day next week."""
    for ahead in range(-1, 9):
        day = midnight + timedelta(days=ahead)
        for interval in hours.week[day.weekday()]:
            yield from (day + timedelta(minutes=minute) for minute in interval)


def _rule(rule: str) -> tuple[list[int], tuple[Interval, ...]]:
    """The days of one rule, and their intervals."""
    if rule == "24/7":
        return list(range(7)), ALWAYS.week[0]
    if found := _FOREIGN.search(rule.replace("24/7", "")):
        raise _wrong(found.group(0), "is not understood here")
    first, _, rest = rule.partition(" ")
    if first[0].isdigit() or first.lower() in _CLOSED:
        days, times = list(range(7)), rule
    else:
        # A space may stand behind the comma of days: `Mo, We 08:00-18:00`.
        while rest and first.rstrip().endswith(","):
            more, _, rest = rest.strip().partition(" ")
            first += more
        days, times = _days(first), rest.strip()
    if not times:
        raise _wrong(rule, "names days without times")
    if times.lower() in _CLOSED:
        return days, ()
    if times == "24/7":
        return days, ALWAYS.week[0]
    return days, tuple(sorted(_interval(part.strip()) for part in times.split(",")))


def _days(text: str) -> list[int]:
    days: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        for name in (first, last) if dash else (first,):
            if name not in DAYS:
                raise _wrong(name or part, f"is not a day; days are {' '.join(DAYS)}")
        start, end = DAYS.index(first), DAYS.index(last if dash else first)
        days += [day % 7 for day in range(start, end + 1 if end >= start else end + 8)]
    return days


def _interval(part: str) -> Interval:
    found = _TIMES.match(part)
    if found is None:
        raise _wrong(part, "is not a time like 08:00-18:00")
    start_h, start_min, end_h, end_min = (int(group) for group in found.groups())
    start, end = start_h * 60 + start_min, end_h * 60 + end_min
    if start_min > 59 or end_min > 59 or start >= DAY_MIN or end > 2 * DAY_MIN:
        raise _wrong(part, "is not a time of the day")
    if end == start:
        raise _wrong(part, "ends when it begins; a whole day is 00:00-24:00")
    end += DAY_MIN if end < start else 0
    if end - start > DAY_MIN:
        raise _wrong(part, "is longer than a day")
    return start, end


def _wrong(part: str, why: str) -> ConfigError:
    return ConfigError(f"{_short(part)!r} {why}.", field="hours", mend=_MEND)


def _short(part: str) -> str:
    return part if len(part) <= 24 else part[:23] + "…"
