"""The time that a device gives: `ts` as epoch milliseconds or RFC 3339, the obvious way and over bytes.

Both give microseconds since 1970, UTC, or say that they cannot. The compiled one reads the usual forms only and
leaves the rest to the other; where it reads, they agree.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np

from scoring.compiled import inlined

YEAR_2000_US = 946_684_800_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))\Z"
)
_LARGEST_MS_DIGITS = 19
"""Powers of ten beyond any unit that a clock is sent in (nanoseconds now are 2·10^18)."""


def microseconds_of_number(text: str) -> int | None:
    """Epoch milliseconds as a JSON number's text, to the nearest microsecond (ties to even); None beyond all units."""
    try:
        value = Decimal(text)
    except InvalidOperation:  # an exponent beyond anything that Decimal holds
        return None
    if value.is_zero() or value.adjusted() < -6:
        return 0
    return round(value * 1000) if value.adjusted() <= _LARGEST_MS_DIGITS else None


def microseconds_of_text(text: str) -> int | None:
    """RFC 3339, to the microsecond below; a leap second is the next second's start; None when it is not one."""
    match = _RFC3339.match(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, sign, away_h, away_min = match.groups()[6:]
    if second > 60 or (away_h is not None and (int(away_h) > 23 or int(away_min) > 59)):
        return None
    try:
        whole = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError:
        return None
    us = (whole - _EPOCH) // timedelta(microseconds=1) + (1_000_000 if second == 60 else 0)
    us += int((fraction or "0")[:6].ljust(6, "0"))
    if sign is not None:
        away_us = (int(away_h) * 60 + int(away_min)) * 60_000_000
        us += -away_us if sign == "+" else away_us
    return us


@inlined
def _two(data: Any, at: Any) -> Any:
    """Two digits as a number, or a negative one."""
    high, low = np.int64(data[at]) - 48, np.int64(data[at + 1]) - 48
    return high * 10 + low if 0 <= high <= 9 and 0 <= low <= 9 else np.int64(-10000)


@inlined
def read_rfc3339(data: Any, start: Any, end: Any) -> Any:
    """`YYYY-MM-DDThh:mm:ss[.f{1,6}](Z|+hh:mm|-hh:mm)` in `data[start:end]`: µs since 1970, -1 when not sure."""
    if end - start < 20:
        return np.int64(-1)
    year = _two(data, start) * 100 + _two(data, start + 2)
    month, day = _two(data, start + 5), _two(data, start + 8)
    hour, minute, second = _two(data, start + 11), _two(data, start + 14), _two(data, start + 17)
    if (
        data[start + 4] != 45 or data[start + 7] != 45 or data[start + 10] != 84
        or data[start + 13] != 58 or data[start + 16] != 58
    ):  # fmt: skip
        return np.int64(-1)
    if year < 1970 or month < 1 or month > 12 or day < 1 or hour < 0 or hour > 23:
        return np.int64(-1)
    if minute < 0 or minute > 59 or second < 0 or second > 59:
        return np.int64(-1)
    leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
    longest = 31 - ((month - 1) % 7) % 2
    if month == 2:
        longest = 29 if leap else 28
    if day > longest:
        return np.int64(-1)
    at = start + 19
    fraction = np.int64(0)
    if data[at] == 46:
        at += 1
        scale = np.int64(100_000)
        while at < end and 48 <= data[at] <= 57:
            if scale == 0:
                return np.int64(-1)
            fraction += (np.int64(data[at]) - 48) * scale
            scale //= 10
            at += 1
        if scale == 100_000:
            return np.int64(-1)
    away = np.int64(0)
    if at == end - 1 and data[at] == 90:
        away = np.int64(0)
    elif at == end - 6 and (data[at] == 43 or data[at] == 45) and data[at + 3] == 58:
        hours, minutes = _two(data, at + 1), _two(data, at + 4)
        if hours < 0 or hours > 23 or minutes < 0 or minutes > 59:
            return np.int64(-1)
        away = (hours * 60 + minutes) if data[at] == 43 else -(hours * 60 + minutes)
    else:
        return np.int64(-1)
    # Days since 1970 by counting years from March, so that the leap day is the last of its year.
    shifted = year - (1 if month <= 2 else 0)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days = 365 * shifted + shifted // 4 - shifted // 100 + shifted // 400 + of_year - 719_468
    seconds = ((days * 24 + hour) * 60 + minute - away) * 60 + second
    return max(np.int64(-1), seconds * 1_000_000 + fraction)
