"""Who is called next: tables of cases, each headed by its rule."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alerting.contacts import Contact, Contacts, contact_name, contact_of, id_of_contact, is_contact
from alerting.ladder import AROUND_S, ROUNDS, Ladder, Move, answer_us, next_step
from alerting.life import Alarm, Suppression, acknowledge, fold
from alerting.plan import STORM_S, plan
from alerting.routes import Recipient, Routes
from schemas.alarms import Grade, State
from schemas.enterprises import Contact as Entry
from tests.alerting_world import START_US, US, event

R, O, Y = Grade.RED, Grade.ORANGE, Grade.YELLOW  # noqa: E741  the colours
NIGHT = "Mo-Su 08:00-18:00"
"""START_US is 22:13 in Shanghai."""


def contact(order: int, *, id_: int = 0, hours: str = "", least: Grade = O) -> Contact:
    """id_: the same as the place, if not said."""
    recipient = Recipient(
        contact_name("shop-1", id_ or order), "sms", least, timezone="Asia/Shanghai", phone="+8610000000001"
    )
    return Contact(recipient, order, f"No. {order}", hours)


THREE = Contacts((contact(1), contact(2), contact(3)))


def alarm(grade: Grade = R) -> Alarm:
    return fold(None, event(State.RAISED, grade))


def ladder(*orders: int, grade: Grade = R, after_s: float = 60.0, unreached: bool = False) -> Ladder:
    """Calls to these contacts, the last one `after_s` ago."""
    called = tuple(contact_name("shop-1", order) for order in orders)
    called_us = START_US - round(after_s * US)
    return Ladder("a", "shop-1", 1, grade, called, called_us, called_us + answer_us(grade), unreached)


def said(alarm: Alarm, contacts: Contacts, ladder: Ladder) -> tuple[Move, int | float | None]:
    """The move; who is called, or in how many seconds it is looked at again."""
    step = next_step(alarm, contacts, ladder, START_US)
    if step.move is Move.WAIT:
        return step.move, (step.due_us - START_US) / US
    return step.move, step.contact.order if step.contact else None


@pytest.mark.parametrize(
    ("grade", "contacts", "calls", "move", "then"),
    [
        # The next in order, when the last has had the time.
        (R, THREE, ladder(1), Move.CALL, 2),
        (R, THREE, ladder(1, 2), Move.CALL, 3),
        (R, THREE, ladder(1, after_s=59), Move.WAIT, 1),
        (O, THREE, ladder(1, grade=O, after_s=180), Move.CALL, 2),
        (O, THREE, ladder(1, grade=O, after_s=60), Move.WAIT, 120),
        # Who cannot be reached is not waited for.
        (R, THREE, ladder(1, after_s=1, unreached=True), Move.CALL, 2),
        # Around again, after a while, from the first on.
        (R, THREE, ladder(1, 2, 3), Move.WAIT, AROUND_S - 60),
        (R, THREE, ladder(1, 2, 3, after_s=AROUND_S), Move.CALL, 1),
        (R, THREE, ladder(1, 2, 3, 1, after_s=60), Move.CALL, 2),
        (R, Contacts((contact(1),)), ladder(1, after_s=60), Move.WAIT, AROUND_S - 60),
        (R, Contacts((contact(1),)), ladder(1, after_s=1, unreached=True), Move.WAIT, AROUND_S - 1),
        # Not for ever.
        (R, THREE, ladder(*(1, 2, 3) * ROUNDS), Move.STOP, None),
        # At night an orange passes over who sleeps; a red does not.
        (O, Contacts((contact(1), contact(2, hours=NIGHT), contact(3))), ladder(1, grade=O, after_s=180), Move.CALL, 3),
        (R, Contacts((contact(1), contact(2, hours=NIGHT), contact(3))), ladder(1), Move.CALL, 2),
        (O, Contacts((contact(1, hours=NIGHT),)), ladder(grade=O, after_s=180), Move.WAIT, 180),
        # Hours that cannot be read are all hours.
        (O, Contacts((contact(1, hours="when I like"),)), ladder(grade=O, after_s=180), Move.CALL, 1),
        # Who wants reds alone is not called for an orange.
        (O, Contacts((contact(1), contact(2, least=R))), ladder(1, grade=O, after_s=180), Move.WAIT, AROUND_S - 180),
        (O, Contacts((contact(1, least=R),)), ladder(grade=O, after_s=180), Move.STOP, None),
        # Somebody new in the list has their turn first, and does not hold up the others' round.
        (R, Contacts((contact(1), contact(2), contact(4))), ladder(1, 2, 1), Move.CALL, 4),
        (R, Contacts((contact(1), contact(2), contact(4))), ladder(1, 2, 1, 4), Move.CALL, 2),
        (R, Contacts((contact(1), contact(2), contact(4))), ladder(1, 2, 1, 4, 2), Move.WAIT, AROUND_S - 60),
        # A contact is the same in another place: who has not been asked yet is next, in the order as it is now.
        (R, Contacts((contact(1, id_=2), contact(2, id_=1), contact(3))), ladder(1), Move.CALL, 1),
        (R, Contacts((contact(1, id_=3), contact(2, id_=2), contact(3, id_=1))), ladder(1, 2), Move.CALL, 1),
        # And one who was put into the place of another is not that other.
        (R, Contacts((contact(1, id_=4), contact(2))), ladder(1, 2), Move.CALL, 1),
        # The contacts are gone.
        (R, Contacts(), ladder(1), Move.STOP, None),
    ],
)  # fmt: skip
def test_who_is_called_next(grade: Grade, contacts: Contacts, calls: Ladder, move: Move, then: float | None) -> None:
    assert said(alarm(grade), contacts, calls) == (move, then)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (acknowledge(alarm(), 1, "Li Wei"), "acknowledged by Li Wei"),
        (fold(alarm(), event(State.CLEARED, R, step=2)), "the alarm is over: cleared"),
        (fold(alarm(), event(State.CLEARED, R, step=2, latched=True)), "the alarm is over: cleared"),
        (fold(alarm(), event(State.WITHDRAWN, R, step=2)), "the alarm is over: withdrawn"),
        (fold(alarm(), event(State.REGRADED, Y, step=2, previous=R)), "it fell to yellow"),
        (replace(alarm(), suppression=Suppression.OUT_OF_SERVICE), "suppressed: out_of_service"),
    ],
)
def test_what_ends_a_ladder(state: Alarm, reason: str) -> None:
    step = next_step(state, THREE, ladder(1), START_US)
    assert (step.move, step.reason, step.late) == (Move.STOP, reason, False)


def test_an_acknowledgement_of_before_the_rise_does_not_end_it() -> None:
    """The ladder of a red began at its step; who acknowledged had seen an orange."""
    risen = fold(acknowledge(alarm(O), 1, "Li Wei"), event(State.REGRADED, R, step=2, previous=O))
    assert risen.acknowledged
    assert next_step(risen, THREE, replace(ladder(1), step=2), START_US).move is Move.CALL


def test_why_says_who_was_passed_over() -> None:
    contacts = Contacts((contact(1), contact(2, hours=NIGHT), contact(3)))
    step = next_step(alarm(O), contacts, ladder(1, grade=O, after_s=180), START_US)
    assert step.reason == (
        "contact:shop-1:1 did not acknowledge within 180 s: contact:shop-1:3 is called; passed over: contact:shop-1:2"
    )


def test_a_plan_calls_one_contact_and_begins_a_ladder() -> None:
    planned = plan(None, event(State.RAISED, R), Routes(), START_US, contacts=THREE)
    assert [(t.recipient.name, t.at_once) for t in planned.tellings] == [("journal", True), ("contact:shop-1:1", True)]
    assert planned.ladder is not None and planned.ladder.called == ("contact:shop-1:1",)
    assert planned.ladder.due_us == START_US + 60 * US


def test_a_plan_without_contacts_begins_no_ladder() -> None:
    assert plan(None, event(State.RAISED, R), Routes(), START_US).ladder is None


def test_an_orange_while_all_sleep_begins_a_ladder_that_has_called_nobody() -> None:
    """Who wakes up is called."""
    contacts = Contacts((contact(1, hours=NIGHT),))
    planned = plan(None, event(State.RAISED, O), Routes(()), START_US, contacts=contacts)
    assert planned.tellings == () and planned.ladder is not None and planned.ladder.called == ()


@pytest.mark.parametrize(
    ("grade_before", "ago_s", "at_once"),
    [(R, STORM_S - 1, False), (R, STORM_S, True), (O, 1, True)],
)
def test_a_contact_is_not_called_for_each_alarm_of_a_storm(grade_before: Grade, ago_s: float, at_once: bool) -> None:
    """But a red goes at once to who was called for an orange."""
    contacts = replace(THREE, called_us={("contact:shop-1:1", grade_before): START_US - round(ago_s * US)})
    planned = plan(None, event(State.RAISED, R), Routes(()), START_US, contacts=contacts)
    assert [telling.at_once for telling in planned.tellings] == [at_once]


@pytest.mark.parametrize(
    ("entry", "channel"),
    [
        (Entry(enterprise="shop-1", order=1, name="Li", phone="+8610000000001"), "sms"),
        (Entry(enterprise="shop-1", order=1, name="Li", phone="+8610000000001", channels=("voice", "sms")), "sms"),
        # No way to them in this house.
        (Entry(enterprise="shop-1", order=1, name="Li", phone="+8610000000001", channels=("voice",)), None),
        (Entry(enterprise="shop-1", order=1, name="Li"), None),
        # URLs come from the routes alone.
        (Entry(enterprise="shop-1", order=1, name="Li", phone="+8610000000001", channels=("webhook",)), None),
        (Entry(enterprise="shop-1", order=1, name="Li", channels=("journal",)), "journal"),
    ],
)
def test_a_contact_is_called_by_the_first_channel_that_is_there(entry: Entry, channel: str | None) -> None:
    made = contact_of(entry, "Asia/Shanghai", {"sms", "journal", "webhook"})
    assert (made and made.recipient.channel) == channel


def test_no_number_is_shown() -> None:
    """Recipients stand in logs."""
    assert "100000" not in repr(contact(1))


def test_names_of_contacts() -> None:
    assert is_contact(contact_name("shop-1", 12)) and id_of_contact(contact_name("shop:1", 12)) == 12
    assert not is_contact("ops")
    with pytest.raises(ValueError, match="ops is not a contact"):
        id_of_contact("ops")
