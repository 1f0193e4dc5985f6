"""A rule pack in words, in every language: what raises, what ends it, why. Made from the rules themselves, so the words
cannot say anything else than the engine does. Names of measures and grades are handed in: they are those of the
messages.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from schemas.measures import BY_NAME
from schemas.rules import Override, Rule, RulePack, Signal
from streams.pack_checks import is_flag_rule

LANGUAGES = ("zh", "en")
_UNITS = {"Cel": "°C", "flag": "", "%vol": "%", "%RH": "%", "%EL": "%"}
_PER_MINUTE = {"Cel": "K/min"}
_COUNTED = {Signal.RANGE: "count_range", Signal.CLOCK: "count_clock"}


@dataclass(frozen=True, slots=True)
class Names:
    """What things are called in one language."""

    language: str
    measures: Mapping[str, str]
    grades: Mapping[str, str]


class Said(msgspec.Struct, frozen=True):
    """One rule in one language."""

    raises: str
    clears: str
    sentence: str


class ExceptionWords(msgspec.Struct, frozen=True):
    """Another version of a rule, for those whom every selector that is not empty fits."""

    heat_class: str
    trade: str
    enterprise: str
    device: str
    off: bool
    grade: str
    latched: bool
    source: str
    source_zh: str
    """Empty where the pack has none."""
    said: dict[str, Said]
    """language → the version in words."""
    whom: dict[str, str]
    """language → for whom it is."""


class RuleWords(msgspec.Struct, frozen=True):
    """A rule with its numbers and its words. Bounds are inclusive, None where there is none."""

    id: str
    measures: list[str]
    """Empty: any measure, or the device."""
    family: str
    kind: str
    grade: str
    signal: str
    latched: bool
    profile: str
    """Not empty: only for devices whose facts name this profile."""
    high: float | None
    low: float | None
    floor: float | None
    clear_high: float | None
    clear_low: float | None
    delay_s: float
    band: bool
    readings: int
    clear_delay_s: float
    clear_readings: int
    source: str
    source_zh: str
    """Empty where the pack has none."""
    said: dict[str, Said]
    """language → the rule in words."""
    exceptions: list[ExceptionWords]


class PackWords(msgspec.Struct, frozen=True):
    name: str
    version: str
    rules: list[RuleWords]


def words_of_pack(pack: RulePack, names: Mapping[str, Names]) -> PackWords:
    """names: language → what things are called in it."""
    exceptions: dict[str, list[Override]] = {}
    for override in pack.overrides:
        exceptions.setdefault(override.rule.id, []).append(override)
    return PackWords(pack.name, pack.version, [_rule(rule, exceptions.get(rule.id, []), names) for rule in pack.rules])


def say(rule: Rule, names: Names) -> Said:
    """The rule in one language."""
    texts = _texts(names.language)
    raises, clears = _raises(rule, names, texts), _clears(rule, texts)
    text = texts["sentence_latched" if rule.latched else "sentence"]
    sentence = text.format(grade=names.grades[rule.grade.word].capitalize(), raises=raises, clears=clears)
    return Said(raises, clears, sentence[0].upper() + sentence[1:])


def bound_of(bound: float, towards: float) -> tuple[bool, float]:
    """(strict, number) of an inclusive bound as a person writes it: one float beside a round number is that number."""
    neighbour = math.nextafter(bound, towards)
    return (True, neighbour) if len(repr(neighbour)) < len(repr(bound)) else (False, bound)


def _rule(rule: Rule, exceptions: list[Override], names: Mapping[str, Names]) -> RuleWords:
    return RuleWords(
        id=rule.id,
        measures=list(rule.measures),
        family=rule.family,
        kind=rule.kind.value,
        grade=rule.grade.word,
        signal=rule.signal.name.lower(),
        latched=rule.latched,
        profile=rule.profile,
        high=_finite(rule.high),
        low=_finite(rule.low),
        floor=_finite(rule.floor),
        clear_high=_finite(rule.clear_high),
        clear_low=_finite(rule.clear_low),
        delay_s=rule.delay_us / 1e6,
        band=rule.band,
        readings=rule.readings,
        clear_delay_s=rule.clear_delay_us / 1e6,
        clear_readings=rule.clear_readings,
        source=rule.source,
        source_zh=rule.source_zh,
        said={language: say(rule, named) for language, named in names.items()},
        exceptions=[_exception(one, names) for one in exceptions],
    )


def _exception(override: Override, names: Mapping[str, Names]) -> ExceptionWords:
    rule = override.rule
    said = {}
    for language, named in names.items():
        off = _texts(language)["off"]
        said[language] = Said(off, off, off) if override.off else say(rule, named)
    return ExceptionWords(
        override.heat_class, override.trade, override.enterprise, override.device, override.off, rule.grade.word,
        rule.latched, rule.source, rule.source_zh, said, {language: _whom(override, language) for language in names},
    )  # fmt: skip


def _whom(override: Override, language: str) -> str:
    texts = _texts(language)
    selectors = ("heat_class", "trade", "enterprise", "device")
    whom = [texts[f"who.{name}"].format(which=getattr(override, name)) for name in selectors if getattr(override, name)]
    return "; ".join(whom) if language == "en" else "，".join(whom)


def _raises(rule: Rule, names: Names, texts: Mapping[str, str]) -> str:
    if rule.signal is Signal.SILENCE:
        who = texts[f"watch.{rule.watch.name.lower()}"]
        text = texts["silent_periods" if rule.periods else "silent"]
        return text.format(who=who, time=_time(rule.high * 1e6, texts), count=f"{rule.periods:g}")
    if rule.signal is Signal.STUCK:
        return texts["stuck"].format(time=_time(rule.high * 1e6, texts))
    if rule.signal in _COUNTED:
        return texts[_COUNTED[rule.signal]].format(count=f"{rule.high:g}")
    if is_flag_rule(rule):
        said = _flags(rule, "flag_true" if math.isfinite(rule.high) else "flag_false", texts)
    else:
        bounds = [
            _bound(rule, rule.low, math.inf, "at_or_below", "below", texts),
            _bound(rule, rule.high, -math.inf, "at_or_above", "above", texts),
        ]
        subject = texts[f"subject.{rule.signal.name.lower()}"].format(measure=_measure(rule, names, texts))
        said = _holds(subject, [bound for bound in bounds if bound], "or", texts)
    if math.isfinite(rule.floor) and rule.signal is Signal.Z:
        said = texts["reserve"].format(said=said, share=f"{100 * rule.floor:g}")
    elif math.isfinite(rule.floor):
        limit = _limit(rule.floor, _unit(rule, Signal.VALUE))
        said = texts["floor"].format(said=said, measure=_measure(rule, names, texts), limit=limit)
    if rule.delay_us:
        said = texts["band" if rule.band else "for"].format(said=said, time=_time(rule.delay_us, texts))
    return texts["readings"].format(said=said, count=rule.readings) if rule.readings > 1 else said


def _clears(rule: Rule, texts: Mapping[str, str]) -> str:
    if rule.signal is Signal.SILENCE:
        return texts["heard_readings" if rule.clear_readings > 1 else "heard"].format(count=rule.clear_readings)
    if rule.signal is Signal.STUCK:
        return texts["changes"]
    if rule.signal in _COUNTED:
        return texts["count_over"]
    if is_flag_rule(rule):
        said = _flags(rule, "flag_true" if math.isfinite(rule.clear_low) else "flag_false", texts)
    else:
        bounds = [
            _bound(rule, rule.clear_low, -math.inf, "at_or_above", "above", texts),
            _bound(rule, rule.clear_high, math.inf, "at_or_below", "below", texts),
        ]
        said = _holds(texts["it"], [bound for bound in bounds if bound], "and", texts)
    if rule.clear_delay_us:
        said = texts["for"].format(said=said, time=_time(rule.clear_delay_us, texts))
    return texts["readings"].format(said=said, count=rule.clear_readings) if rule.clear_readings > 1 else said


def _holds(subject: str, bounds: list[str], joined: str, texts: Mapping[str, str]) -> str:
    bound = bounds[0] if len(bounds) == 1 else texts[joined].format(one=bounds[0], other=bounds[1])
    return texts["holds"].format(subject=subject, bound=bound)


def _flags(rule: Rule, table: str, texts: Mapping[str, str]) -> str:
    said = texts[f"{table}.{rule.measures[0]}"]
    for name in rule.measures[1:]:
        said = texts["or"].format(one=said, other=texts[f"{table}.{name}"])
    return said


def _measure(rule: Rule, names: Names, texts: Mapping[str, str]) -> str:
    named = [names.measures[name] for name in rule.measures]
    if not named:
        return texts["any_measure"]
    said = named[0]
    for name in named[1:]:
        said = texts["or"].format(one=said, other=name)
    return said


def _bound(rule: Rule, bound: float, towards: float, inclusive: str, strict: str, texts: Mapping[str, str]) -> str:
    if not math.isfinite(bound):
        return ""
    is_strict, number = bound_of(bound, towards)
    return texts[strict if is_strict else inclusive].format(limit=_limit(number, _unit(rule, rule.signal)))


def _unit(rule: Rule, signal: Signal) -> str:
    units = {BY_NAME[name].unit for name in rule.measures if name in BY_NAME}
    unit = units.pop() if len(units) == 1 else ""
    if signal in (Signal.RATED, Signal.Z):
        return ""
    if signal is Signal.RATE:
        return _PER_MINUTE.get(unit, f"{unit}/min")
    return _UNITS.get(unit, unit)


def _limit(number: float, unit: str) -> str:
    return f"{number:g} {unit}".strip() if unit != "%" else f"{number:g} %"


def _time(us: float, texts: Mapping[str, str]) -> str:
    """In the largest unit that leaves a whole number: `5 min`, `26 h`."""
    for name, size in (("d", 86_400e6), ("h", 3_600e6), ("min", 60e6), ("s", 1e6)):
        if us >= size and us % size == 0 and (name in "hs" or us > size):
            return texts[f"time.{name}"].format(count=f"{us / size:g}")
    return texts["time.s"].format(count=f"{us / 1e6:g}")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


@cache
def _texts(language: str) -> dict[str, str]:
    table = tomllib.loads(files("streams").joinpath("texts", f"{language}.toml").read_text(encoding="utf-8"))
    return dict(_flat("", table))


def _flat(head: str, table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{head}{key}.", value)
        else:
            yield f"{head}{key}", value
