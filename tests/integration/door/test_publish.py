"""What the door answers to PUBLISH: by raw bytes, line by line."""

from __future__ import annotations

from itertools import pairwise

import pytest

from ingest.door import Cause, Dropped
from schemas import mqtt
from schemas.mqtt import Ack, Bare, Connect, Disconnect, Publish, Type
from schemas.mqtt_fields import Prop, Reason
from schemas.principals import Principal
from tests.door_world import ERRORS, STATUS, TELEMETRY, WAIT_S, OneLogin, World, door_world

GOOD = b'{"temperature": 21.5}'
KITCHEN = Principal("kitchen", devices=frozenset({"shop-1/kitchen"}))
ELSEWHERE = "tocsin/v1/shop-2/bar/telemetry"
BOTH = pytest.mark.parametrize("version", [mqtt.V311, mqtt.V5])


@BOTH
def test_puback_follows_the_commit(world: World, version: int) -> None:
    """A PUBACK means that the reading is on disk."""
    client = world.connected(version=version)
    world.log.gate.clear()
    packet_id = client.publish(GOOD)
    with world.log.tried:
        assert world.log.tried.wait_for(lambda: world.log.tries > 0, WAIT_S)
    client.socket.settimeout(0.05)
    with pytest.raises(TimeoutError):
        client.read()
    client.socket.settimeout(WAIT_S)
    world.log.gate.set()
    assert client.read() == Ack(Type.PUBACK, packet_id)
    assert world.log.values == [21.5]
    assert world.failpoints.count("after_commit_before_puback") >= 1


@BOTH
def test_pubacks_come_in_the_order_of_receipt(world: World, version: int) -> None:
    """MQTT-4.6.0-2, also with control packets, repeats and properties in between."""
    client = world.connected(version=version)
    packets: list[mqtt.Packet] = []
    for number in range(1, 200):
        packets.append(Publish(TELEMETRY, b'{"value": %d}' % number, 1, packet_id=number, dup=number % 7 == 0))
        if number % 10 == 0:
            packets.append(Bare(Type.PINGREQ))
    client.send(*packets)
    answers = [client.read() for _ in range(199 + 19)]
    assert [a.packet_id for a in answers if isinstance(a, Ack)] == list(range(1, 200))
    assert world.log.values == [float(number) for number in range(1, 200)]


def test_qos_0_is_taken_without_an_answer(world: World) -> None:
    client = world.connected()
    client.publish(GOOD, qos=0)
    client.send(Bare(Type.PINGREQ))
    assert client.read() == Bare(Type.PINGRESP)
    assert world.log.values == [21.5]


def test_a_message_with_properties_is_taken(world: World) -> None:
    client = world.connected(version=mqtt.V5)
    props = {Prop.USER: [("a", "b")], Prop.CONTENT_TYPE: "application/json", Prop.PAYLOAD_FORMAT: 1}
    packet_id = client.publish(GOOD, properties=props)
    assert client.read() == Ack(Type.PUBACK, packet_id)
    assert world.log.values == [21.5]


def test_a_refused_message_is_kept_acknowledged_and_answered(world: World) -> None:
    """The device that sent it is told which field is wrong."""
    client = world.connected()
    assert client.subscribe(ERRORS) == (1,)
    packet_id = client.publish(b'{"temperatur": 1}')
    assert client.read() == Ack(Type.PUBACK, packet_id)
    answer = client.expect(Publish)
    assert (answer.topic, b"temperatur" in answer.payload) == (ERRORS, True)
    assert [one.payload for one in world.log.quarantined] == [b'{"temperatur": 1}']
    assert [one.client for one in world.log.quarantined] == ["c"]


def test_a_foreign_topic_is_dropped_and_closed_after_ten_a_minute() -> None:
    """PUBACK 0x87 in version 5; 3.1.1 has no such word."""
    with door_world(credentials=OneLogin(KITCHEN)) as world:
        login = {"username": "kitchen", "password": b"kitchen"}
        five = world.connected("five", mqtt.V5, **login)
        three = world.connected("three", **login)
        for client, reason in ((five, Reason.NOT_AUTHORIZED), (three, 0)):
            for _ in range(10):
                packet_id = client.publish(GOOD, topic=ELSEWHERE)
                assert client.read() == Ack(Type.PUBACK, packet_id, reason)
            packet_id = client.publish(GOOD)
            assert client.read() == Ack(Type.PUBACK, packet_id)
            world.clock.now_s += 61
            client.publish(GOOD, topic=ELSEWHERE)
            client.read()
            for _ in range(10):
                client.publish(GOOD, topic=ELSEWHERE)
            assert client.is_closed()
        assert world.log.values == [21.5, 21.5]
        assert world.door.counts.dropped[Dropped.FOREIGN] == 42
        assert world.door.counts.closed[Cause.FOREIGN] == 2


def test_an_integrator_publishes_under_the_devices_it_owns() -> None:
    integrator = Principal("maker", enterprises=frozenset({"shop-1"}))
    with door_world(credentials=OneLogin(integrator)) as world:
        client = world.connected("m", mqtt.V5, username="maker", password=b"maker")
        for topic, reason in ((TELEMETRY, 0), (ELSEWHERE, 0x87), ("tocsin/v1/shop-1/new/telemetry", 0)):
            packet_id = client.publish(GOOD, topic=topic)
            assert client.read() == Ack(Type.PUBACK, packet_id, reason)


def test_two_logins_that_take_turns_on_one_topic_are_both_heard() -> None:
    """The remembered verdict belongs to one login; the other is looked up, not refused."""
    maker = Principal("maker", enterprises=frozenset({"shop-1"}))
    with door_world(credentials=OneLogin(maker, KITCHEN)) as world:
        clients = [world.connected(name, username=name, password=name.encode()) for name in ("maker", "kitchen")]
        for _ in range(3):
            for client in clients:
                client.publish(GOOD)
                client.expect(Ack)
        assert len(world.log.values) == 6


def test_qos_2_is_not_supported_in_version_5(world: World) -> None:
    client = world.client(mqtt.V5)
    assert client.connect().properties[Prop.MAXIMUM_QOS] == 1
    client.publish(GOOD, qos=2)
    assert client.read() == Disconnect(Reason.QOS_NOT_SUPPORTED)
    assert client.is_closed()


def test_qos_2_is_taken_once_whatever_its_dup(world: World) -> None:
    """The id is stored with the message; PUBREL forgets it; PUBCOMP follows for unknown ids too."""
    client = world.connected(clean=False)
    for dup in (False, True, False):
        client.publish(GOOD, qos=2, packet_id=9, dup=dup)
        assert client.read() == Ack(Type.PUBREC, 9)
    assert world.log.values == [21.5]
    assert [one.packet_id for one in world.store.ids.values()] == [9]
    world.restart()
    client = world.client()
    assert client.connect(clean=False).session_present
    client.publish(GOOD, qos=2, packet_id=9, dup=True)
    assert client.read() == Ack(Type.PUBREC, 9)
    assert world.log.values == [21.5]
    for packet_id in (9, 9, 10):
        client.send(Ack(Type.PUBREL, packet_id))
        assert client.read() == Ack(Type.PUBCOMP, packet_id)
    assert not world.store.ids
    client.publish(GOOD, qos=2, packet_id=9)
    client.read()
    assert world.log.values == [21.5, 21.5]


def test_too_large_is_told_in_version_5(world: World) -> None:
    client = world.client(mqtt.V5)
    assert client.connect().properties[Prop.MAXIMUM_PACKET_SIZE] == 256 * 1024
    client.publish(b"x" * 300_000)
    assert client.read() == Disconnect(Reason.PACKET_TOO_LARGE)
    assert world.door.counts.closed[Cause.TOO_LARGE] == 1


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_too_large_is_skipped_and_acknowledged_in_3_1_1(world: World, qos: int) -> None:
    """Closing would only bring it back; its head is kept, the rest is never buffered."""
    client = world.connected(clean=False)
    payload = b"y" * 3_000_000
    packet_id = client.publish(payload, qos=qos)
    after = client.publish(GOOD)
    expected = [Ack(Type.PUBACK, after)]
    if qos:
        expected.append(Ack(Type.PUBACK if qos == 1 else Type.PUBREC, packet_id))
    # A PUBREC and a PUBACK owe each other no order.
    answers = [client.expect(Ack) for _ in expected]
    assert sorted(answers, key=repr) == sorted(expected, key=repr)
    kept = world.log.quarantined[0]
    assert (kept.topic, kept.payload, kept.rejects[0].code) == (TELEMETRY, b"y" * 4096, "too_large")
    assert [one.client for one in world.log.quarantined] == ["c"]
    assert world.door.counts.unfinished_bytes == 0


@pytest.mark.parametrize("size", [5_000, 70_000])
def test_too_large_in_one_piece_with_its_neighbours(size: int) -> None:
    """All of it is read at once, with a message before and one behind it (found by the fuzzer)."""
    with door_world({"packet_size": 4096}) as world:
        client = world.connected()
        payloads = (GOOD, b"y" * size, GOOD)
        client.send(*(Publish(TELEMETRY, body, 1, packet_id=n) for n, body in enumerate(payloads, 1)))
        assert [client.expect(Ack).packet_id for _ in payloads] == [1, 2, 3]
        assert world.log.values == [21.5, 21.5]
        assert [len(one.payload) for one in world.log.quarantined] == [4096]


def test_a_head_longer_than_a_packet_may_be_is_still_read() -> None:
    """Its topic alone is longer; it is a foreign one, but is answered."""
    with door_world({"packet_size": 4096}) as world:
        client = world.connected()
        client.publish(b"x" * 10_000, topic="t" * 60_000)
        assert client.read() == Ack(Type.PUBACK, 1)


def test_the_largest_packet_is_taken(world: World) -> None:
    client = world.connected(version=mqtt.V5)
    head = mqtt.encode(Publish(TELEMETRY, b"", 1, packet_id=1), mqtt.V5)
    packet_id = client.publish(b" " * (256 * 1024 - len(head) - 2 - len(GOOD)) + GOOD)
    assert client.read() == Ack(Type.PUBACK, packet_id)
    assert world.log.values == [21.5]


def test_more_than_the_receive_maximum_is_told_in_version_5() -> None:
    with door_world({"receive_maximum": 10}) as world:
        client = world.client(mqtt.V5)
        assert client.connect().properties[Prop.RECEIVE_MAXIMUM] == 10
        client.send(*(Publish(TELEMETRY, GOOD, 1, packet_id=n) for n in range(1, 12)))
        assert [client.expect(Ack).packet_id for _ in range(10)] == list(range(1, 11))
        assert client.read() == Disconnect(Reason.RECEIVE_MAXIMUM_EXCEEDED)


def test_qos_0_does_not_count_against_the_receive_maximum() -> None:
    with door_world({"receive_maximum": 10}) as world:
        client = world.connected(version=mqtt.V5)
        client.send(*(Publish(TELEMETRY, GOOD) for _ in range(100)), Publish(TELEMETRY, GOOD, 1, packet_id=1))
        assert client.read() == Ack(Type.PUBACK, 1)
        assert len(world.log.values) == 101


def test_messages_with_properties_count_against_the_receive_maximum() -> None:
    """They take the slow path, and are as much owed as the others."""
    with door_world({"receive_maximum": 10}) as world:
        client = world.connected(version=mqtt.V5)
        props = {Prop.USER: [("a", "b")]}
        client.send(
            *(Publish(TELEMETRY, GOOD, 1, packet_id=n, properties=props) for n in range(1, 11)),
            Publish(TELEMETRY, GOOD, 1, packet_id=11),
        )
        assert [client.expect(Ack).packet_id for _ in range(10)] == list(range(1, 11))
        assert client.read() == Disconnect(Reason.RECEIVE_MAXIMUM_EXCEEDED)


def test_a_round_takes_so_many_of_one_client_in_3_1_1() -> None:
    """The rest waits its turn, in order; nothing is lost."""
    with door_world({"receive_maximum": 10}) as world:
        client = world.connected()
        client.send(*(Publish(TELEMETRY, b'{"value": %d}' % n, 1, packet_id=n) for n in range(1, 1001)))
        assert [client.expect(Ack).packet_id for _ in range(1000)] == list(range(1, 1001))
        assert world.log.values == [float(n) for n in range(1, 1001)]
        assert world.door.counts.rounds >= 100


def test_a_topic_alias_is_refused(world: World) -> None:
    """With a topic and without one: none was ever allowed."""
    for topic in (TELEMETRY, ""):
        client = world.client(mqtt.V5)
        assert client.connect().properties[Prop.TOPIC_ALIAS_MAXIMUM] == 0
        client.publish(GOOD, topic=topic, properties={Prop.TOPIC_ALIAS: 1})
        assert client.read() == Disconnect(Reason.TOPIC_ALIAS_INVALID)
    assert world.door.counts.closed[Cause.TOPIC_ALIAS] == 2


@BOTH
def test_a_repeat_of_the_last_message_is_not_taken_twice(world: World, version: int) -> None:
    """The PUBACK was lost with the connection; without `ts` the reading would count twice."""
    client = world.connected(version=version)
    client.publish(b'{"value": 1}', packet_id=1)
    client.expect(Ack)
    client.publish(b'{"value": 2}', packet_id=2)
    client.expect(Ack)
    client.close()
    client = world.connected(version=version)
    client.publish(b'{"value": 2}', packet_id=2, dup=True)
    assert client.read() == Ack(Type.PUBACK, 2)
    client.publish(b'{"value": 3}', packet_id=2, dup=True)
    assert client.read() == Ack(Type.PUBACK, 2)
    assert world.log.values == [1.0, 2.0, 3.0]
    assert world.door.counts.dropped[Dropped.REPEATED] == 1


def test_a_repeat_is_known_after_a_takeover(world: World) -> None:
    """The client comes back before the door has seen that its old connection is dead."""
    world.connected().publish(b'{"value": 1}', packet_id=5)
    world.log.wait_for(lambda: world.log.values == [1.0])
    client = world.connected()
    client.publish(b'{"value": 1}', packet_id=5, dup=True)
    assert client.read() == Ack(Type.PUBACK, 5)
    assert world.log.values == [1.0]


def test_frames_cut_anywhere_are_put_together(world: World) -> None:
    client = world.connected()
    data = b"".join(
        mqtt.encode(Publish(TELEMETRY, b'{"value": %d}' % n, 1, packet_id=n), mqtt.V311) for n in range(1, 30)
    )
    for at in range(0, len(data), 7):
        client.raw(data[at : at + 7])
    assert [client.expect(Ack).packet_id for _ in range(1, 30)] == list(range(1, 30))
    assert world.log.values == [float(n) for n in range(1, 30)]


def test_a_client_that_publishes_and_leaves_is_heard(world: World) -> None:
    """`mosquitto_pub -q 0` sends CONNECT, PUBLISH and DISCONNECT at once, and closes."""
    client = world.client()
    client.send(Connect("fast"), Publish(TELEMETRY, GOOD), Disconnect())
    client.close()
    world.log.wait_for(lambda: world.log.values == [21.5])
    world.wait(lambda: world.door.counts.closed[Cause.DISCONNECTED] == 1)


def test_a_socket_number_used_again_gets_no_foreign_puback(world: World) -> None:
    """The client is cut while its message is being committed; its number goes to the next one."""
    first = world.connected("first")
    world.log.gate.clear()
    first.publish(GOOD)
    with world.log.tried:
        assert world.log.tried.wait_for(lambda: world.log.tries > 0, WAIT_S)
    first.close()
    second = world.client()
    second.send(Connect("second"))
    world.log.gate.set()
    assert isinstance(second.read(), mqtt.Connack)
    second.send(Bare(Type.PINGREQ))
    assert second.read() == Bare(Type.PINGRESP)
    assert world.log.values == [21.5]


def test_status_is_a_reading_and_its_deletion_is_none(world: World) -> None:
    client = world.connected()
    for payload in (b"online", b"offline", b""):
        client.publish(payload, topic=STATUS, retain=True)
        client.expect(Ack)
    assert world.log.values == [1.0, 0.0]
    assert (world.store.retained, world.log.quarantined) == ({}, [])


def test_arrivals_rise_strictly_and_never_repeat(world: World) -> None:
    """The clock stands still here: arrivals do not."""
    client = world.connected()
    client.send(*(Publish(TELEMETRY, b'{"value": 1}', 1, packet_id=n) for n in range(1, 101)))
    for _ in range(100):
        client.expect(Ack)
    arrivals = [
        t for batch in world.log.payloads if hasattr(batch, "arrival_time") for t in batch.arrival_time.tolist()
    ]
    assert len(arrivals) == 100
    assert all(a < b for a, b in pairwise(arrivals))
