"""What may be said of a district, an enterprise and its zones: each rule with the words for the person. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import lru_cache
from zoneinfo import ZoneInfo

from registry.errors import Problem, shorten
from registry.trades import check_trade
from schemas.enterprises import District, Enterprise, Zone
from schemas.errors import ConfigError
from schemas.hours import parse_hours
from schemas.identity import NAME

_DISTRICT = re.compile(r"\d{2,12}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_NAME_MEND = "Use 1 to 64 letters, digits, dots, dashes or underscores."
LONGEST_NAME = 200
LONGEST_ADDRESS = 500
_YEARS = range(1000, 2101)
_MOST_PEOPLE = 10_000_000
_MOST_M2 = 1e8


def problems_of_district(district: District) -> list[Problem]:
    return [
        *district_problems("code", district.code),
        *text_problems("name", district.name, LONGEST_NAME, needed=True),
        *text_problems("name_en", district.name_en, LONGEST_NAME),
    ]


def problems_of_enterprise(one: Enterprise) -> list[Problem]:
    """Everything that is wrong with it, in the order of its fields; whether its district is known is not asked."""
    return [
        *name_problems("code", one.code),
        *text_problems("name", one.name, LONGEST_NAME, needed=True),
        *text_problems("name_en", one.name_en, LONGEST_NAME),
        *_trade(one.trade),
        *district_problems("district", one.district),
        *text_problems("address", one.address, LONGEST_ADDRESS),
        *text_problems("address_en", one.address_en, LONGEST_ADDRESS),
        *_coordinates(one.longitude, one.latitude),
        *hours_problems("hours", one.hours),
        *_timezone(one.timezone),
        *_number("area_m2", one.area_m2, 0, _MOST_M2),
        *_year("built", one.built),
        *_year("wired", one.wired),
        *_number("people", one.people, 0, _MOST_PEOPLE),
    ]


def problems_of_zone(zone: Zone) -> list[Problem]:
    return [
        *name_problems("enterprise", zone.enterprise),
        *name_problems("zone", zone.zone),
        *text_problems("name", zone.name, LONGEST_NAME, needed=True),
        *text_problems("name_en", zone.name_en, LONGEST_NAME),
        *text_problems("floor", zone.floor, 64),
    ]


def name_problems(field: str, value: str) -> Iterator[Problem]:
    """Of a name that stands in topics."""
    if not value:
        yield Problem(field, "it is empty.", _NAME_MEND)
    elif not NAME.match(value):
        yield Problem(field, f"{shorten(value)!r} cannot stand in a topic.", _NAME_MEND)


def text_problems(field: str, value: str, longest: int, *, needed: bool = False) -> Iterator[Problem]:
    """Of a text for people: one line, as it is shown."""
    if needed and not value.strip():
        yield Problem(field, "it is empty.", "Write what people call it.")
        return
    if len(value) > longest:
        yield Problem(field, f"it has {len(value)} characters.", f"It may have {longest}.")
    if _CONTROL.search(value):
        yield Problem(field, "there is a line break or another control character in it.", "Write it in one line.")
    elif value != value.strip():
        yield Problem(field, "it begins or ends with a space.", "Leave the space out.")


def hours_problems(field: str, value: str) -> Iterator[Problem]:
    try:
        parse_hours(value)
    except ConfigError as error:
        yield Problem(field, _without_field(error), error.mend)


def district_problems(field: str, value: str) -> Iterator[Problem]:
    if not (value.isascii() and _DISTRICT.match(value)):
        yield Problem(
            field, f"{shorten(value)!r} is not the code of a district.", "Use 2 to 12 digits, as in GB/T 2260: 330106."
        )


def _trade(value: str) -> Iterator[Problem]:
    try:
        check_trade(value)
    except ConfigError as error:
        yield Problem("trade", f"{shorten(value)!r}: {_without_field(error)}", error.mend)


def _coordinates(longitude: float | None, latitude: float | None) -> Iterator[Problem]:
    for field, value, most in (("longitude", longitude, 180.0), ("latitude", latitude, 90.0)):
        if value is not None and not -most <= value <= most:
            yield Problem(field, f"{value:g} is outside -{most:g} to {most:g}.", "Use degrees, WGS 84.")
    if (longitude is None) != (latitude is None):
        field = "longitude" if longitude is None else "latitude"
        yield Problem(field, "one of longitude and latitude alone is no place.", "Give both or none.")


def _timezone(value: str) -> Iterator[Problem]:
    if not _is_timezone(value):
        yield Problem("timezone", f"{shorten(value)!r} is not a time zone.", "Use a name like Asia/Shanghai.")


@lru_cache(maxsize=256)
def _is_timezone(value: str) -> bool:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError):
        return False
    return True


def _number(field: str, value: float | None, least: float, most: float) -> Iterator[Problem]:
    if value is not None and not (math.isfinite(value) and least <= value <= most):
        yield Problem(field, f"{value:g} is outside {least:g} to {most:g}.", "Leave it out if not known.")


def _year(field: str, value: int | None) -> Iterator[Problem]:
    if value is not None and value not in _YEARS:
        yield Problem(field, f"{shorten(value)} is not a year.", "Write four digits, or leave it out if not known.")


def _without_field(error: ConfigError) -> str:
    """The sentence alone: the field is named beside it."""
    return error.what.removeprefix(f"{error.field}: ")
