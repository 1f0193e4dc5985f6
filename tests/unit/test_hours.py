"""Opening hours: what they say, when they change, and what is refused by name of the part."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from schemas.errors import ConfigError
from schemas.hours import Hours, is_open, is_open_at, next_change, parse_hours

MONDAY = datetime(2026, 11, 30)


def hours(text: str) -> Hours:
    parsed = parse_hours(text)
    assert parsed is not None
    return parsed


@pytest.mark.parametrize(
    ("text", "day", "time", "expected"),
    [
        ("Mo-Fr 08:00-18:00; Sa 09:00-12:00", 30, "08:00", True),
        ("Mo-Fr 08:00-18:00; Sa 09:00-12:00", 30, "07:59", False),
        ("Mo-Fr 08:00-18:00; Sa 09:00-12:00", 30, "18:00", False),
        ("Mo-Fr 08:00-18:00; Sa 09:00-12:00", 28, "11:59", True),
        ("Mo-Fr 08:00-18:00; Sa 09:00-12:00", 29, "11:59", False),
        ("Mo 17:00-02:00", 30, "23:30", True),
        ("Mo 17:00-02:00", 30, "01:30", False),
        ("Su 17:00-02:00", 30, "01:30", True),
        ("Su 17:00-26:00", 30, "02:00", False),
        ("Mo-Su 11:00-14:00,17:00-22:00", 30, "15:00", False),
        ("Mo-Su 11:00-14:00, 17:00-22:00", 30, "21:59", True),
        ("Fr-Mo 10:00-12:00", 30, "11:00", True),
        ("Mo, We 08:00-18:00", 30, "12:00", True),
        ("08:00-18:00; Mo off", 30, "12:00", False),
        ("24/7", 30, "03:00", True),
        ("24/7; Mo 08:00-18:00", 30, "03:00", False),
        ("Mo 00:00-24:00", 30, "23:59", True),
        ("off", 30, "12:00", False),
        ("Mo-Fr 8:00 - 18:00", 30, "08:00", True),
    ],
)
def test_it_is_open_when_the_text_says_so(text: str, day: int, time: str, expected: bool) -> None:
    """Half open, over midnight, and the later rule replaces the days that it names."""
    at = MONDAY.replace(day=day, hour=int(time[:2]), minute=int(time[3:]))
    assert is_open(hours(text), at) is expected


@pytest.mark.parametrize(
    ("text", "at", "expected"),
    [
        ("Mo-Fr 08:00-18:00", "2026-11-30 07:00", "2026-11-30 08:00"),
        ("Mo-Fr 08:00-18:00", "2026-11-30 08:00", "2026-11-30 18:00"),
        ("Mo-Fr 08:00-18:00", "2026-11-27 18:00", "2026-11-30 08:00"),
        ("Mo-Su 17:00-02:00", "2026-11-30 23:00", "2026-12-01 02:00"),
        ("Mo 08:00-09:00", "2026-11-30 09:30", "2026-12-07 08:00"),
        ("Mo 08:00-24:00; Tu 00:00-03:00", "2026-11-30 09:30", "2026-12-01 03:00"),
    ],
)
def test_the_next_change_is_found(text: str, at: str, expected: str) -> None:
    """A message waits until somebody may be called; two intervals that touch are one."""
    assert next_change(hours(text), datetime.fromisoformat(at)) == datetime.fromisoformat(expected)


@pytest.mark.parametrize("text", ["24/7", "off", "Mo-Su 00:00-24:00", "Mo-Su 12:00-36:00"])
def test_what_never_changes_has_no_next_change(text: str) -> None:
    """Else who waits for it waits for ever."""
    assert next_change(hours(text), MONDAY) is None


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("Mo-Fr", "Mo-Fr"),
        ("Mo-Fr 8-18", "8-18"),
        ("Mo-Fr 08:00-18:00; PH off", "PH"),
        ("Mo-Fr 08:00-18:00; Xx off", "Xx"),
        ("Mo-Xx 08:00-18:00", "Xx"),
        ("Mo 08:00-08:00", "08:00-08:00"),
        ("Mo 25:00-26:00", "25:00-26:00"),
        ("Mo 08:60-18:00", "08:60-18:00"),
        ("Mo 08:00-18:00,", "''"),
        ("周一 08:00-18:00", "周一"),
        ("sunrise-sunset", "sunrise"),
        ('Mo 08:00-18:00 "by appointment"', '"'),
        ("Mo 08:00+", "+"),
        ("-", "'-'"),
        ("Mo-Fr 08:00-18:00 open", "open"),
        ("Mo 01:00-48:00", "01:00-48:00"),
        ("x" * 500, "characters"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, part: str) -> None:
    """The person who typed it looks for the part, not for the rule."""
    with pytest.raises(ConfigError) as refused:
        parse_hours(text)
    assert part in str(refused.value)
    assert refused.value.field == "hours"


def test_no_hours_are_not_known() -> None:
    """Not known is neither open nor closed."""
    assert parse_hours("") is None
    assert is_open_at("", "Asia/Shanghai", 0) is None
    assert is_open_at("24/7", "Asia/Nowhere", 0) is None
    assert is_open_at("24/7", "../etc/passwd", 0) is None
    assert is_open_at("PH off", "Asia/Shanghai", 0) is None


def test_the_wall_clock_is_the_enterprises_own() -> None:
    """Noon in Shanghai is four in the morning of UTC."""
    at_us = int(datetime(2026, 11, 30, 4, 0, tzinfo=UTC).timestamp() * 1e6)
    assert is_open_at("Mo 11:30-12:30", "Asia/Shanghai", at_us) is True
    assert is_open_at("Mo 11:30-12:30", "Europe/Berlin", at_us) is False
