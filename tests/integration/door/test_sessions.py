"""Sessions, subscriptions, wills and retained messages, over reconnects and over kills: by raw bytes, line by line."""

from __future__ import annotations

import pytest

from ingest.door import Cause, Dropped
from schemas import mqtt
from schemas.mqtt import Ack, Connect, Disconnect, Publish, Suback, Subscribe, Subscription, Type, Unsubscribe, Will
from schemas.mqtt_fields import Prop, Reason
from schemas.principals import Principal
from tests.door_world import ERRORS, STATUS, TELEMETRY, Client, OneLogin, World, door_world

COMMAND = "tocsin/v1/shop-1/kitchen/command"
ALARMS, STATE = "tocsin/v1/shop-1/alarms", "tocsin/v1/shop-1/alarms/state"
KITCHEN = Principal("kitchen", devices=frozenset({"shop-1/kitchen"}))
OWNER = Principal("owner", alarms=frozenset({"shop-1"}))
MAKER = Principal("maker", enterprises=frozenset({"shop-1"}))
BOTH = pytest.mark.parametrize("version", [mqtt.V311, mqtt.V5])
WEEK_S = 7 * 24 * 3600


def keeping(version: int) -> dict[str, object]:
    """Fields of a CONNECT whose session outlives the connection."""
    return {"clean": False, "properties": {Prop.SESSION_EXPIRY: 3600} if version == mqtt.V5 else {}}


def receive(client: Client) -> Publish:
    packet = client.expect(Publish)
    if packet.qos:
        client.send(Ack(Type.PUBACK, packet.packet_id))
    return packet


@BOTH
def test_a_subscription_is_durable_before_its_suback(world: World, version: int) -> None:
    """So Session Present is true after a kill, and what the client hears then is complete."""
    client = world.connected(version=version, **keeping(version))
    assert client.subscribe(COMMAND, ERRORS) == (1, 1)
    assert len(world.store.subscriptions) == 2
    world.restart()
    client = world.client(version)
    assert client.connect(**keeping(version)).session_present
    world.door.publish(COMMAND, b"ring", 1)
    assert receive(client).payload == b"ring"


@BOTH
def test_a_clean_session_ends_with_its_connection(world: World, version: int) -> None:
    client = world.connected(version=version)
    client.subscribe(COMMAND)
    client.send(Disconnect())
    assert client.is_closed()
    client = world.client(version)
    assert not client.connect(clean=False).session_present
    assert world.store.subscriptions == {}


@BOTH
def test_a_clean_start_ends_the_session_before(world: World, version: int) -> None:
    world.connected(version=version, **keeping(version)).subscribe(COMMAND)
    client = world.client(version)
    assert not client.connect(clean=True).session_present
    assert (world.store.sessions, world.store.subscriptions) == ({}, {})


def test_session_expiry_is_capped_in_connack(world: World) -> None:
    client = world.client(mqtt.V5)
    answer = client.connect(clean=False, properties={Prop.SESSION_EXPIRY: 0xFFFFFFFF})
    assert answer.properties[Prop.SESSION_EXPIRY] == WEEK_S
    assert [kept.expiry_s for kept in world.store.sessions.values()] == [WEEK_S]


def test_a_session_of_3_1_1_lasts_seven_days(world: World) -> None:
    world.connected(clean=False).send(Disconnect())
    world.wait(lambda: world.door.counts.connections == 0)
    world.clock.now_s += WEEK_S - 10
    world.pass_time(2)
    assert world.door.counts.sessions == 1
    world.pass_time(10)
    assert world.door.counts.sessions == 0
    world.wait(lambda: world.store.sessions == {})


def test_a_session_expires_also_over_a_restart(world: World) -> None:
    client = world.connected(version=mqtt.V5, **keeping(mqtt.V5))
    client.send(Disconnect())
    assert client.is_closed()
    world.end()
    world.clock.now_s += 3590
    world.start()
    assert world.door.state.sessions
    world.pass_time(12)
    assert not world.door.state.sessions


def test_disconnect_may_change_the_expiry_but_not_from_0(world: World) -> None:
    client = world.connected(version=mqtt.V5, **keeping(mqtt.V5))
    client.send(Disconnect(properties={Prop.SESSION_EXPIRY: 0}))
    assert client.is_closed()
    assert world.store.sessions == {}
    client = world.connected(version=mqtt.V5)
    client.send(Disconnect(properties={Prop.SESSION_EXPIRY: 60}))
    assert client.read() == Disconnect(Reason.PROTOCOL_ERROR)


@BOTH
def test_what_a_client_has_not_acknowledged_comes_again(world: World, version: int) -> None:
    """In order, with DUP where it was sent before, also with what was queued while it was away."""
    client = world.connected(version=version, **keeping(version))
    client.subscribe(COMMAND)
    world.door.publish(COMMAND, b"1", 1)
    first = client.expect(Publish)
    client.close()
    world.wait(lambda: world.door.counts.connections == 0)
    world.door.publish(COMMAND, b"2", 1)
    world.door.publish(COMMAND, b"lost", 0)
    client = world.client(version)
    assert client.connect(**keeping(version)).session_present
    again, queued = receive(client), receive(client)
    assert (again.packet_id, again.dup, again.payload) == (first.packet_id, True, b"1")
    assert (queued.dup, queued.payload) == (False, b"2")
    world.wait(lambda: not world.store.queued)


def test_what_waits_for_a_client_outlives_a_kill(world: World) -> None:
    client = world.connected(clean=False)
    client.subscribe(COMMAND)
    client.close()
    world.wait(lambda: world.door.counts.connections == 0)
    for number in range(3):
        world.door.publish(COMMAND, b"%d" % number, 1)
    world.log.wait_for(lambda: len(world.store.queued) == 3)
    world.restart()
    client = world.connected(clean=False)
    assert [receive(client).payload for _ in range(3)] == [b"0", b"1", b"2"]


def test_a_queue_drops_its_oldest() -> None:
    """The newest errors are those of the device as it is now."""
    with door_world({"queue": 3}) as world:
        client = world.connected(clean=False)
        client.subscribe(COMMAND)
        client.close()
        world.wait(lambda: world.door.counts.connections == 0)
        for number in range(5):
            world.door.publish(COMMAND, b"%d" % number, 1)
        world.wait(lambda: world.door.counts.dropped[Dropped.QUEUE_FULL] == 2)
        client = world.connected(clean=False)
        assert [receive(client).payload for _ in range(3)] == [b"2", b"3", b"4"]


def test_the_clients_receive_maximum_is_respected(world: World) -> None:
    client = world.connected(version=mqtt.V5, properties={Prop.RECEIVE_MAXIMUM: 2})
    client.subscribe(COMMAND)
    for number in range(4):
        world.door.publish(COMMAND, b"%d" % number, 1)
    held = [client.expect(Publish), client.expect(Publish)]
    client.send(mqtt.Bare(Type.PINGREQ))
    assert client.read() == mqtt.Bare(Type.PINGRESP)
    client.send(*(Ack(Type.PUBACK, packet.packet_id) for packet in held))
    assert [receive(client).payload for _ in range(2)] == [b"2", b"3"]


def test_the_clients_maximum_packet_size_is_respected(world: World) -> None:
    client = world.connected(version=mqtt.V5, properties={Prop.MAXIMUM_PACKET_SIZE: 100})
    client.subscribe(COMMAND)
    for qos in (0, 1):
        world.door.publish(COMMAND, b"x" * 100, qos)
        world.door.publish(COMMAND, b"small", qos)
        assert receive(client).payload == b"small"
    assert world.door.counts.dropped[Dropped.CLIENT_SIZE] == 2


@BOTH
def test_a_client_reads_its_own_devices_only(version: int) -> None:
    with door_world(credentials=OneLogin(KITCHEN, OWNER, MAKER)) as world:
        allowed = {
            "kitchen": (ERRORS, COMMAND, STATUS, "tocsin/v1/shop-1/kitchen/#", "tocsin/v1/shop-1/kitchen/+"),
            "owner": (ALARMS, STATE, "tocsin/v1/shop-1/alarms/#", "tocsin/v1/+/alarms", "tocsin/v1/+/alarms/#"),
            "maker": (ERRORS, "tocsin/v1/shop-1/+/errors"),
        }
        refused = {
            "kitchen": ("tocsin/v1/shop-1/bar/errors", "tocsin/v1/shop-1/+/errors", ALARMS, STATE, TELEMETRY,
                        "#", "+/+/+/+/+", "$SYS/#", "other"),
            "owner": (ERRORS, "tocsin/v1/shop-2/alarms", "tocsin/v1/+/status", "tocsin/v1/#"),
            "maker": (ALARMS, "tocsin/v1/+/alarms", "tocsin/v1/shop-2/+/errors", "tocsin/v1/+/kitchen/errors"),
        }  # fmt: skip
        for name, filters in allowed.items():
            client = world.connected(name, version, username=name, password=name.encode())
            assert client.subscribe(*filters) == (1,) * len(filters)
            code = Reason.NOT_AUTHORIZED if version == mqtt.V5 else 0x80
            assert client.subscribe(*refused[name]) == (code,) * len(refused[name])


@pytest.mark.parametrize(
    ("wanted", "code"),
    [("$share/g/" + ERRORS, 0x9E), ("tocsin/#/x", 0x8F), ("tocsin/a+", 0x8F), ("", 0x8F)],
)
def test_filters_that_cannot_be_served_are_told(world: World, wanted: str, code: int) -> None:
    assert world.connected("five", mqtt.V5).subscribe(wanted, ERRORS) == (code, 1)
    assert world.connected("three").subscribe(wanted, ERRORS) == (0x80, 1)


def test_subscription_identifiers_are_refused(world: World) -> None:
    client = world.connected(version=mqtt.V5)
    client.send(Subscribe(1, (Subscription(ERRORS),), {Prop.SUBSCRIPTION_ID: [5]}))
    assert client.read() == Disconnect(Reason.SUBSCRIPTION_IDS_NOT_SUPPORTED)


@BOTH
def test_qos_2_is_granted_as_1(world: World, version: int) -> None:
    client = world.connected(version=version)
    assert client.subscribe(COMMAND, qos=2) == (1,)
    world.door.publish(COMMAND, b"x", 2)
    assert receive(client).qos == 1


@BOTH
def test_unsubscribe_ends_it(world: World, version: int) -> None:
    client = world.connected(version=version, **keeping(version))
    client.subscribe(COMMAND)
    client.send(Unsubscribe(7, (COMMAND, ERRORS)))
    codes = (0, Reason.NO_SUBSCRIPTION_EXISTED) if version == mqtt.V5 else ()
    assert client.read() == Suback(Type.UNSUBACK, 7, codes)
    assert world.store.subscriptions == {}
    world.door.publish(COMMAND, b"x", 1)
    client.send(mqtt.Bare(Type.PINGREQ))
    assert client.read() == mqtt.Bare(Type.PINGRESP)


def test_rights_that_were_taken_away_end_subscriptions() -> None:
    with door_world(credentials=OneLogin(KITCHEN)) as world:
        login = {"username": "kitchen", "password": b"kitchen", "clean": False}
        world.connected(**login).subscribe(COMMAND)
        world.end()
        world.arguments["credentials"] = OneLogin(Principal("kitchen"))
        world.start()
        client = world.client()
        assert client.connect(**login).session_present
        assert world.store.subscriptions == {}


def test_alarms_reach_who_may_read_them() -> None:
    with door_world(credentials=OneLogin(OWNER, KITCHEN)) as world:
        owner = world.connected("o", username="owner", password=b"owner")
        owner.subscribe(ALARMS, STATE)
        world.door.publish(ALARMS, b"raised", 1)
        assert receive(owner).payload == b"raised"
        world.door.publish(STATE, b"[1]", 1, True)
        live = receive(owner)
        assert (live.payload, live.retain) == (b"[1]", False)
        late = world.connected("p", username="owner", password=b"owner")
        late.subscribe(ALARMS, STATE)
        kept = receive(late)
        assert (kept.topic, kept.payload, kept.retain) == (STATE, b"[1]", True)


@BOTH
def test_status_is_retained_over_a_kill_and_an_empty_payload_deletes_it(world: World, version: int) -> None:
    device = world.connected("device", version)
    device.publish(b"online", topic=STATUS, retain=True)
    device.expect(Ack)
    world.restart()
    reader = world.connected("reader", version)
    reader.subscribe("tocsin/v1/shop-1/kitchen/#")
    kept = receive(reader)
    assert (kept.topic, kept.payload, kept.retain) == (STATUS, b"online", True)
    device = world.connected("device", version)
    device.publish(b"", topic=STATUS, retain=True)
    device.expect(Ack)
    assert receive(reader).payload == b""
    late = world.connected("late", version)
    late.subscribe(STATUS)
    late.send(mqtt.Bare(Type.PINGREQ))
    assert late.read() == mqtt.Bare(Type.PINGRESP)
    assert world.store.retained == {}


def test_telemetry_is_not_retained(world: World) -> None:
    client = world.connected()
    client.publish(b'{"value": 1}', retain=True)
    client.expect(Ack)
    assert (world.log.values, world.store.retained) == ([1.0], {})


def test_retain_handling_0_1_2(world: World) -> None:
    """0: at each subscription.  1: at a new one.  2: never."""
    world.door.publish(STATE, b"[]", 1, True)
    world.wait(lambda: STATE in world.store.retained)
    client = world.connected(version=mqtt.V5)
    for handling, heard in ((2, 0), (0, 1), (0, 1), (1, 0)):
        client.subscribe(STATE, retain_handling=handling)
        assert [receive(client).payload for _ in range(heard)] == [b"[]"] * heard
    client.send(Unsubscribe(9, (STATE,)))
    client.expect(Suback)
    client.subscribe(STATE, retain_handling=1)
    assert receive(client).retain


def test_retain_as_published_and_no_local(world: World) -> None:
    client = world.connected(version=mqtt.V5)
    client.subscribe(STATUS, retain_as_published=True, no_local=True)
    client.publish(b"online", topic=STATUS, retain=True)
    client.expect(Ack)
    other = world.connected("other", mqtt.V5)
    other.publish(b"offline", topic=STATUS, retain=True)
    other.expect(Ack)
    heard = receive(client)
    assert (heard.payload, heard.retain) == (b"offline", True)


WILL = Will(STATUS, b"offline", 1, True)


@BOTH
def test_a_will_is_published_when_the_connection_breaks(world: World, version: int) -> None:
    client = world.connected(version=version, will=WILL)
    assert len(world.store.wills) == 1
    client.close()
    world.log.wait_for(lambda: world.log.values == [0.0])
    assert (world.store.wills, world.store.retained[STATUS].payload) == ({}, b"offline")


@BOTH
def test_a_clean_disconnect_takes_the_will_along(world: World, version: int) -> None:
    client = world.connected(version=version, will=WILL)
    client.send(Disconnect())
    assert client.is_closed()
    assert (world.log.values, world.store.wills) == ([], {})


def test_disconnect_with_will_publishes_it(world: World) -> None:
    client = world.connected(version=mqtt.V5, will=WILL)
    client.send(Disconnect(Reason.DISCONNECT_WITH_WILL))
    world.log.wait_for(lambda: world.log.values == [0.0])


@BOTH
def test_a_protocol_error_publishes_the_will(world: World, version: int) -> None:
    client = world.connected(version=version, will=WILL)
    client.raw(b"\x00\x00")
    world.log.wait_for(lambda: world.log.values == [0.0])
    assert client.is_closed()


def test_a_will_delay_is_waited_for(world: World) -> None:
    """A client that returns in time has never been away."""
    delayed = Will(STATUS, b"offline", 1, properties={Prop.WILL_DELAY: 30})
    for returns in (True, False):
        client = world.connected(version=mqtt.V5, will=delayed, **keeping(mqtt.V5))
        client.close()
        world.wait(lambda: world.door.counts.connections == 0)
        world.pass_time(28)
        assert world.log.values == []
        if returns:
            world.connected(version=mqtt.V5, will=delayed, **keeping(mqtt.V5))
            world.pass_time(3)
            assert world.log.values == []
    world.pass_time(4)
    world.log.wait_for(lambda: world.log.values == [0.0])
    assert world.store.wills == {}


def test_the_end_of_the_session_ends_the_will_delay(world: World) -> None:
    delayed = Will(STATUS, b"offline", 1, properties={Prop.WILL_DELAY: 3000})
    world.connected(version=mqtt.V5, will=delayed, **keeping(mqtt.V5)).close()
    world.wait(lambda: world.door.counts.connections == 0)
    assert not world.client(mqtt.V5).connect(clean=True).session_present
    world.log.wait_for(lambda: world.log.values == [0.0])


def test_after_a_restart_of_ours_a_will_waits_for_its_client(world: World) -> None:
    """Or a restart would shout five thousand offline."""
    for name in ("returns", "stays away"):
        world.connected(name, will=WILL, keep_alive_s=20)
    world.restart()
    world.pass_time(10)
    world.connected("returns", will=WILL, keep_alive_s=2000)
    world.pass_time(19)
    assert (world.log.values, len(world.store.wills)) == ([], 2)
    world.pass_time(3)
    world.log.wait_for(lambda: world.log.values == [0.0])
    world.pass_time(30)
    assert (world.log.values, len(world.store.wills)) == ([0.0], 1)


def test_a_returning_client_without_a_will_ends_the_old_one(world: World) -> None:
    world.connected(will=WILL, keep_alive_s=20)
    world.restart()
    world.connected(keep_alive_s=2000)
    assert world.store.wills == {}
    world.pass_time(60)
    assert world.log.values == []


def test_a_takeover_keeps_the_new_will(world: World) -> None:
    """The old will is published, the row of the new one stays."""
    world.connected(will=WILL)
    world.connected(will=Will(STATUS, b"online", 1))
    world.log.wait_for(lambda: world.log.values == [0.0])
    assert [will.payload for will in world.store.wills.values()] == [b"online"]


@pytest.mark.parametrize(("version", "code"), [(mqtt.V5, 0x87), (mqtt.V311, 5)])
def test_a_will_on_a_foreign_topic_is_refused(version: int, code: int) -> None:
    with door_world(credentials=OneLogin(KITCHEN)) as world:
        will = Will("tocsin/v1/shop-2/bar/status", b"offline")
        client = world.client(version)
        client.send(Connect("c", version, username="kitchen", password=b"kitchen", will=will))
        assert client.expect(mqtt.Connack).code == code
        assert world.door.counts.refused[Cause.FOREIGN] == 1
