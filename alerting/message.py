"""The words of a message: where, what, how bad and what to do, short, in the recipient's language.

Texts are data (`texts/en.toml`, `texts/zh.toml`); this module fills them in and is pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec

from alerting.life import Alarm
from schemas.alarms import Grade, State
from schemas.notifications import Line, Part, Place

SHOWN = 5
"""Alarms that a bundle names; the rest is a number."""
_UNITS = {"Cel": "°C", "%EL": "%", "flag": ""}
_US = 1_000_000


class Texts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One language. Every key must be there: a missing one is found when the file is read."""

    own_grade: str
    head: str
    head_all_clear: str
    head_many: str
    head_many_all_clear: str
    more: str
    value: str
    limit: str
    at: str
    late: str
    action: str
    grade: dict[str, str]
    kind: dict[str, str]
    step: dict[str, str]
    measure: dict[str, str]
    actions: dict[str, dict[str, str]] = msgspec.field(name="action_by_kind")


def line_of(alarm: Alarm, part: Part, place: Place | None = None) -> Line:
    """The alarm as it stands, for a message."""
    e = alarm.event
    return Line(
        e.key, e.step, part, e.state, e.enterprise, e.device, e.subject, e.measure, e.family, e.kind, e.grade,
        e.previous, e.active, e.latched, alarm.acknowledged, e.onset_us, e.event_us, e.received_us,
        e.evidence.rule, e.evidence.value, e.evidence.limit, e.evidence.unit, e.age_s, e.reason, place,
    )  # fmt: skip


def worst(lines: Sequence[Line]) -> Grade:
    return max((line.grade for line in lines), default=Grade.NONE)


def compose(lines: Sequence[Line], texts: Texts, zone: ZoneInfo) -> str:
    """One paragraph for one alarm; a head and a line each for several, worst first. `lines` is not empty."""
    if len(lines) == 1:
        return "\n".join([_one(lines[0], texts, zone), _action(lines[0], texts), texts.own_grade]).replace("\n\n", "\n")
    ordered = sorted(lines, key=lambda line: (line.part is not Part.WARNING, -line.grade, line.event_us))
    over = all(line.part is Part.ALL_CLEAR for line in lines)
    head = (texts.head_many_all_clear if over else texts.head_many).format(
        grade=texts.grade[worst(lines).word], enterprise=lines[0].enterprise, count=len(lines)
    )
    shown = [_one(line, texts, zone) for line in ordered[:SHOWN]]
    rest = [texts.more.format(count=len(lines) - SHOWN)] if len(lines) > SHOWN else []
    action = [] if over else [_action(ordered[0], texts)]
    return "\n".join([head, *shown, *rest, *action, texts.own_grade])


def _one(line: Line, texts: Texts, zone: ZoneInfo) -> str:
    template = texts.head_all_clear if line.part is Part.ALL_CLEAR else texts.head
    head = template.format(grade=texts.grade[line.grade.word], kind=texts.kind[line.kind.value])
    said = [_measured(line, texts), texts.step[_step(line)].format(previous=texts.grade[line.previous.word])]
    said.append(texts.at.format(time=_time(line.event_us, zone)))
    if line.age_s:
        said.append(texts.late.format(age=_duration(line.age_s)))
    return f"{head} · {_where(line)}: {', '.join(word for word in said if word)}"


def _where(line: Line) -> str:
    """`enterprise / device`, with the channel where the sensor has one."""
    channel = line.subject.rpartition("/")[2].partition(".")[2] if line.measure else ""
    return " / ".join(word for word in (line.enterprise, line.device, channel) if word)


def _measured(line: Line, texts: Texts) -> str:
    if not line.measure:
        return ""
    measure = texts.measure.get(line.measure, line.measure)
    if line.value is None or line.unit == "flag" or line.part is Part.ALL_CLEAR:
        return measure
    value = texts.value.format(measure=measure, value=_quantity(line.value, line.unit))
    if line.limit is None:
        return value
    return f"{value} ({texts.limit.format(limit=_quantity(line.limit, line.unit))})"


def _step(line: Line) -> str:
    if line.state is State.REGRADED:
        return "rose" if line.grade > line.previous else "fell"
    if line.state is State.CLEARED and line.latched:
        return "cleared_latched"
    return line.state.value


def _action(line: Line, texts: Texts) -> str:
    action = "" if line.part is Part.ALL_CLEAR else texts.actions[line.kind.value].get(line.grade.word, "")
    return texts.action.format(action=action) if action else ""


def _quantity(value: float, unit: str) -> str:
    shown = _UNITS.get(unit, unit)
    return f"{value:.4g} {shown}".strip() if abs(value) < 10_000 else f"{value:.0f} {shown}".strip()


def _time(at_us: int, zone: ZoneInfo) -> str:
    # Seconds and offset always: two people in two zones read one message.
    return datetime.fromtimestamp(at_us / _US, UTC).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %z")


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 7200 else f"{whole // 3600} h"
