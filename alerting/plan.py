"""Which notifications an event causes: a function of (alarm before, event, routes, now), with a reason.

A first orange, a first red and every rise to red go at once; the rest of an enterprise is bundled. "First" counts
from the alarm's last `raised`, so one that is raised again is announced afresh. The all-clear goes to exactly those
who were told.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b

from alerting.life import Alarm, Suppression, fold
from alerting.routes import Recipient, Routes
from schemas.alarms import AlarmEvent, Grade, State
from schemas.notifications import Part

US = 1_000_000


@dataclass(frozen=True, slots=True)
class Telling:
    """One recipient is to hear of one alarm: now, or in the enterprise's next bundle, which leaves at `due_us` at the
    latest.
    """

    recipient: Recipient
    part: Part
    at_once: bool
    due_us: int


@dataclass(frozen=True, slots=True)
class Plan:
    alarm: Alarm
    """After the event, with those who will have been told."""
    tellings: tuple[Telling, ...]
    reason: str


def plan(
    before: Alarm | None,
    event: AlarmEvent,
    routes: Routes,
    now_us: int,
    suppression: Suppression = Suppression.NONE,
) -> Plan:
    """What `event` makes of the alarm and whom it tells; a step that is already in the alarm tells nobody."""
    after = fold(before, event)
    if after is before:
        return Plan(after, (), "repeated: this step is known")
    after = replace(after, suppression=suppression)
    if event.state is State.RESET:
        return Plan(after, (), "reset by a person")
    if event.state in (State.CLEARED, State.WITHDRAWN):
        return _all_clear(after, event, routes, now_us)
    if event.late:
        return Plan(after, (), "late: it is history")
    if after.suppression is not Suppression.NONE:
        return Plan(after, (), f"suppressed: {after.suppression.value}")
    return _warning(before, after, routes, now_us)


def plan_afresh(alarm: Alarm, routes: Routes, now_us: int) -> Plan:
    """What an active alarm tells when its suppression ends: nobody heard of it, so as if raised now."""
    after = replace(alarm, peak=alarm.event.grade, suppression=Suppression.NONE)
    if alarm.event.late:
        return Plan(after, (), "late: it is history")
    planned = _warning(None, after, routes, now_us)
    return replace(planned, reason=f"no longer {alarm.suppression.value}: {planned.reason}")


def message_id(alarm: str, step: int, recipient: str) -> str:
    """32 hex digits: the idempotency key of the message that this step causes, or of the bundle that it begins."""
    return blake2b(f"{alarm}|{step}|{recipient}".encode(), digest_size=16).hexdigest()


def urgency(before: Alarm | None, event: AlarmEvent) -> str:
    """Why `event` goes at once; empty when it may wait for the bundle."""
    raised = before is None or event.state is State.RAISED
    peak = Grade.NONE if before is None or raised else before.peak
    grade = Grade.NONE if before is None or raised else before.event.grade
    if event.grade >= Grade.RED:
        if peak < Grade.RED:
            return "first red"
        return "rise to red" if grade < Grade.RED else ""
    return "first orange" if event.grade is Grade.ORANGE and peak < Grade.ORANGE else ""


def _warning(before: Alarm | None, after: Alarm, routes: Routes, now_us: int) -> Plan:
    event = after.event
    urgent = urgency(before, event)
    # A fall below a recipient's least grade is still theirs to know: they were told of the peak.
    audience = [t for t in routes.recipients if t.serves(event.enterprise) and t.least <= after.peak]
    if not audience:
        return Plan(after, (), f"no recipient takes {event.grade.word}")
    due_us = now_us if urgent else now_us + round(routes.bundle_s * US)
    tellings = tuple(Telling(t, Part.WARNING, bool(urgent), due_us) for t in audience)
    told = after.told | {t.name for t in audience}
    return Plan(replace(after, told=told), tellings, urgent or "bundled")


def _all_clear(after: Alarm, event: AlarmEvent, routes: Routes, now_us: int) -> Plan:
    # `told` shrinks when an all-clear is composed, not here: should the alarm return before that, they still
    # believe in it.
    audience = [t for t in routes.recipients if t.name in after.told]
    if not audience:
        return Plan(after, (), f"{event.state.value}: nobody was told")
    due_us = now_us + round(routes.bundle_s * US)
    return Plan(
        after,
        tuple(Telling(t, Part.ALL_CLEAR, False, due_us) for t in audience),
        f"{event.state.value}: all-clear to those who were told",
    )
