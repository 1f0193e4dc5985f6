"""What a bundle says when its time has come: each alarm as it then stands, and no all-clear to one who never heard.
Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from alerting.life import Alarm, Suppression
from alerting.message import line_of
from schemas.alarms import AlarmEvent
from schemas.notifications import Line, Part, Place

PlaceOf = Callable[[str, str], Place | None]
"""enterprise, device → what the registry calls the place."""


def _nowhere(enterprise: str, device: str) -> Place | None:
    return None


@dataclass(frozen=True, slots=True)
class Gathered:
    """An alarm in a bundle. heard: the recipient has had a warning of it; hearing: one is on its way."""

    alarm: Alarm
    parts: frozenset[Part]
    heard: bool
    hearing: bool


@dataclass(frozen=True, slots=True)
class Said:
    """must_wait: an all-clear would overtake its warning; look again later and say nothing yet."""

    lines: tuple[Line, ...]
    unsaid: tuple[Gathered, ...]
    must_wait: bool


def _nothing(event: AlarmEvent) -> int:
    return 0


def said_of(
    gathered: Iterable[Gathered],
    place_of: PlaceOf = _nowhere,
    behind_of: Callable[[AlarmEvent], int] = _nothing,
) -> Said:
    """behind_of: how many devices speak through the one of an alarm."""
    lines: list[Line] = []
    unsaid: list[Gathered] = []
    must_wait = False
    for g in gathered:
        place = place_of(g.alarm.event.enterprise, g.alarm.event.device)
        behind = behind_of(g.alarm.event)
        if g.alarm.suppression is Suppression.BY_DESIGN and not (g.heard or g.hearing):
            unsaid.append(g)
        elif g.alarm.event.active:
            # Back while its all-clear was waiting: they still believe in it, rightly.
            if Part.WARNING in g.parts:
                lines.append(line_of(g.alarm, Part.WARNING, place, behind))
            else:
                unsaid.append(g)
        elif Part.WARNING in g.parts or g.heard:
            # Over before its warning left: one line tells both.
            lines.append(line_of(g.alarm, Part.ALL_CLEAR, place))
        elif g.hearing:
            must_wait = True
        else:
            unsaid.append(g)
    return Said(tuple(lines), tuple(unsaid), must_wait)
