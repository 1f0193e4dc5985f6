"""The ladder: an orange or red that nobody acknowledges goes to the next contact, and around again. Pure.

One contact a rung. The first call is part of the plan of the alarm's step; every later one is decided here, as a
function of the alarm as it stands, the contacts as they stand, the calls so far and now. Contacts are known by
themselves, not by their places: whoever changes the order on the way changes who is next, and nobody's call counts
for another. Figures: acknowledge a red within 60 s, an
orange within 3 min, then the next contact, and repeat.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum

from alerting.contacts import Contact, Contacts
from alerting.life import Alarm, Suppression
from schemas.alarms import Grade

ANSWER_S: dict[Grade, float] = {Grade.RED: 60.0, Grade.ORANGE: 180.0}
"""How long a contact has to acknowledge; other grades climb no ladder."""
AROUND_S = 300.0
"""Between the last contact of a round and the first of the next."""
ROUNDS = 6
"""Each contact is called so often at most, for one red or orange."""
_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Ladder:
    """The calls that were made about an alarm since the step that began it.

    called: contacts by name, in the order of the calls.  unreached: the last call cannot come to its person.
    """

    alarm: str
    enterprise: str
    step: int
    grade: Grade
    called: tuple[str, ...]
    called_us: int
    due_us: int
    unreached: bool = False

    def after(self, contact: str, grade: Grade, now_us: int) -> Ladder:
        """The same after one more call."""
        called, due_us = (*self.called, contact), now_us + answer_us(grade)
        return replace(self, grade=grade, called=called, called_us=now_us, due_us=due_us, unreached=False)


class Move(StrEnum):
    CALL = "call"
    WAIT = "wait"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Step:
    """What a ladder does now, and why.

    contact: who is called.  due_us: when to look again, if it waits.  late: the last one called has not answered in
    time.  ended: nobody is left to call.
    """

    move: Move
    reason: str
    contact: Contact | None = None
    due_us: int = 0
    late: bool = False
    ended: bool = False


def answer_us(grade: Grade) -> int:
    """How long a contact has to acknowledge, in µs."""
    return round(ANSWER_S.get(grade, ANSWER_S[Grade.ORANGE]) * _US)


def first_call(grade: Grade, contacts: Contacts, now_us: int) -> Contact | None:
    """Who is called at once; None when nobody may be."""
    return next((contact for contact in contacts.people if contact.may_be_called(grade, now_us)), None)


def next_step(alarm: Alarm, contacts: Contacts, ladder: Ladder, now_us: int) -> Step:
    """Asked when the ladder is due, or when its last call failed."""
    if reason := _end(alarm, ladder):
        return Step(Move.STOP, reason)
    grade = alarm.event.grade
    last = ladder.called[-1] if ladder.called else ""
    answer_by_us = ladder.called_us + answer_us(grade)
    if now_us < answer_by_us and not ladder.unreached:
        return Step(Move.WAIT, f"{last or 'nobody'} has time to answer", due_us=answer_by_us)
    if not any(grade >= contact.recipient.least for contact in contacts.people):
        return Step(Move.STOP, f"no contact takes {grade.word}", late=bool(last), ended=True)
    able = [contact for contact in contacts.people if contact.may_be_called(grade, now_us)]
    calls, asked = Counter(ladder.called), _asked_this_round(ladder.called)
    # Who was never asked goes first, however the order has changed meanwhile; then who was not asked in this round.
    left = [contact for contact in able if calls[contact.name] < ROUNDS]
    contact = min(left, key=lambda one: (calls[one.name] > 0, one.name in asked, one.order), default=None)
    if contact is None:
        if _sleeps(contacts, able, calls, grade):
            return Step(
                Move.WAIT, "no contact may be called at this hour", due_us=now_us + answer_us(grade), late=bool(last)
            )
        return Step(Move.STOP, f"nobody answered {len(ladder.called)} calls", late=True, ended=True)
    around_us = ladder.called_us + round(AROUND_S * _US)
    if contact.name in asked and now_us < around_us:
        return Step(Move.WAIT, f"all were called; around again after {AROUND_S:.0f} s", due_us=around_us, late=True)
    return Step(Move.CALL, _why(ladder, last, grade, contact, contacts, now_us), contact, late=bool(last))


def _asked_this_round(called: tuple[str, ...]) -> set[str]:
    """A round ends where somebody is called who was called in it already."""
    asked: set[str] = set()
    for name in called:
        asked = {name} if name in asked else asked | {name}
    return asked


def _sleeps(contacts: Contacts, able: list[Contact], calls: Counter[str], grade: Grade) -> bool:
    """Whether somebody takes the grade, may not be called now, and was not called as often as others are."""
    return any(one not in able and grade >= one.recipient.least and calls[one.name] < ROUNDS for one in contacts.people)


def _end(alarm: Alarm, ladder: Ladder) -> str:
    """Why nobody has to be called any more; empty while somebody has."""
    if not alarm.event.active:
        return f"the alarm is over: {alarm.event.state.value}"
    if alarm.acked_step >= ladder.step:
        return f"acknowledged by {alarm.acked_by}"
    if alarm.suppression is not Suppression.NONE:
        return f"suppressed: {alarm.suppression.value}"
    if alarm.event.grade not in ANSWER_S:
        return f"it fell to {alarm.event.grade.word}"
    return ""


def _why(ladder: Ladder, last: str, grade: Grade, contact: Contact, contacts: Contacts, now_us: int) -> str:
    if not last:
        why = "nobody was called yet"
    elif ladder.unreached:
        why = f"{last} cannot be reached"
    else:
        why = f"{last} did not acknowledge within {answer_us(grade) // _US} s"
    passed = [
        one.name
        for one in contacts.people
        if one.order < contact.order and one.name not in ladder.called and not one.may_be_called(grade, now_us)
    ]
    over = f"; passed over: {', '.join(passed)}" if passed else ""
    return f"{why}: {contact.name} is called{over}"
