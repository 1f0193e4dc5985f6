"""Which notifications an event causes: a function of (alarm before, event, routes, contacts, now), with a reason.

A first orange, a first red and every rise to red go at once; the rest of an enterprise is bundled. "First" counts
from the alarm's last `raised`, so one that is raised again is announced afresh. The all-clear goes to exactly those
who were told. Of an enterprise's contacts one is told, the first who may be: what goes at once begins a ladder, and a
contact who was called within the last minute is told of more in one message some seconds later.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b

from alerting.contacts import NOBODY, Contact, Contacts
from alerting.ladder import ANSWER_S, Ladder, answer_us, first_call
from alerting.life import Alarm, Suppression, fold
from alerting.routes import Recipient, Routes
from schemas.alarms import AlarmEvent, Grade, State
from schemas.notifications import Part

US = 1_000_000
STORM_S = 60.0
"""A contact who was called so recently about the enterprise is not called again for each further alarm of it."""
STORM_BUNDLE_S = 10.0
"""These are gathered so long, and go in one message."""


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
    ladder: Ladder | None = None
    """To be climbed from now on, in place of one that the alarm may have."""


def plan(
    before: Alarm | None,
    event: AlarmEvent,
    routes: Routes,
    now_us: int,
    suppression: Suppression = Suppression.NONE,
    contacts: Contacts = NOBODY,
    behind: str = "",
) -> Plan:
    """What `event` makes of the alarm and whom it tells; a step that is already in the alarm tells nobody.

    behind: the subject whose silence hides this one.
    """
    after = fold(before, event)
    if after is before:
        return Plan(after, (), "repeated: this step is known")
    after = replace(after, suppression=suppression)
    if event.state is State.RESET:
        return Plan(after, (), "reset by a person")
    if event.state in (State.CLEARED, State.WITHDRAWN):
        return _all_clear(after, event, routes, now_us, contacts)
    if event.late:
        return Plan(after, (), "late: it is history")
    if after.suppression is not Suppression.NONE:
        cause = f" behind {behind}" if behind else ""
        return Plan(after, (), f"suppressed: {after.suppression.value}{cause}")
    return _warning(before, after, routes, now_us, contacts)


def plan_afresh(alarm: Alarm, routes: Routes, now_us: int, contacts: Contacts = NOBODY) -> Plan:
    """What an active alarm tells when its suppression ends: nobody heard of it, so as if raised now."""
    after = replace(alarm, peak=alarm.event.grade, suppression=Suppression.NONE)
    if alarm.event.late:
        return Plan(after, (), "late: it is history")
    planned = _warning(None, after, routes, now_us, contacts)
    return replace(planned, reason=f"no longer {alarm.suppression.value}: {planned.reason}")


def message_id(alarm: str, step: int, recipient: str) -> str:
    """32 hex digits: the idempotency key of the message that this step causes, or of the bundle that it begins."""
    return blake2b(f"{alarm}|{step}|{recipient}".encode(), digest_size=16).hexdigest()


def rung_id(alarm: str, step: int, recipient: str, rung: int) -> str:
    """The same for a call after `rung` others since that step."""
    return blake2b(f"{alarm}|{step}|{recipient}|rung {rung}".encode(), digest_size=16).hexdigest()


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


def _warning(before: Alarm | None, after: Alarm, routes: Routes, now_us: int, contacts: Contacts) -> Plan:
    event = after.event
    urgent = urgency(before, event)
    # A fall below a recipient's least grade is still theirs to know: they were told of the peak.
    audience = [t for t in routes.recipients if t.serves(event.enterprise) and t.least <= after.peak]
    people = _people(after, contacts, now_us)
    ladder = _ladder(after, people, contacts, now_us) if urgent else None
    if not audience and not people:
        return Plan(after, (), f"no recipient takes {event.grade.word}", ladder)
    due_us = now_us if urgent else now_us + round(routes.bundle_s * US)
    tellings = [Telling(t, Part.WARNING, bool(urgent), due_us) for t in audience]
    tellings += [_to_contact(contact, event.grade, bool(urgent), due_us, contacts, now_us) for contact in people]
    told = after.told | {telling.recipient.name for telling in tellings}
    return Plan(replace(after, told=told), tuple(tellings), urgent or "bundled", ladder)


def _people(after: Alarm, contacts: Contacts, now_us: int) -> list[Contact]:
    """Those who know of the alarm already, else the first who may be called about it."""
    told = [one for one in contacts.people if one.name in after.told and one.recipient.least <= after.peak]
    if told:
        return told
    first = first_call(after.event.grade, contacts, now_us)
    return [first] if first else []


def _ladder(after: Alarm, people: list[Contact], contacts: Contacts, now_us: int) -> Ladder | None:
    event = after.event
    if not contacts.people or event.grade not in ANSWER_S:
        return None
    called = tuple(contact.name for contact in people)
    due_us = now_us + answer_us(event.grade)
    return Ladder(event.key, event.enterprise, event.step, event.grade, called, now_us, due_us)


def _to_contact(contact: Contact, grade: Grade, urgent: bool, due_us: int, contacts: Contacts, now_us: int) -> Telling:
    last_us = contacts.last_called_us(contact.name, grade) if urgent else None
    if last_us is None or now_us - last_us >= round(STORM_S * US):
        return Telling(contact.recipient, Part.WARNING, urgent, due_us)
    return Telling(contact.recipient, Part.WARNING, False, now_us + round(STORM_BUNDLE_S * US))


def _all_clear(after: Alarm, event: AlarmEvent, routes: Routes, now_us: int, contacts: Contacts) -> Plan:
    # `told` shrinks when an all-clear is composed, not here: should the alarm return before that, they still
    # believe in it.
    everybody = [*routes.recipients, *(contact.recipient for contact in contacts.people)]
    audience = [t for t in everybody if t.name in after.told]
    if not audience:
        return Plan(after, (), f"{event.state.value}: nobody was told")
    due_us = now_us + round(routes.bundle_s * US)
    return Plan(
        after,
        tuple(Telling(t, Part.ALL_CLEAR, False, due_us) for t in audience),
        f"{event.state.value}: all-clear to those who were told",
    )
