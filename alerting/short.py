"""The words of a short message: what a person reads on a phone, woken at night. Pure.

Each kind has its own template. A text that needs more than three segments is made again with less: names cut, the
device left out where the zone is known, last the desk's number. What to do, the link and whose warning it is are never
left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from alerting import names
from alerting.message import SmsTexts, Texts, is_of_value, quantity, step_word, worst, worst_first
from alerting.segments import segments
from schemas.notifications import Line, Part

MOST_SEGMENTS = 3
_NAMED = 2
"""Alarms that a text of several names."""
_US = 1_000_000


@dataclass(frozen=True, slots=True)
class _Room:
    """How much a text may say. most: characters of a name, in Chinese; names in letters may have twice as many."""

    most: int
    device: bool = True
    duty: bool = True


_ROOMS = (_Room(40), _Room(14), _Room(10, device=False), _Room(8, device=False, duty=False))


def compose_short(
    lines: Sequence[Line], texts: Texts, zone: ZoneInfo, now_us: int, *, link: str = "", duty_phone: str = ""
) -> str:
    """link: opens the alarms on a phone; empty where there is none.  `lines` is not empty and of one enterprise."""
    text = ""
    for room in _ROOMS:
        text = _compose(lines, texts, zone, now_us, link, duty_phone, room)
        if segments(text).count <= MOST_SEGMENTS:
            break
    return text


def _compose(
    lines: Sequence[Line], texts: Texts, zone: ZoneInfo, now_us: int, link: str, duty_phone: str, room: _Room
) -> str:
    sms = texts.sms
    ordered = worst_first(lines)
    over = all(line.part is Part.ALL_CLEAR for line in lines)
    said = _many(ordered, texts, room, over) if ordered[1:] else _one(ordered[0], texts, zone, now_us, room)
    if not over:
        said += sms.action[ordered[0].kind.value].get(ordered[0].grade.word, "")
    said += sms.own
    if over:
        return said.rstrip()
    return (said + _answer(sms, link, duty_phone if room.duty or not link else "")).rstrip()


def _one(line: Line, texts: Texts, zone: ZoneInfo, now_us: int, room: _Room) -> str:
    sms = texts.sms
    since, until = (_time(at_us, now_us, zone, sms) for at_us in (line.onset_us, line.event_us))
    where = _where(line, texts, room)
    if line.part is Part.ALL_CLEAR:
        template = sms.withdrawn if step_word(line) == "withdrawn" else sms.all_clear
        after = sms.reset if step_word(line) == "cleared_latched" else ""
        return template.format(kind=texts.kind[line.kind.value], where=where, since=since, until=until) + after
    if line.behind:
        where += sms.behind.format(count=line.behind)
    return sms.warning[line.kind.value].format(
        grade=texts.grade[line.grade.word] + _moved(line, texts), where=where, what=_what(line, texts), since=since
    )


def _many(lines: Sequence[Line], texts: Texts, room: _Room, over: bool) -> str:
    sms = texts.sms
    named = sms.join_alarms.join(
        sms.named.format(kind=texts.kind[line.kind.value], where=_inside(line, texts, room)).strip(" ,")
        for line in lines[:_NAMED]
    )
    template = sms.many_all_clear if over else sms.many
    return template.format(
        grade=texts.grade[worst(lines).word],
        enterprise=_enterprise(lines[0], texts, room),
        count=len(lines),
        named=named + (sms.and_more if len(lines) > _NAMED else ""),
    )


def _where(line: Line, texts: Texts, room: _Room) -> str:
    return texts.sms.join_places.join(
        word for word in (_enterprise(line, texts, room), _inside(line, texts, room)) if word
    )


def _enterprise(line: Line, texts: Texts, room: _Room) -> str:
    name = names.without_suffix(names.enterprise_name(line, texts.language), texts.sms.company_suffixes)
    return _cut(name, texts, room)


def _inside(line: Line, texts: Texts, room: _Room) -> str:
    zone, device = names.zone_name(line, texts.language), names.device_name(line, texts.language)
    shown = (zone, device) if room.device or not zone else (zone,)
    return texts.sms.join_places.join(_cut(name, texts, room) for name in shown if name)


def _cut(name: str, texts: Texts, room: _Room) -> str:
    return names.shortened(name, room.most * 2 if name.isascii() else room.most, texts.sms.ellipsis)


def _what(line: Line, texts: Texts) -> str:
    sms = texts.sms
    if not line.measure:
        return ""
    measure = texts.measure.get(line.measure, line.measure)
    if line.value is None or line.unit == "flag":
        return sms.what.format(measure=measure).rstrip()
    value = sms.value.format(measure=measure, value=quantity(line.value, line.unit, sms.units))
    if line.limit is not None and is_of_value(line):
        value += sms.limit.format(limit=quantity(line.limit, "", {}))
    return sms.what.format(measure=value)


def _moved(line: Line, texts: Texts) -> str:
    word = step_word(line)
    said = texts.sms.moved.get(word, "").format(previous=texts.grade[line.previous.word])
    return said + (texts.sms.late if line.age_s else "")


def _answer(sms: SmsTexts, link: str, duty_phone: str) -> str:
    """The link last: some phones take what follows for a part of it."""
    if link:
        return (sms.duty.format(phone=duty_phone) if duty_phone else "") + sms.confirm.format(link=link)
    return sms.confirm_by_phone.format(phone=duty_phone) if duty_phone else sms.confirm_in_console


def _time(at_us: int, now_us: int, zone: ZoneInfo, sms: SmsTexts) -> str:
    at, now = (datetime.fromtimestamp(us / _US, UTC).astimezone(zone) for us in (at_us, now_us))
    return f"{at:%H:%M}" if at.date() == now.date() else sms.day.format(month=at.month, day=at.day, time=f"{at:%H:%M}")
