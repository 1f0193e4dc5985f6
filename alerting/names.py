"""What people call the place of an alarm, in their language and no longer than there is room. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.notifications import Line


def of_language(language: str, name: str, name_en: str) -> str:
    """The name in that language, in the other one where there is none."""
    return (name_en or name) if language == "en" else (name or name_en)


def enterprise_name(line: Line, language: str) -> str:
    place = line.place
    return (place and of_language(language, place.name, place.name_en)) or line.enterprise


def address_of(line: Line, language: str) -> str:
    return of_language(language, line.place.address, line.place.address_en) if line.place else ""


def zone_name(line: Line, language: str) -> str:
    return of_language(language, line.place.zone, line.place.zone_en) if line.place else ""


def device_name(line: Line, language: str) -> str:
    """With the channel where the sensor has one; empty where the enterprise itself is the subject."""
    place = line.place
    name = (place and of_language(language, place.device, place.device_en)) or line.device
    channel = line.subject.rpartition("/")[2].partition(".")[2] if line.measure else ""
    return " ".join(word for word in (name, channel) if word)


def without_suffix(name: str, suffixes: Sequence[str]) -> str:
    """The name of a company without its legal form, unless nothing else is left."""
    for suffix in suffixes:
        short = name.removesuffix(suffix).rstrip(" ,，")
        if short and short != name:
            return short
    return name


def shortened(name: str, most: int, ellipsis: str) -> str:
    """The name in at most `most` characters, cut at its end; at a word's where that loses little."""
    if len(name) <= most:
        return name
    cut = name[: most - len(ellipsis)]
    word = cut.rpartition(" ")[0]
    return (word if len(word) * 2 > most else cut).rstrip(" ,，") + ellipsis
