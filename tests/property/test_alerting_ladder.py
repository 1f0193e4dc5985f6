"""Properties of ladders, over arbitrary contacts, grades, hours, failures and acknowledgements, without a database."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from alerting.contacts import Contact, Contacts, contact_name
from alerting.ladder import ANSWER_S, ROUNDS, Ladder, Move, next_step
from alerting.life import Alarm, acknowledge
from alerting.plan import plan
from alerting.routes import Recipient, Routes
from schemas.alarms import Grade, State
from tests.alerting_world import START_US, US, event

_GRADES = st.sampled_from([Grade.ORANGE, Grade.RED])
_HOURS = st.sampled_from(["", "", "Mo-Su 08:00-18:00", "24/7"])


@dataclass(frozen=True)
class Call:
    at_us: int
    contact: str
    after: int


@st.composite
def people(draw: st.DrawFn) -> Contacts:
    made = []
    for order in sorted(draw(st.sets(st.integers(1, 9), max_size=5))):
        recipient = Recipient(contact_name("shop-1", order), "sms", draw(_GRADES), timezone="Asia/Shanghai", phone="+1")
        made.append(Contact(recipient, order, str(order), draw(_HOURS)))
    return Contacts(tuple(made))


def climbed(
    alarm: Alarm, ladder: Ladder | None, contacts: Contacts, failures: frozenset[int], acknowledged_us: int | None
) -> list[Call]:
    """All calls until the ladder ends, as the desk makes them: it looks when one is due, or when a call has failed."""
    calls = [] if ladder is None else [Call(START_US, name, 0) for name in ladder.called]
    now_us = START_US
    for _ in range(5000):
        if ladder is None:
            return calls
        failed = bool(ladder.called) and len(calls) in failures and not ladder.unreached
        now_us = max(now_us + US if failed else ladder.due_us, now_us)
        if acknowledged_us is not None and now_us >= acknowledged_us:
            alarm = acknowledge(alarm, alarm.event.step, "Li Wei")
        ladder = replace(ladder, unreached=failed or ladder.unreached)
        step = next_step(alarm, contacts, ladder, now_us)
        if step.move is Move.STOP:
            return calls
        if step.move is Move.WAIT:
            ladder = replace(ladder, due_us=step.due_us)
            assert step.due_us > now_us, "it waits for something to come"
            if now_us > START_US + 7 * 86_400 * US:
                return calls
            continue
        assert step.contact is not None
        calls.append(Call(now_us, step.contact.name, len(ladder.called)))
        ladder = ladder.after(step.contact.name, alarm.event.grade, now_us)
    raise AssertionError("a ladder without an end")


_ACKNOWLEDGED = st.none() | st.integers(0, 7200).map(lambda seconds: START_US + seconds * US)
_FAILURES = st.frozensets(st.integers(1, 20), max_size=5)


@given(_GRADES, people(), _FAILURES, _ACKNOWLEDGED)
def test_a_rung_calls_one_contact_who_may_be_called(
    grade: Grade, contacts: Contacts, failures: frozenset[int], acknowledged_us: int | None
) -> None:
    planned = plan(None, event(State.RAISED, grade), Routes(()), START_US, contacts=contacts)
    calls = climbed(planned.alarm, planned.ladder, contacts, failures, acknowledged_us)
    assert [call.after for call in calls] == list(range(len(calls))), "one at a time"
    for call in calls:
        contact = contacts.named(call.contact)
        assert contact is not None and contact.may_be_called(grade, call.at_us)


@given(_GRADES, people(), _FAILURES, _ACKNOWLEDGED)
def test_nobody_is_called_once_it_is_acknowledged(
    grade: Grade, contacts: Contacts, failures: frozenset[int], acknowledged_us: int | None
) -> None:
    planned = plan(None, event(State.RAISED, grade), Routes(()), START_US, contacts=contacts)
    calls = climbed(planned.alarm, planned.ladder, contacts, failures, acknowledged_us)
    assert all(acknowledged_us is None or call.at_us < acknowledged_us for call in calls[1:])


@given(_GRADES, people(), _FAILURES)
def test_everybody_who_takes_the_grade_is_called_and_not_for_ever(
    grade: Grade, contacts: Contacts, failures: frozenset[int]
) -> None:
    """Nobody is called twice before all who may be were called once, and each gets the time to answer."""
    planned = plan(None, event(State.RAISED, grade), Routes(()), START_US, contacts=contacts)
    calls = climbed(planned.alarm, planned.ladder, contacts, failures, None)
    able = {one.name for one in contacts.people if one.recipient.least <= grade}
    assert {call.contact for call in calls} == able
    assert all(sum(call.contact == name for call in calls) == ROUNDS for name in able)
    for before, after in pairwise(calls):
        waited_s = (after.at_us - before.at_us) / US
        assert waited_s >= ANSWER_S[grade] or (before.after + 1 in failures and before.contact != after.contact)
