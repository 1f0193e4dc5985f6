"""Properties of ladders, over arbitrary contacts, grades, hours, failures and acknowledgements, without a database."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from alerting.contacts import Contact, Contacts, contact_name
from alerting.ladder import ANSWER_S, AROUND_S, ROUNDS, Ladder, Move, next_step
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


@dataclass(frozen=True)
class Change:
    """Of the list of contacts, by places: one is swapped with another, removed, or put in before it."""

    what: str
    place: int
    other: int
    newcomer: Contact


@st.composite
def changes(draw: st.DrawFn) -> list[list[Change]]:
    """What is done to the list before each step of a ladder."""
    made, ids = [], itertools.count(100)
    for _ in range(draw(st.integers(0, 8))):
        somewhere = st.integers(0, 8)
        step = []
        for what in draw(st.lists(st.sampled_from(["swap", "remove", "add"]), max_size=3)):
            id_ = next(ids)
            recipient = Recipient(
                contact_name("shop-1", id_), "sms", draw(_GRADES), timezone="Asia/Shanghai", phone="+1"
            )
            newcomer = Contact(recipient, 0, f"new {id_}", draw(_HOURS))
            step.append(Change(what, draw(somewhere), draw(somewhere), newcomer))
        made.append(step)
    return made


def changed(contacts: Contacts, change: Change) -> Contacts:
    """As the registry would have it: everybody stays who they are, whatever their place is."""
    people = list(contacts.people)
    if change.what == "add":
        people.insert(change.place, change.newcomer)
    elif people:
        one, other = change.place % len(people), change.other % len(people)
        if change.what == "swap":
            people[one], people[other] = people[other], people[one]
        else:
            del people[one]
    return Contacts(tuple(replace(contact, order=place) for place, contact in enumerate(people, 1)))


def climbed(
    alarm: Alarm, ladder: Ladder | None, contacts: Contacts, failures: frozenset[int], acknowledged_us: int | None
) -> list[Call]:
    """All calls until the ladder ends, while nobody changes the contacts."""
    return [call for call, _ in climbed_among(alarm, ladder, contacts, failures, acknowledged_us, [])[0]]


def climbed_among(
    alarm: Alarm,
    ladder: Ladder | None,
    contacts: Contacts,
    failures: frozenset[int],
    acknowledged_us: int | None,
    changes: list[list[Change]],
) -> tuple[list[tuple[Call, Contacts]], Contacts, bool]:
    """All calls until the ladder ends, as the desk makes them: it looks when one is due, or when a call has failed.

    Returns each with the contacts as of then, the contacts at the end, and whether there was an end.
    """
    calls = [] if ladder is None else [(Call(START_US, name, 0), contacts) for name in ladder.called]
    now_us = START_US
    for number in range(5000):
        for change in changes[number] if number < len(changes) else ():
            contacts = changed(contacts, change)
        if ladder is None:
            return calls, contacts, False
        failed = bool(ladder.called) and len(calls) in failures and not ladder.unreached
        now_us = max(now_us + US if failed else ladder.due_us, now_us)
        if acknowledged_us is not None and now_us >= acknowledged_us:
            alarm = acknowledge(alarm, alarm.event.step, "Li Wei")
        ladder = replace(ladder, unreached=failed or ladder.unreached)
        step = next_step(alarm, contacts, ladder, now_us)
        if step.move is Move.STOP:
            return calls, contacts, True
        if step.move is Move.WAIT:
            ladder = replace(ladder, due_us=step.due_us)
            assert step.due_us > now_us, "it waits for something to come"
            if now_us > START_US + 7 * 86_400 * US:
                return calls, contacts, False
            continue
        assert step.contact is not None
        calls.append((Call(now_us, step.contact.name, len(ladder.called)), contacts))
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


@given(_GRADES, people(), _FAILURES, changes())
def test_whoever_changes_the_contacts_on_the_way_nobody_is_asked_twice_and_nobody_is_left_out(
    grade: Grade, contacts: Contacts, failures: frozenset[int], changes: list[list[Change]]
) -> None:
    """Contacts were known by their place: who swapped two of them had one called twice and the other never."""
    planned = plan(None, event(State.RAISED, grade), Routes(()), START_US, contacts=contacts)
    calls, last, ended = climbed_among(planned.alarm, planned.ladder, contacts, failures, None, changes)
    assert [call.after for call, _ in calls] == list(range(len(calls))), "one contact a rung"
    asked: list[str] = []
    this_round: set[str] = set()
    before_us = START_US
    for call, then in calls:
        contact = then.named(call.contact)
        assert contact is not None and contact.may_be_called(grade, call.at_us)
        if call.at_us - before_us >= AROUND_S * US:
            this_round = set()
        assert call.contact not in this_round, "nobody is asked twice in one round"
        waiting = [one.name for one in then.people if one.may_be_called(grade, call.at_us) and one.name not in asked]
        assert call.contact in waiting or not waiting, "who was not asked yet is next"
        this_round.add(call.contact)
        asked.append(call.contact)
        before_us = call.at_us
    if ended:
        for one in last.people:
            assert one.recipient.least > grade or asked.count(one.name) == ROUNDS, "all were asked before it ends"
