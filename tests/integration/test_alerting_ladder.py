"""Contacts, one after the other, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection

import psycopg
import pytest
from msgspec import structs
from prometheus_client import CollectorRegistry

import alerting.contacts
from alerting import whereabouts
from alerting.ladder import ROUNDS
from alerting.ledger import Arrived, put_arrived
from alerting.lists import Wanted
from alerting.metrics import AlertingMetrics
from alerting.moving import move_alarms
from alerting.people import People
from alerting.ports import Answer, Arrival, Outcome, Tracked
from alerting.routes import Recipient, Routes
from alerting.tracking import Tracking
from registry.directory import Directory
from registry.importing import read
from schemas.alarms import Grade, State
from schemas.enterprises import Contact
from schemas.notifications import Part
from schemas.viewers import house
from tests.alerting_world import HeldChannel, event
from tests.people_world import Watch, add_contact, settle, watch
from tests.waiting import until

OPS = Routes((Recipient("ops", "held"),))
RED = event(State.RAISED, Grade.RED)
ORANGE = event(State.RAISED, Grade.ORANGE)


@pytest.fixture
def shop(dsn: str) -> str:
    """An enterprise with three contacts."""
    settle(dsn)
    for order in (1, 2, 3):
        add_contact(dsn, order)
    return dsn


def test_a_red_calls_the_first_contact_at_once_and_the_next_after_a_minute(shop: str) -> None:
    """One person is woken at a time, and nobody is waited for longer than a minute."""
    with watch(shop, OPS) as w:
        w.tell(RED)
        assert w.called() == ["1"] and len(w.ops.sent) == 1
        w.turn(59)
        assert w.called() == ["1"]
        w.turn(1)
        w.turn(60)
        assert w.called() == ["1", "2", "3"] and len(w.ops.sent) == 1
        (first, second) = w.rows("SELECT number, told, reason FROM rungs ORDER BY number")
        assert first[:2] == (1, ["contact:shop-1:2"]) and second[:2] == (2, ["contact:shop-1:3"])
        assert first[2] == "contact:shop-1:1 did not acknowledge within 60 s: contact:shop-1:2 is called"
        assert [m.rung for m in w.sms.sent] == [0, 1, 2]
        told = w.rows("SELECT told FROM alarms")
    assert told == [(["contact:shop-1:1", "contact:shop-1:2", "contact:shop-1:3", "ops"],)]


def test_it_begins_again_and_ends(shop: str) -> None:
    """Five minutes after the last call, and not for ever; that nobody answered is for the duty desk to read."""
    with watch(shop) as w:
        w.tell(RED)
        for _ in range(ROUNDS * 3 * 8):
            w.turn(60)
        assert w.called() == ["1", "2", "3"] * ROUNDS
        assert w.rows("SELECT count(*) FROM ladders") == [(0,)]
        (line,) = w.rows("SELECT zh FROM journal WHERE notification LIKE 'unanswered.%'")
        assert "无人确认" in line[0]
        last = w.rows("SELECT reason FROM rungs ORDER BY number DESC LIMIT 1")
        assert last == [(f"nobody answered {ROUNDS * 3} calls",)]


def test_an_orange_has_three_minutes(shop: str) -> None:
    with watch(shop) as w:
        w.tell(ORANGE)
        w.turn(179)
        assert w.called() == ["1"]
        w.turn(1)
        assert w.called() == ["1", "2"]


def test_who_acknowledges_ends_it(shop: str) -> None:
    with watch(shop) as w:
        w.tell(RED)
        w.turn(60)
        w.acknowledge()
        for _ in range(20):
            w.turn(60)
        assert w.called() == ["1", "2"] and w.rows("SELECT count(*) FROM ladders") == [(0,)]


def test_the_all_clear_goes_by_sms_to_exactly_those_who_were_called(shop: str) -> None:
    """Who was not woken for the fire is not woken for its end."""
    with watch(shop) as w:
        w.tell(RED)
        w.turn(60)
        w.tell(event(State.CLEARED, Grade.RED, step=2))
        for _ in range(10):
            w.turn(60)
        over = w.sms.sent[2:]
    assert w.called()[:2] == ["1", "2"] and sorted(w.called()[2:]) == ["1", "2"]
    assert all(message.part is Part.ALL_CLEAR for message in over)


def test_an_acknowledged_orange_that_turns_red_is_called_again(shop: str) -> None:
    """Who took on an orange has not taken on a red."""
    with watch(shop) as w:
        w.tell(ORANGE)
        w.acknowledge()
        w.turn(10)
        w.tell(event(State.REGRADED, Grade.RED, step=2, previous=Grade.ORANGE))
        w.turn(60)
        assert w.called() == ["1", "1", "2"]
        w.acknowledge(step=2)
        w.turn(60)
        w.turn(300)
        assert w.called() == ["1", "1", "2"]


def test_who_sleeps_is_passed_over_for_an_orange_and_not_for_a_red(dsn: str) -> None:
    settle(dsn)
    add_contact(dsn, 1, hours="Mo-Su 08:00-18:00")
    add_contact(dsn, 2)
    with watch(dsn) as w:  # 22:13 at the enterprise
        w.tell(event(State.RAISED, Grade.ORANGE, device="oven"))
        assert w.called() == ["2"]
        w.turn(61)
        w.tell(event(State.RAISED, Grade.RED, device="kitchen"))
        assert w.called() == ["2", "1"]


def test_a_storm_is_one_call_and_one_message(shop: str) -> None:
    """Fifty sensors see one fire: a contact has the first at once, the rest together, and the next contact has one."""
    with watch(shop, OPS) as w:
        w.tell(event(State.RAISED, Grade.RED, device="d0"))
        w.tell(*(event(State.RAISED, Grade.RED, device=f"d{n}") for n in range(1, 25)))
        w.tell(*(event(State.RAISED, Grade.RED, device=f"d{n}") for n in range(25, 50)))
        assert w.called() == ["1"] and len(w.ops.sent) == 50
        w.turn(10)
        assert w.called() == ["1", "1"] and len(w.sms.sent[1].lines) == 49
        w.turn(50)
        assert w.called() == ["1", "1", "2"] and len(w.sms.sent[2].lines) == 50


def test_a_message_that_cannot_be_sent_calls_the_next_contact_at_once(shop: str) -> None:
    """A wrong number must not cost a minute."""
    with watch(shop) as w:
        w.sms.answers = [Answer(Outcome.REFUSED, "twilio 21211")]
        w.tell(RED)
        w.turn(1.1)
        assert w.called() == ["1", "2"]
        reasons = w.rows("SELECT reason FROM rungs")
        assert reasons == [("contact:shop-1:1 cannot be reached: contact:shop-1:2 is called",)]
        # The end of it is no news to who never heard.
        w.tell(event(State.CLEARED, Grade.RED, step=2))
        w.turn(60)
        assert w.called() == ["1", "2", "2"]


def test_a_call_that_nobody_answers_is_overdue_in_the_ledger(shop: str) -> None:
    with watch(shop) as w:
        w.tell(RED)
        w.turn(60)
        overdue = w.rows("SELECT recipient, overdue FROM notifications ORDER BY recipient")
        assert overdue == [("contact:shop-1:1", True), ("contact:shop-1:2", False)]
        stamps = w.rows("SELECT detail FROM receipts WHERE stamp = 'overdue'")
        assert stamps == [("not acknowledged in time",)]


@pytest.mark.parametrize("before", ["the rung", "its send"])
def test_no_rung_is_lost_or_doubled_over_a_restart(shop: str, before: str) -> None:
    """What is to be done stands in the rows alone."""
    with watch(shop) as w:
        w.tell(RED)
        if before == "the rung":
            w.restart()
            w.clock.forward(61)
        w.turn(0 if before == "the rung" else 61)
        w.restart()
        w.turn()
        assert w.called() == ["1", "2"]


def test_a_new_number_is_called_from_the_next_message_on(shop: str) -> None:
    """And the ledger names the recipient, never a number."""
    with watch(shop) as w:
        numbers: list[str] = []
        send = w.sms.send
        w.sms.send = lambda recipient, messages: (numbers.append(recipient.phone), send(recipient, messages))[1]  # type: ignore[method-assign, assignment]
        w.tell(RED)
        with psycopg.connect(shop) as connection:
            connection.execute("""UPDATE contacts SET phone = '+8613900000000' WHERE "order" = 2""")
        w.turn(60)
        kept = w.rows("SELECT n::text || coalesce(a::text, '') FROM notifications n LEFT JOIN attempts a ON true")
    assert numbers == ["+8610000000001", "+8613900000000"]
    assert not any(number in str(row) for number in numbers for row in kept)


def test_a_contact_who_is_gone_is_not_told_again(shop: str) -> None:
    with watch(shop) as w:
        w.tell(event(State.RAISED, Grade.RED))
        with psycopg.connect(shop) as connection:
            connection.execute('DELETE FROM contacts WHERE "order" < 3')
        w.turn(60)
        w.tell(event(State.CLEARED, Grade.RED, step=2))
        w.turn(60)
    assert w.called() == ["1", "3", "3"]


def numbers_of(w: Watch) -> list[str]:
    """The last digits of the numbers that are texted from now on, in order."""
    numbers: list[str] = []
    send = w.sms.send
    w.sms.send = lambda to, messages: (numbers.append(to.phone[-2:]), send(to, messages))[1]  # type: ignore[method-assign, assignment]
    return numbers


def test_contacts_that_change_places_on_the_way_are_called_once_each(shop: str) -> None:
    """They were known by their place: after a swap the first was called again, and the second never."""
    with watch(shop) as w:
        numbers, directory = numbers_of(w), Directory(shop)
        w.tell(RED)
        directory.swap_contacts(house(), "shop-1", 1, 2)
        w.turn(60)
        directory.swap_contacts(house(), "shop-1", 2, 3)
        w.turn(60)
        assert numbers == ["01", "02", "03"]
        # Around again, in the order as it is now.
        for _ in range(7):
            w.turn(60)
        assert numbers[3:] == ["02", "03", "01"]
        w.tell(event(State.CLEARED, Grade.RED, step=2))
        w.turn(60)
        assert sorted(numbers[6:]) == ["01", "02", "03"], "the all-clear goes to those who were told"
        directory.close()


def test_who_was_told_is_shown_by_the_place_of_now(shop: str) -> None:
    """Who may not see contacts reads `contact 2`: the second in the list as it is, and of one who went that."""
    with watch(shop) as w:
        directory, people = Directory(shop), People(shop, w.clock)
        w.tell(RED)
        directory.swap_contacts(house(), "shop-1", 1, 2)
        (alarm,) = people.list_alarms(house(), Wanted()).alarms
        assert [(one.recipient, one.place) for one in alarm.heard] == [("contact:shop-1:1", 2)]
        directory.remove_contact(house(), "shop-1", 2)
        (alarm,) = people.list_alarms(house(), Wanted()).alarms
        assert [(one.recipient, one.place) for one in alarm.heard] == [("contact:shop-1:1", None)]
        people.close()
        directory.close()


def test_who_comes_into_the_place_of_another_is_not_that_other(shop: str) -> None:
    """The first went after the call, and whoever came for them was taken to have been called."""
    with watch(shop) as w:
        numbers, directory = numbers_of(w), Directory(shop)
        w.tell(RED)
        directory.remove_contact(house(), "shop-1", 1)
        w.turn(60)
        new = Contact(enterprise="shop-1", order=1, name="新人", phone="+8610000000009")
        assert directory.put_contact(house(), new).id == 4
        w.turn(60)
        w.turn(60)
        assert numbers == ["01", "02", "09", "03"]
        # Another person written over a place: with another name and another number.
        directory.put_contact(house(), structs.replace(new, order=2, name="夜班", phone="+8610000000008"))
        w.turn(60)
        assert numbers[4:] == ["08"]
        directory.close()


def test_a_file_in_another_order_is_imported_on_the_way(shop: str) -> None:
    """The house's spreadsheet is sorted anew while it burns."""
    with watch(shop) as w:
        numbers, directory = numbers_of(w), Directory(shop)
        w.tell(RED)
        rows = ("shop-1,1,联系人3,+8610000000003", "shop-1,2,联系人1,+8610000000001", "shop-1,3,联系人2,+8610000000002")
        file = "\n".join(("enterprise,order,name,phone", *rows))
        report, _ = directory.apply(house(), read("contacts.csv", file.encode()))
        directory.close()
        assert report.imported
        w.turn(60)
        w.turn(60)
        assert numbers == ["01", "03", "02"]


def test_desks_of_before_and_of_now_name_everybody_alike(shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a house is upgraded both climb: a desk of before knows places alone, and is given the ids for them."""

    def of_before(entry: Contact, timezone: str, channels: Collection[str]) -> alerting.contacts.Contact | None:
        return alerting.contacts.contact_of(structs.replace(entry, id=entry.order), timezone, channels)

    def by_a_desk_of_before(w: Watch) -> None:
        with monkeypatch.context() as before:
            query = (
                "SELECT * FROM tocsin_whereabouts(%(partition)s, %(after)s, %(limit)s, %(enterprises)s, %(devices)s)"
            )
            before.setitem(whereabouts._Q, "whereabouts", query)
            before.setattr(whereabouts, "contact_of", of_before)
            w.restart()
            w.turn(60)
        w.restart()

    with watch(shop) as w:
        directory = Directory(shop)
        w.tell(RED)
        directory.swap_contacts(house(), "shop-1", 1, 2)
        by_a_desk_of_before(w)
        directory.swap_contacts(house(), "shop-1", 1, 3)
        w.turn(60)
        assert w.called() == ["1", "2", "3"]
        w.turn(240)
        by_a_desk_of_before(w)
        directory.swap_contacts(house(), "shop-1", 1, 2)
        by_a_desk_of_before(w)
        w.turn(60)
        assert sorted(w.called()[3:]) == ["1", "2", "3"]
        directory.close()


def test_a_ladder_goes_on_in_another_partition(shop: str) -> None:
    """When the log moves to other partitions, what was begun goes with its enterprise."""
    with watch(shop) as w:
        w.tell(RED)
    with psycopg.connect(shop) as connection:
        move_alarms(connection, lambda enterprise: 3, 8, w.story.seq)
    with watch(shop, partition=3) as moved:
        moved.clock.forward(60)
        moved.turn()
        assert moved.called() == ["2"]


def test_a_yellow_is_told_to_a_contact_who_wants_yellows_with_the_bundle(dsn: str) -> None:
    settle(dsn)
    add_contact(dsn, 1)
    add_contact(dsn, 2, least="yellow")
    with watch(dsn) as w:
        w.tell(event(State.RAISED, Grade.YELLOW))
        w.turn(60)
        w.turn(600)
        assert w.called() == ["2"] and w.rows("SELECT count(*) FROM ladders") == [(0,)]


class _Asked(HeldChannel):
    """A carrier that names what it takes, and is asked about it."""

    def __init__(self) -> None:
        super().__init__("sms", *(Answer(Outcome.ACCEPTED, reference=f"SM{n}") for n in range(9)), short=True)
        self.knows: dict[str, Tracked] = {}
        self.asked: list[str] = []

    def track(self, references: list[str]) -> list[Tracked]:
        self.asked += references
        return [self.knows.get(reference, Tracked(Arrival.ON_ITS_WAY)) for reference in references]


@pytest.mark.parametrize(
    ("said", "called"),
    [(Tracked(Arrival.DELIVERED), ["1"]), (Tracked(Arrival.FAILED, "twilio 30003"), ["1", "2"])],
)
def test_what_a_carrier_says_later_is_stamped_or_calls_the_next(shop: str, said: Tracked, called: list[str]) -> None:
    carrier = _Asked()
    carrier.knows["SM0"] = said
    with watch(shop, sms=carrier) as w:
        w.tell(RED)
        w.clock.forward(3)
        until(lambda: w.rows("SELECT count(*) FROM tracked WHERE reference = 'SM0'") == [(0,)], "the carrier was asked")
        w.turn()
        assert w.called() == called
        delivered = w.rows("SELECT recipient FROM receipts JOIN notifications ON id = notification"
                           " WHERE stamp = 'delivered'")  # fmt: skip
        assert delivered == ([("contact:shop-1:1",)] if said.arrival is Arrival.DELIVERED else [])
        status = w.rows("SELECT status, detail FROM notifications JOIN attempts ON id = notification"
                        " WHERE recipient = 'contact:shop-1:1'")  # fmt: skip
        assert status == [("accepted", "") if said.arrival is Arrival.DELIVERED else ("failed", "twilio 30003")]


def test_what_two_hear_of_a_message_counts_once_and_of_its_newest_send_alone(shop: str) -> None:
    """A carrier that is slow is asked by a second process, and a desk that took over sends again: the first send's
    failure ended the message, while the second was on its way.
    """
    with watch(shop, sms=_Asked()) as w:
        w.tell(RED)
    ((id_,),) = w.rows("SELECT notification FROM tracked")
    with psycopg.connect(shop, autocommit=True) as connection:
        assert put_arrived(connection, [Arrived(id_, "SM of before", False, "twilio 30003")], w.clock()) == set()
        assert w.rows("SELECT status FROM notifications") == [("accepted",)]
        newest = Arrived(id_, "SM0", True, "delivered")
        assert [put_arrived(connection, [newest], w.clock()) for _ in range(2)] == [{id_}, set()]
    assert w.rows("SELECT count(*) FROM receipts WHERE stamp = 'delivered'") == [(1,)]


def test_who_asks_a_carrier_asks_less_often_and_gives_up_after_an_hour(shop: str) -> None:
    carrier, told = _Asked(), AlertingMetrics(CollectorRegistry())
    with watch(shop, sms=carrier) as w:
        w.tell(RED)
    carrier.asked.clear()
    tracking = Tracking(shop, {"sms": carrier}, w.clock, told)
    asked_at = []
    for second in range(1, 40):
        w.clock.forward(1)
        tracking.look()
        asked_at += [second] * len(carrier.asked)
        carrier.asked.clear()
    assert asked_at == [2, 4, 8, 16, 32]
    w.clock.forward(3600)
    tracking.look()
    tracking.close()
    assert w.rows("SELECT count(*) FROM tracked") == [(0,)]
    assert w.rows("SELECT status FROM notifications") == [("accepted",)]
