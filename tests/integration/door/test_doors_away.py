"""A door of several while PostgreSQL or Kafka is away: known devices come in, nothing is promised that may not hold."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from ingest.door import Cause
from schemas import mqtt
from schemas.mqtt import Ack, Connack, Connect, Disconnect, Publish, Type, Will
from schemas.mqtt_fields import Prop, Reason
from tests.cut_link import CutLink, Fate
from tests.door_world import ERRORS, STATUS, WAIT_S, Clock
from tests.doors_world import OneDoor
from tests.waiting import until

pytestmark = pytest.mark.integration

GOOD = b'{"temperature": 21.5}'
WILL = Will(STATUS, b"offline", 1, True)


class Away:
    """A door whose way to PostgreSQL can be cut, or hang."""

    def __init__(self, dsn: str, link: CutLink, **lease: float) -> None:
        self.dsn = dsn
        self.link = link
        self.flows = threading.Event()
        self.flows.set()
        self.hangs = threading.Event()
        """Something was said to PostgreSQL that does not arrive."""
        self.door = OneDoor(link.dsn, "door", Clock(), {}, **lease)

    def cut(self) -> None:
        self.link.decide = lambda _: Fate.SWALLOW
        self.link.cut()
        self.door.wait(lambda: self.door.shared.is_away)

    def hang(self) -> None:
        def decide(_: bytes) -> Fate:
            self.hangs.set()
            self.flows.wait(WAIT_S)
            return Fate.PASS

        self.flows.clear()
        self.link.decide = decide

    def heal(self) -> None:
        self.link.decide = lambda _: Fate.PASS
        self.flows.set()
        self.door.wait(lambda: not self.door.shared.is_away)

    def counted(self, what: str) -> int:
        with psycopg.connect(self.dsn) as connection:
            row = connection.execute(f"SELECT count(*) FROM {what}").fetchone()  # type: ignore[arg-type]
        assert row is not None
        return int(row[0])


@contextmanager
def away_from(dsn: str, **lease: float) -> Iterator[Away]:
    with CutLink(dsn) as link:
        away = Away(dsn, link, **lease)
        try:
            yield away
        finally:
            away.flows.set()
            away.door.end()
        assert away.door.failure is None


@pytest.fixture
def away(dsn: str) -> Iterator[Away]:
    with away_from(dsn) as away:
        yield away


def test_clients_of_clean_sessions_come_in_and_their_wills_are_written_later(away: Away) -> None:
    away.cut()
    client = away.door.connected("kitchen", will=WILL)
    client.publish(GOOD)
    assert client.read() == Ack(Type.PUBACK, 1)
    client.subscribe(ERRORS)
    client.publish(b'{"temperatur": 1}', qos=2, packet_id=9)
    assert {type(client.read()), type(client.read())} == {Ack, Publish}
    assert away.counted("mqtt_wills") == 0
    away.heal()
    until(lambda: away.counted("mqtt_wills") == 1, "the will is written")
    client.send(Disconnect())
    until(lambda: away.counted("mqtt_wills") == 0, "the will is gone")


def test_a_will_that_is_written_late_does_not_take_the_place_of_a_newer_one(away: Away) -> None:
    """The client has gone to another door meanwhile; should that one die, its newer will is to be spoken."""
    away.hang()
    away.door.connected("kitchen", will=WILL)
    assert away.hangs.wait(WAIT_S)
    away.door.clock.now_s += 1.0
    other = OneDoor(away.dsn, "other", away.door.clock, {})
    try:
        other.connected("kitchen", will=Will(STATUS, b"moved", 1, True))
        until(lambda: away.counted("mqtt_wills WHERE door = 'other'") == 1, "the newer will is written")
        away.heal()
        away.door.wait(lambda: not away.door.door.state.holders)
        away.door.connected("bar", will=WILL)
        until(lambda: away.counted("mqtt_wills WHERE door = 'door'") == 1, "the late door has written all that it had")
        assert away.counted("mqtt_wills WHERE door = 'other' AND payload = 'moved'") == 1
    finally:
        other.end()
    assert other.failure is None


@pytest.mark.parametrize(("version", "code"), [(mqtt.V311, 3), (mqtt.V5, Reason.SERVER_UNAVAILABLE)])
def test_a_persistent_session_that_is_not_here_is_refused(away: Away, version: int, code: int) -> None:
    """It may be at another door, or in rows that nobody can read."""
    away.cut()
    client = away.door.client(version)
    properties = {Prop.SESSION_EXPIRY: 60} if version == mqtt.V5 else {}
    client.send(Connect("kitchen", version, clean=False, properties=properties))
    assert client.read() == Connack(False, code)
    assert away.door.door.counts.refused[Cause.AWAY] == 1
    away.heal()
    again = away.door.client(version)
    assert not again.connect("kitchen", clean=False, properties=properties).session_present


def test_a_version_5_client_that_only_resumes_comes_in(away: Away) -> None:
    """Many reconnect without Clean Start and without an expiry: they have no session to lose."""
    away.cut()
    client = away.door.client(mqtt.V5)
    assert not client.connect("kitchen", clean=False).session_present


def test_a_persistent_session_that_is_here_goes_on(away: Away) -> None:
    """It takes up what it has; what it would change is refused, since a kill could undo it."""
    client = away.door.connected("kitchen", clean=False)
    assert client.subscribe(ERRORS) == (1,)
    away.cut()
    packet_id = client.publish(GOOD)
    assert client.read() == Ack(Type.PUBACK, packet_id)
    again = away.door.client()
    away.door.clock.now_s += 0.1
    assert again.connect("kitchen", clean=False).session_present
    assert again.subscribe(ERRORS, STATUS) == (1, 0x80)
    again.publish(b'{"temperatur": 1}')
    assert {type(again.read()), type(again.read())} == {Ack, Publish}
    again.publish(GOOD, qos=2, packet_id=9)
    assert again.is_closed()
    assert away.door.log.values == [21.5]
    away.heal()
    last = away.door.client()
    assert last.connect("kitchen", clean=False).session_present
    assert isinstance(last.read(), Publish)
    assert last.subscribe(STATUS) == (1,)
    until(lambda: away.counted("mqtt_subscriptions") == 2, "both subscriptions are there")


def test_answers_wait_for_what_they_promise_and_others_do_not_wait(away: Away) -> None:
    client, other = away.door.connected("kitchen", clean=False), away.door.connected("other")
    away.hang()
    client.send(mqtt.Subscribe(1, (mqtt.Subscription(ERRORS, 1),)))
    client.publish(GOOD, packet_id=2)
    for packet_id in range(1, 4):
        other.publish(GOOD, packet_id=packet_id)
        assert other.read() == Ack(Type.PUBACK, packet_id)
    held = next(c for c in away.door.door.state.connections.values() if c.session.key.client_id == "kitchen")
    assert held.pledges == 1
    away.heal()
    answers = [client.frame()[0] >> 4, client.frame()[0] >> 4]
    assert sorted(answers) == [Type.PUBACK, Type.SUBACK]


def test_a_client_whose_change_is_not_known_to_be_durable_is_told_nothing(away: Away) -> None:
    """Its SUBACK could be undone by a kill; it comes again and asks again."""
    client = away.door.connected("kitchen", mqtt.V5, clean=False, properties={Prop.SESSION_EXPIRY: 60})
    away.hang()
    client.send(mqtt.Subscribe(1, (mqtt.Subscription(ERRORS, 1),)))
    away.door.wait(lambda: any(c.pledges for c in away.door.door.state.connections.values()))
    away.door.clock.now_s += 5.1
    assert client.read() == Disconnect(Reason.SERVER_UNAVAILABLE)
    assert client.is_closed()
    away.heal()
    again = away.door.client(mqtt.V5)
    assert again.connect("kitchen", clean=False, properties={Prop.SESSION_EXPIRY: 60}).session_present
    assert again.subscribe(ERRORS) == (1,)
    assert away.counted("mqtt_subscriptions") == 1


def test_a_postgresql_that_does_not_answer_is_away(dsn: str) -> None:
    """Long before TCP knows of it: who must be asked for is refused at once."""
    with away_from(dsn, hung_s=2.0) as away:
        away.door.connected("kitchen")
        away.hang()
        away.door.jump(15.0)
        assert away.hangs.wait(WAIT_S)
        away.door.jump(2.1)
        away.door.wait(lambda: away.door.shared.is_away)
        assert "PostgreSQL" in away.door.shared.trouble()
        client = away.door.client()
        client.send(Connect("bar", mqtt.V311, clean=False))
        assert client.read() == Connack(False, 3)
        away.heal()
        assert away.door.shared.trouble() == ""


def test_a_client_that_waits_for_its_session_is_refused_in_the_end(away: Away) -> None:
    away.hang()
    client = away.door.client(mqtt.V5)
    client.send(Connect("kitchen", mqtt.V5, clean=False, properties={Prop.SESSION_EXPIRY: 60}))
    away.door.wait(lambda: bool(away.door.door._newcomers._parked))
    away.door.clock.now_s += 5.1
    assert client.read() == Connack(False, Reason.SERVER_UNAVAILABLE)


def test_a_door_judges_nobody_before_all_could_beat_again(away: Away) -> None:
    """After PostgreSQL was away every lease is old, and everybody is alive."""
    other = OneDoor(away.dsn, "other", away.door.clock, {})
    client = other.connected("kitchen", clean=False, will=WILL)
    until(lambda: away.counted("mqtt_wills WHERE door = 'other'") == 1, "the will is written")
    lapse = "UPDATE doors SET seen_at = now() - interval '1 hour'"
    with psycopg.connect(away.dsn, autocommit=True) as connection:
        away.cut()
        connection.execute(lapse)
        away.heal()
        other.jump(15.0)
        until(lambda: away.counted("doors WHERE seen_at > now() - interval '30 min'") == 2, "both have beaten")
        client.publish(GOOD)
        assert client.read() == Ack(Type.PUBACK, 1)
        assert away.door.shared.counts.adopted == 0
        connection.execute(lapse)
    # By now everybody has had a lease to beat again.
    away.door.jump(61.0)
    until(lambda: away.door.shared.counts.adopted == 2, "the session and the will are adopted")
    other.end()


def test_kafka_away_acknowledges_nothing_and_loses_nothing(away: Away) -> None:
    """The round is kept, no socket is read, and clients that would come in are told so."""
    door = away.door
    client = door.connected("kitchen")
    door.log.away = True
    for packet_id in range(1, 101):
        client.publish(b'{"temperature": %d}' % packet_id, packet_id=packet_id)
    door.wait(lambda: door.door.counts.is_away)
    refused = door.client()
    refused.send(Connect("guest", mqtt.V311))
    assert refused.read() == Connack(False, 3)
    assert door.log.values == []
    door.log.away = False

    def is_back() -> bool:
        door.clock.now_s += 0.02
        return not door.door.counts.is_away

    door.wait(is_back)
    assert [client.read() for _ in range(100)] == [Ack(Type.PUBACK, number) for number in range(1, 101)]
    assert door.log.values == [float(number) for number in range(1, 101)]


def test_refused_messages_are_acknowledged_by_their_delivery(away: Away) -> None:
    """PostgreSQL is not needed to refuse one; the same arrival at another door is another message."""
    away.cut()
    client = away.door.connected("kitchen")
    client.publish(b'{"temperatur": 1}')
    assert client.read() == Ack(Type.PUBACK, 1)
    (kept,) = away.door.log.quarantined
    assert (kept.source, kept.client, kept.payload) == ("door", "kitchen", b'{"temperatur": 1}')
