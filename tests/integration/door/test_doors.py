"""Several doors over one PostgreSQL: sessions move, the newest connection of a client wins, the dead are adopted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from ingest.door import Cause
from schemas import mqtt
from schemas.mqtt import Ack, Connect, Disconnect, Publish, Type, Will
from schemas.mqtt_fields import Prop, Reason
from tests.door_world import ERRORS, STATUS, WAIT_S, Client, World
from tests.doors_world import Doors, several_doors

pytestmark = pytest.mark.integration

GOOD = b'{"temperature": 21.5}'
WILL = Will(STATUS, b"offline", 1, True)


@pytest.fixture
def doors(dsn: str) -> Iterator[Doors]:
    with several_doors(dsn) as doors:
        yield doors


def count(doors: Doors, what: str) -> int:
    with psycopg.connect(doors.dsn) as connection:
        row = connection.execute(f"SELECT count(*) FROM {what}").fetchone()  # type: ignore[arg-type]
    assert row is not None
    return int(row[0])


def come(doors: Doors, door: World, client_id: str = "kitchen", version: int = mqtt.V311, **fields: Any) -> Client:
    """Connect a while after whatever was before."""
    doors.clock.now_s += 0.1
    return door.connected(client_id, version, **fields)


def test_a_session_follows_its_client_to_another_door(doors: Doors) -> None:
    """With its subscriptions, its QoS 2 ids and what waits for the client."""
    a, b = doors.open("a"), doors.open("b")
    client = come(doors, a, clean=False)
    assert client.subscribe(ERRORS) == (1,)
    client.publish(GOOD, qos=2, packet_id=7)
    assert client.read() == Ack(Type.PUBREC, 7)
    client.close()
    a.wait(lambda: a.door.counts.connections == 0)
    other = come(doors, a, "other")
    other.publish(b'{"temperatur": 1}')
    assert other.read() == Ack(Type.PUBACK, 1)

    doors.clock.now_s += 0.1
    client = b.client()
    assert client.connect("kitchen", clean=False).session_present
    again = client.expect(Publish)
    assert (again.topic, again.qos) == (ERRORS, 1)
    client.send(Ack(Type.PUBACK, again.packet_id))
    client.publish(GOOD, qos=2, packet_id=7, dup=True)
    assert client.read() == Ack(Type.PUBREC, 7)
    assert b.log.values == []
    client.send(Ack(Type.PUBREL, 7))
    assert client.read() == Ack(Type.PUBCOMP, 7)
    assert a.door.state.sessions.keys() == {other_key for other_key in a.door.state.sessions if other_key[1] == "other"}
    assert (count(doors, "mqtt_ids"), count(doors, "mqtt_sessions WHERE door = 'b'")) == (0, 1)


@pytest.mark.parametrize("version", [mqtt.V311, mqtt.V5])
def test_a_session_is_taken_from_a_client_that_still_hangs_there(doors: Doors, version: int) -> None:
    """The old connection is closed before the new one is let in, and its will is not spoken: the client is here."""
    a, b = doors.open("a"), doors.open("b")
    fields: dict[str, Any] = {"clean": False, "will": WILL}
    if version == mqtt.V5:
        fields["properties"] = {Prop.SESSION_EXPIRY: 3600}
    old = come(doors, a, version=version, **fields)
    assert old.subscribe(ERRORS) == (1,)
    new = come(doors, b, version=version, **fields)
    if version == mqtt.V5:
        assert old.read() == Disconnect(Reason.TAKEN_OVER)
    assert old.is_closed()
    new.publish(b'{"temperatur": 1}')
    assert {type(new.read()), type(new.read())} == {Ack, Publish}
    assert a.door.counts.closed[Cause.TAKEN_OVER] == 1
    assert (a.log.values, b.shared.counts.forced) == ([], 0)
    b.wait(lambda: count(doors, "mqtt_wills WHERE door = 'b'") == count(doors, "mqtt_wills") == 1)


def test_a_clean_client_that_comes_elsewhere_is_let_go_without_its_will(doors: Doors) -> None:
    """Its half-open connection would else be called offline long after it is back."""
    a, b = doors.open("a"), doors.open("b")
    old = come(doors, a, version=mqtt.V5, will=WILL)
    a.wait(lambda: count(doors, "mqtt_wills WHERE door = 'a'") == 1)
    new = come(doors, b, version=mqtt.V5, will=WILL)
    assert old.read() == Disconnect(Reason.TAKEN_OVER)
    new.publish(GOOD)
    new.expect(Ack)
    assert (a.log.values, b.log.values) == ([], [21.5])
    b.wait(lambda: count(doors, "mqtt_wills WHERE door = 'b'") == 1)
    new.send(Disconnect())
    b.wait(lambda: count(doors, "mqtt_wills") == 0)


def test_a_clean_start_ends_the_session_at_the_other_door(doors: Doors) -> None:
    a, b = doors.open("a"), doors.open("b")
    client = come(doors, a, clean=False, will=WILL)
    client.subscribe(ERRORS)
    client.close()
    a.wait(lambda: a.door.counts.connections == 0)
    come(doors, b)
    b.wait(lambda: count(doors, "mqtt_sessions") + count(doors, "mqtt_wills") == 0)
    a.wait(lambda: not a.door.state.sessions)
    doors.clock.now_s += 0.1
    assert not a.client().connect("kitchen", clean=False).session_present


def test_a_session_whose_door_does_not_answer_is_taken(doors: Doors) -> None:
    """It lives, and hangs: a client may not wait for it for ever. What it says afterwards changes nothing."""
    a, b = doors.open("a"), doors.open("b", ask_s=0.2)
    client = come(doors, a, clean=False)
    client.subscribe(ERRORS)
    tries = a.log.tries
    a.log.gate.clear()
    client.publish(GOOD)
    with a.log.tried:
        # From here on it hears nobody: what it is asked for before, it would hand over.
        assert a.log.tried.wait_for(lambda: a.log.tries > tries, WAIT_S)
    doors.clock.now_s += 0.1
    new = b.client()
    assert new.connect("kitchen", clean=False).session_present
    assert b.shared.counts.forced == 1
    a.log.gate.set()
    assert client.is_closed()
    assert count(doors, "mqtt_sessions WHERE door = 'b' AND ended_us IS NULL") == 1
    assert new.subscribe(STATUS) == (1,)
    assert count(doors, "mqtt_subscriptions") == 2


def test_a_client_that_has_given_up_waiting_throws_nobody_out(doors: Doors) -> None:
    """It is at a third door by now; when its session comes where it has waited, there is nobody left."""
    a, b, c = doors.open("a"), doors.open("b"), doors.open("c")
    client = come(doors, a, clean=False)
    tries = a.log.tries
    a.log.gate.clear()
    client.publish(GOOD)
    with a.log.tried:
        assert a.log.tried.wait_for(lambda: a.log.tries > tries, WAIT_S)
    doors.clock.now_s += 0.1
    waits = b.client()
    waits.send(Connect("kitchen", clean=False))
    b.wait(lambda: bool(b.shared._asked))
    here = come(doors, c)
    assert waits.is_closed()
    assert b.door.counts.refused[Cause.TAKEN_OVER] == 1
    a.log.gate.set()
    assert client.is_closed()
    here.publish(GOOD)
    assert here.read() == Ack(Type.PUBACK, 1)
    assert c.door.counts.closed[Cause.TAKEN_OVER] == 0


def test_a_session_goes_back_and_forth(doors: Doors) -> None:
    a, b = doors.open("a"), doors.open("b")
    come(doors, a, clean=False).subscribe(ERRORS)
    for _ in range(5):
        for door in (b, a):
            doors.clock.now_s += 0.1
            assert door.client().connect("kitchen", clean=False).session_present
    assert (a.shared.counts.forced, b.shared.counts.forced) == (0, 0)
    assert count(doors, "mqtt_sessions WHERE door = 'a'") == 1


def test_a_retained_status_is_recalled_at_every_door(doors: Doors) -> None:
    """And reaches who has subscribed before."""
    a, b = doors.open("a"), doors.open("b")
    before = come(doors, b, "before")
    before.subscribe("tocsin/v1/shop-1/+/status")
    # What it asks for now is answered before there is anything, and not after.
    b.wait(lambda: not b.shared._questions)
    device = come(doors, a)
    device.publish(b"online", topic=STATUS, retain=True)
    device.expect(Ack)
    heard = before.expect(Publish)
    assert (heard.topic, heard.payload, heard.retain) == (STATUS, b"online", False)
    for place, wanted in enumerate(("tocsin/v1/shop-1/+/status", STATUS, "tocsin/#", "#")):
        after = come(doors, b, f"after-{place}")
        after.subscribe(wanted)
        recalled = after.expect(Publish)
        assert (recalled.topic, recalled.payload, recalled.retain) == (STATUS, b"online", True)
    device.publish(b"", topic=STATUS, retain=True)
    device.expect(Ack)
    assert before.expect(Publish).payload == b""
    a.wait(lambda: count(doors, "mqtt_retained") == 0)


def test_the_open_alarms_are_kept_in_memory_only(doors: Doors) -> None:
    """Every door hears them from Kafka; none need write them."""
    a = doors.open("a")
    a.door.publish("tocsin/v1/shop-1/alarms/state", b"[]", 1, True)
    reader = come(doors, a, "reader")
    reader.subscribe("tocsin/v1/shop-1/alarms/state")
    assert reader.expect(Publish).payload == b"[]"
    assert count(doors, "mqtt_retained") == 0
