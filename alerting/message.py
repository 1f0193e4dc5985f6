"""The words of a message: where, what, how bad and what to do, short, in the recipient's language.

Texts are data (`texts/en.toml`, `texts/zh.toml`); this module fills them in and is pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec

from alerting import names
from alerting.life import Alarm
from schemas.alarms import Grade, Kind, State
from schemas.notifications import Line, Part, Place

SHOWN = 5
"""Alarms that a bundle names; the rest is a number."""
UNITS = {"Cel": "°C", "%EL": "%", "flag": ""}
_US = 1_000_000


class SmsTexts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The short forms, see `alerting.short`."""

    own: str
    all_clear: str
    withdrawn: str
    reset: str
    many: str
    many_all_clear: str
    named: str
    join_alarms: str
    join_places: str
    and_more: str
    what: str
    value: str
    limit: str
    late: str
    behind: str
    day: str
    duty: str
    confirm: str
    confirm_by_phone: str
    confirm_in_console: str
    test: str
    ellipsis: str
    company_suffixes: tuple[str, ...]
    units: dict[str, str]
    moved: dict[str, str]
    warning: dict[str, str]
    action: dict[str, dict[str, str]]


class Texts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One language. Every key must be there: a missing one is found when the file is read."""

    language: str
    own_grade: str
    address: str
    duty: str
    head: str
    head_all_clear: str
    head_many: str
    head_many_all_clear: str
    more: str
    value: str
    limit: str
    at: str
    late: str
    behind: str
    action: str
    grade: dict[str, str]
    kind: dict[str, str]
    step: dict[str, str]
    measure: dict[str, str]
    actions: dict[str, dict[str, str]] = msgspec.field(name="action_by_kind")
    sms: SmsTexts


def line_of(alarm: Alarm, part: Part, place: Place | None = None, behind: int = 0) -> Line:
    """The alarm as it stands, for a message."""
    e = alarm.event
    return Line(
        e.key, e.step, part, e.state, e.enterprise, e.device, e.subject, e.measure, e.family, e.kind, e.grade,
        e.previous, e.active, e.latched, alarm.acknowledged, e.onset_us, e.event_us, e.received_us,
        e.evidence.rule, e.evidence.value, e.evidence.limit, e.evidence.unit, e.age_s, e.reason, place,
        behind,
    )  # fmt: skip


def worst(lines: Sequence[Line]) -> Grade:
    return max((line.grade for line in lines), default=Grade.NONE)


def worst_first(lines: Sequence[Line]) -> list[Line]:
    """Warnings before what is over, then by grade."""
    return sorted(lines, key=lambda line: (line.part is not Part.WARNING, -line.grade, line.event_us))


def compose(lines: Sequence[Line], texts: Texts, zone: ZoneInfo, *, duty_phone: str = "") -> str:
    """One paragraph for one alarm; a head and a line each for several, worst first. `lines` is not empty."""
    ordered = worst_first(lines)
    over = all(line.part is Part.ALL_CLEAR for line in lines)
    duty = texts.duty.format(phone=duty_phone) if duty_phone and not over else ""
    tail = ["" if over else _action(ordered[0], texts), duty, texts.own_grade]
    if len(lines) == 1:
        head, shown, rest = "", [_one(lines[0], texts, zone)], ""
    else:
        head = (texts.head_many_all_clear if over else texts.head_many).format(
            grade=texts.grade[worst(lines).word],
            enterprise=names.enterprise_name(lines[0], texts.language),
            count=len(lines),
        )
        shown = [_one(line, texts, zone) for line in ordered[:SHOWN]]
        rest = texts.more.format(count=len(lines) - SHOWN) if len(lines) > SHOWN else ""
    return "\n".join(part for part in (head, *shown, rest, *tail) if part)


def _one(line: Line, texts: Texts, zone: ZoneInfo) -> str:
    template = texts.head_all_clear if line.part is Part.ALL_CLEAR else texts.head
    head = template.format(grade=texts.grade[line.grade.word], kind=texts.kind[line.kind.value])
    said = [_measured(line, texts), texts.step[step_word(line)].format(previous=texts.grade[line.previous.word])]
    said.append(texts.at.format(time=_time(line.event_us, zone)))
    if line.behind and line.part is Part.WARNING:
        said.append(texts.behind.format(count=line.behind))
    if line.age_s:
        said.append(texts.late.format(age=_duration(line.age_s)))
    return f"{head} · {_where(line, texts)}: {', '.join(word for word in said if word)}"


def _where(line: Line, texts: Texts) -> str:
    """`enterprise (address) / zone / device`, as the registry names them."""
    enterprise = names.enterprise_name(line, texts.language)
    if address := names.address_of(line, texts.language):
        enterprise += texts.address.format(address=address)
    zone, device = names.zone_name(line, texts.language), names.device_name(line, texts.language)
    return " / ".join(word for word in (enterprise, zone, device) if word)


def _measured(line: Line, texts: Texts) -> str:
    if not line.measure:
        return ""
    measure = texts.measure.get(line.measure, line.measure)
    if line.value is None or line.unit == "flag" or line.part is Part.ALL_CLEAR:
        return measure
    value = texts.value.format(measure=measure, value=quantity(line.value, line.unit, UNITS))
    if line.limit is None or not is_of_value(line):
        return value
    return f"{value} ({texts.limit.format(limit=quantity(line.limit, line.unit, UNITS))})"


def is_of_value(line: Line) -> bool:
    """Whether the limit is one of the value: that of an anomaly is of its score, which says nothing to a reader."""
    return line.kind is not Kind.ANOMALY


def step_word(line: Line) -> str:
    """The step as a key of the texts."""
    if line.state is State.REGRADED:
        return "rose" if line.grade > line.previous else "fell"
    if line.state is State.CLEARED and line.latched:
        return "cleared_latched"
    return line.state.value


def _action(line: Line, texts: Texts) -> str:
    action = "" if line.part is Part.ALL_CLEAR else texts.actions[line.kind.value].get(line.grade.word, "")
    return texts.action.format(action=action) if action else ""


def quantity(value: float, unit: str, units: Mapping[str, str]) -> str:
    """A value as people write it. units: how units are written that are not written as in the schemas."""
    shown = units.get(unit, unit)
    return f"{value:.4g} {shown}".strip() if abs(value) < 10_000 else f"{value:.0f} {shown}".strip()


def _time(at_us: int, zone: ZoneInfo) -> str:
    # Seconds and offset always: two people in two zones read one message.
    return datetime.fromtimestamp(at_us / _US, UTC).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %z")


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 7200 else f"{whole // 3600} h"
