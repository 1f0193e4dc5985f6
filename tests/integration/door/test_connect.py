"""Who is let in, what is agreed, and why a connection ends: by raw bytes, line by line."""

from __future__ import annotations

import gc
import socket
import struct
from contextlib import suppress
from pathlib import Path

import pytest

from ingest.door import Cause, Door, DoorSettings
from ingest.intake import JsonIntake
from schemas import mqtt
from schemas.errors import ConfigError, Fenced, ServiceAway
from schemas.mqtt import Ack, Auth, Bare, Connack, Connect, Disconnect, Publish, Type, Will
from schemas.mqtt_fields import Prop, Reason
from schemas.principals import Principal
from tests.door_world import STATUS, TELEMETRY, WAIT_S, MemoryLog, MemoryStore, OneLogin, World, door_world
from tests.waiting import until

GOOD = b'{"temperature": 21.5}'
KITCHEN = Principal("kitchen", devices=frozenset({"shop-1/kitchen"}))
BAR = Principal("bar", devices=frozenset({"shop-1/bar"}))
BOTH = pytest.mark.parametrize("version", [mqtt.V311, mqtt.V5])
FIVE_ELSE_THREE = pytest.mark.parametrize(("version", "place"), [(mqtt.V5, 0), (mqtt.V311, 1)])


def answer_to(world: World, version: int, packet: Connect) -> int | None:
    """The code of the CONNACK, None when the door closes without one."""
    client = world.client(version)
    client.send(packet)
    answer = client.read()
    if answer is None:
        return None
    assert isinstance(answer, Connack)
    if answer.code:
        assert client.is_closed()
    return answer.code


@FIVE_ELSE_THREE
def test_a_user_name_over_256_bytes_is_nobodys(version: int, place: int) -> None:
    """It is not even looked up."""
    name = "n" * 257
    with door_world(credentials=OneLogin(Principal(name))) as world:
        packet = Connect("c", version, username=name, password=name.encode())
        assert answer_to(world, version, packet) == (Reason.BAD_LOGIN, 4)[place]


@FIVE_ELSE_THREE
def test_a_login_is_checked(version: int, place: int) -> None:
    with door_world(credentials=OneLogin(KITCHEN)) as world:
        wrong = Connect("c", version, username="kitchen", password=b"guess")
        unknown = Connect("c", version, username="nobody", password=b"nobody")
        right = Connect("c", version, username="kitchen", password=b"kitchen")
        assert answer_to(world, version, wrong) == (Reason.BAD_LOGIN, 4)[place]
        assert answer_to(world, version, unknown) == (Reason.BAD_LOGIN, 4)[place]
        assert answer_to(world, version, right) == 0
        assert world.door.counts.refused[Cause.LOGIN] == 2


def test_without_a_login_only_loopback_is_open() -> None:
    """On any other address the door does not start without credentials."""
    store = MemoryStore()
    log = MemoryLog(store)

    def door(host: str, credentials: OneLogin | None) -> Door:
        return Door(
            DoorSettings(host=host, port=0), intake=JsonIntake(), log=log, store=store, clock=lambda: 0,
            credentials=credentials,
        )  # fmt: skip

    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        with pytest.raises(ConfigError, match="anybody"):
            door(host, None)
    door("127.0.0.1", None).close()
    door("0.0.0.0", OneLogin(KITCHEN)).close()


@FIVE_ELSE_THREE
def test_on_another_address_a_client_must_log_in(version: int, place: int) -> None:
    with door_world({"host": "0.0.0.0"}, credentials=OneLogin(KITCHEN)) as world:
        assert answer_to(world, version, Connect("c", version)) == (Reason.NOT_AUTHORIZED, 5)[place]
        assert answer_to(world, version, Connect("c", version, username="kitchen", password=b"kitchen")) == 0


@FIVE_ELSE_THREE
def test_logins_that_cannot_be_checked_now_are_sent_away(version: int, place: int) -> None:
    class Away(OneLogin):
        def check(self, username: str, password: bytes) -> Principal | None:
            raise ServiceAway("registry", "not yet")

    with door_world(credentials=Away()) as world:
        refused = answer_to(world, version, Connect("c", version, username="kitchen", password=b"x"))
        assert refused == (Reason.SERVER_UNAVAILABLE, 3)[place]


def test_an_empty_client_id_gets_one(world: World) -> None:
    """In 3.1.1 only with a clean session."""
    five = world.client(mqtt.V5)
    assert five.connect("").properties[Prop.ASSIGNED_CLIENT_ID].startswith("tocsin-")
    assert answer_to(world, mqtt.V311, Connect("")) == 0
    assert answer_to(world, mqtt.V311, Connect("", clean=False)) == 2


@pytest.mark.parametrize("level", [3, 6])
def test_another_version_is_told(world: World, level: int) -> None:
    client = world.client()
    frame = bytearray(mqtt.encode(Connect("c"), mqtt.V311))
    frame[8] = level
    client.raw(bytes(frame))
    assert client.read() == Connack(False, 1)
    assert client.is_closed()


def test_what_is_not_announced_is_not_there(world: World) -> None:
    props = world.client(mqtt.V5).connect().properties
    assert props == {
        Prop.RECEIVE_MAXIMUM: 8192, Prop.MAXIMUM_QOS: 1, Prop.MAXIMUM_PACKET_SIZE: 262_144,
        Prop.TOPIC_ALIAS_MAXIMUM: 0, Prop.SUBSCRIPTION_IDS_AVAILABLE: 0, Prop.SHARED_AVAILABLE: 0,
    }  # fmt: skip


def test_auth_is_refused(world: World) -> None:
    """Also its announcement in CONNECT."""
    method = {Prop.AUTH_METHOD: "SCRAM"}
    assert answer_to(world, mqtt.V5, Connect("c", 5, properties=method)) == Reason.BAD_AUTHENTICATION_METHOD
    client = world.connected(version=mqtt.V5)
    client.send(Auth(0x18, method))
    assert client.read() == Disconnect(Reason.BAD_AUTHENTICATION_METHOD)
    assert world.door.counts.closed[Cause.AUTH] == 1


@BOTH
def test_a_second_connect_is_a_protocol_error(world: World, version: int) -> None:
    client = world.connected(version=version)
    client.send(Connect("again", version))
    expected = Disconnect(Reason.PROTOCOL_ERROR) if version == mqtt.V5 else None
    assert client.read() == expected
    assert world.door.counts.closed[Cause.SECOND_CONNECT] == 1


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00",
        b"\xf0\x00",
        b"\x36\x05\x00\x01a\x00\x01",
        b"\x32\x05\x00\x01a\x00\x00",
        b"\x30\x02\x00\x09",
        b"\x30\x04\x00\x02\xff\xfe",
        b"\x30\x03\x00\x01+",
        b"\x30\xff\xff\xff\xff\x01",
        b"\x30\x80\x00",
        b"\x80\x02\x00\x01",
        b"\x82\x02\x00\x01",
        b"\x82\x06\x00\x01\x00\x01a\x03",
        b"\x20\x02\x00\x00",
        b"\xd0\x00",
        b"\xc0\x01\x00",
    ],
    ids=lambda data: data.hex(),
)
@BOTH
def test_malformed_bytes_close_and_are_counted(world: World, version: int, data: bytes) -> None:
    """What stood before them is committed and acknowledged."""
    client = world.connected(version=version)
    packet_id = client.publish(GOOD)
    if version == mqtt.V5 and data[0] in (0x30, 0x32, 0x36) and len(data) > 3 and data[1] < 0x80:
        # The same with an empty list of properties.
        data = bytes([data[0], data[1] + 1]) + data[2:] + b"\x00"
    client.raw(data)
    assert client.read() == Ack(Type.PUBACK, packet_id)
    farewell = client.read()
    assert isinstance(farewell, Disconnect) if version == mqtt.V5 else farewell is None
    closed = world.door.counts.closed
    assert closed[Cause.MALFORMED] + closed[Cause.PROTOCOL] + closed[Cause.AUTH] == 1


@pytest.mark.parametrize(
    "data", [b"\x30\x03\x00\x01a", b"GET / HTTP/1.1\r\n", b"\x10\xff\xff\xff\xff", b"\x10\x02\x00\x04"]
)
def test_what_does_not_begin_with_connect_is_closed(world: World, data: bytes) -> None:
    client = world.client()
    client.raw(data)
    assert client.read() is None
    assert sum(world.door.counts.refused.values()) == 1


def test_no_connect_within_five_seconds(world: World) -> None:
    """Half a CONNECT is none."""
    silent, slow = world.client(), world.client()
    slow.raw(mqtt.encode(Connect("slow"), mqtt.V311)[:7])
    world.connected().send(Bare(Type.PINGREQ))
    world.clock.now_s += 4.9
    quick = world.connected("quick")
    world.pass_time(0.3)
    assert silent.read() is None
    assert slow.read() is None
    assert world.door.counts.refused[Cause.NO_CONNECT] == 2
    quick.publish(GOOD)
    quick.expect(Ack)


@BOTH
def test_a_frame_unfinished_for_thirty_seconds(world: World, version: int) -> None:
    """Dripping bytes do not help; other frames are not held against it."""
    client = world.connected(version=version)
    client.raw(mqtt.encode(Publish(TELEMETRY, GOOD, 1, packet_id=1), version)[:20])
    world.wait(lambda: world.door.counts.unfinished_bytes == 20)
    for _ in range(29):
        world.pass_time(0.9)
        before = world.door.counts.unfinished_bytes
        client.raw(b"a")
        world.wait(lambda before=before: world.door.counts.unfinished_bytes == before + 1)
    assert world.door.counts.closed[Cause.UNFINISHED_FRAME] == 0
    world.pass_time(4.5)
    farewell = client.read()
    assert isinstance(farewell, Disconnect) if version == mqtt.V5 else farewell is None
    assert world.door.counts.closed[Cause.UNFINISHED_FRAME] == 1


@BOTH
def test_one_and_a_half_keep_alives_of_silence(world: World, version: int) -> None:
    quiet = world.connected("quiet", version, keep_alive_s=4)
    lively = world.connected("lively", version, keep_alive_s=4)
    for _ in range(3):
        world.pass_time(1.9)
        lively.send(Bare(Type.PINGREQ))
        assert lively.read() == Bare(Type.PINGRESP)
    assert world.door.counts.closed[Cause.KEEP_ALIVE] == 0
    world.pass_time(1.0)
    farewell = quiet.read()
    assert farewell == (Disconnect(Reason.KEEP_ALIVE_TIMEOUT) if version == mqtt.V5 else None)
    assert world.door.counts.closed[Cause.KEEP_ALIVE] == 1


def test_keep_alive_0_gets_one() -> None:
    """Version 5 is told the server's; 3.1.1 has an idle limit."""
    with door_world({"keep_alive_s": 2, "idle_s": 4}) as world:
        five = world.client(mqtt.V5)
        assert five.connect("five", keep_alive_s=0).properties[Prop.SERVER_KEEP_ALIVE] == 2
        three = world.connected("three", keep_alive_s=0)
        world.pass_time(3.5)
        assert five.read() == Disconnect(Reason.KEEP_ALIVE_TIMEOUT)
        assert world.door.counts.closed[Cause.KEEP_ALIVE] == 1
        world.pass_time(1.0)
        assert three.read() is None


@BOTH
def test_the_same_client_id_takes_over(world: World, version: int) -> None:
    """The old connection is told, and its will is published."""
    will = Will(STATUS, b"offline", 1)
    old = world.connected("twin", version, will=will)
    new = world.connected("twin", version)
    assert old.read() == (Disconnect(Reason.TAKEN_OVER) if version == mqtt.V5 else None)
    world.log.wait_for(lambda: world.log.values == [0.0])
    new.publish(GOOD)
    new.expect(Ack)
    assert world.door.counts.closed[Cause.TAKEN_OVER] == 1


def test_another_login_with_the_same_client_id_takes_nothing() -> None:
    """A client id belongs to its login: nobody can throw out somebody else's device."""
    with door_world(credentials=OneLogin(KITCHEN, BAR)) as world:
        one = world.connected("twin", username="kitchen", password=b"kitchen", clean=False)
        other = world.client()
        assert not other.connect("twin", username="bar", password=b"bar", clean=False).session_present
        one.publish(GOOD)
        one.expect(Ack)
        assert world.door.counts.closed[Cause.TAKEN_OVER] == 0


def test_more_connections_than_allowed_are_refused() -> None:
    with door_world({"connections": 2}) as world:
        world.connected("a")
        world.connected("b", mqtt.V5)
        assert answer_to(world, mqtt.V5, Connect("c", mqtt.V5)) == Reason.QUOTA_EXCEEDED
        assert answer_to(world, mqtt.V311, Connect("c")) == 3
        assert world.door.counts.refused[Cause.CONNECTIONS] == 2


def test_connections_of_one_login_are_bounded() -> None:
    """One login does not use up the door. Who comes back under its client id takes none more."""
    with door_world({"connections_per_login": 2}, credentials=OneLogin(KITCHEN, BAR)) as world:
        login = {"username": "kitchen", "password": b"kitchen"}
        first = world.client()
        for client, client_id in ((first, "a"), (world.client(), "b")):
            client.send(Connect(client_id, **login))
            assert client.read() == Connack(False, 0)
        assert answer_to(world, mqtt.V5, Connect("c", mqtt.V5, **login)) == Reason.QUOTA_EXCEEDED
        assert answer_to(world, mqtt.V311, Connect("c", **login)) == 3
        assert world.door.counts.refused[Cause.CONNECTIONS] == 2
        assert answer_to(world, mqtt.V311, Connect("a", **login)) == 0
        assert first.is_closed()
        for client_id in "ab":
            assert answer_to(world, mqtt.V311, Connect(client_id, username="bar", password=b"bar")) == 0
        for number in range(3):
            # Without a login there is nobody whose share it could be.
            assert answer_to(world, mqtt.V311, Connect(str(number))) == 0


def test_a_connect_over_64_kib_is_not_buffered(world: World) -> None:
    """Anybody may send one, before a login was looked at."""
    will = Will(STATUS, b"x" * 60_000, 1)
    assert answer_to(world, mqtt.V311, Connect("c", will=will)) == 0
    client = world.client()
    too_long = mqtt.encode(Connect("d", will=will, username="n", password=b"p" * 6_000), mqtt.V311)
    client.raw(too_long[:10])
    assert client.is_closed()
    assert world.door.counts.refused[Cause.TOO_LARGE] == 1


def test_a_client_over_its_rate_is_not_read_for_the_rest_of_the_second() -> None:
    """Nothing is lost: it waits in the socket."""
    with door_world({"messages_per_s": 50}) as world:
        client = world.connected()
        client.send(*(Publish(TELEMETRY, b'{"value": 1}', 1, packet_id=n) for n in range(1, 101)))
        for _ in range(100):
            client.expect(Ack)
        world.wait(lambda: world.door.counts.rate_limited == 1)
        client.publish(GOOD, packet_id=101)
        client.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.read()
        client.socket.settimeout(WAIT_S)
        world.clock.now_s += 1.0
        assert client.read() == Ack(Type.PUBACK, 101)


def test_a_client_over_its_refused_messages_is_not_read_for_the_rest_of_the_second() -> None:
    """Each is answered and kept one by one, in rounds that everybody waits for. Its neighbour is read all the while."""
    with door_world({"refused_per_s": 20}) as world:
        faulty, sound = world.connected("faulty"), world.connected("sound")
        for seconds in range(1, 3):
            for number in range(1, 22):
                faulty.publish(b"{", packet_id=number)
                assert faulty.read() == Ack(Type.PUBACK, number)
            # Its last PUBACK came after it was counted.
            assert world.door.counts.rate_limited == seconds
            faulty.publish(GOOD, packet_id=100)
            for number in range(1, 42):
                sound.publish(GOOD, packet_id=number)
                assert sound.read() == Ack(Type.PUBACK, number)
            faulty.socket.settimeout(0.5)
            with pytest.raises(TimeoutError):
                faulty.read()
            faulty.socket.settimeout(WAIT_S)
            world.clock.now_s += 1.0
            assert faulty.read() == Ack(Type.PUBACK, 100)
        assert len(world.log.quarantined) == 42


def test_messages_over_the_limit_count_as_refused() -> None:
    with door_world({"refused_per_s": 2, "packet_size": 4096}) as world:
        client = world.connected()
        for number in range(1, 4):
            assert world.door.counts.rate_limited == 0
            client.publish(b"y" * 5_000, packet_id=number)
            assert client.read() == Ack(Type.PUBACK, number)
        assert world.door.counts.rate_limited == 1


def test_unfinished_frames_of_all_clients_are_bounded() -> None:
    with door_world({"unfinished_bytes": 150_000}) as world:
        clients = [world.connected(str(n), mqtt.V5) for n in range(2)]
        for client in clients:
            client.raw(mqtt.encode(Publish(TELEMETRY, b"x" * 200_000), mqtt.V5)[:100_000])
        world.wait(lambda: world.door.counts.closed[Cause.UNFINISHED_BYTES] == 1)
        assert world.door.counts.unfinished_bytes <= 150_000


def test_a_client_that_does_not_read_is_not_read() -> None:
    """Its PUBACKs fill the socket, then its messages stay where they are; after a minute it is closed."""
    with door_world({"messages_per_s": 1 << 40}) as world:
        client = world.client()
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect()
        frame = mqtt.encode(Publish(TELEMETRY, GOOD, 1, packet_id=1), mqtt.V311)
        client.socket.setblocking(False)
        frames, rest = frame * 50_000, b""

        def is_stuck() -> bool:
            nonlocal rest
            rest = rest or frames
            try:
                rest = rest[client.socket.send(rest) :]
            except BlockingIOError:
                return any(c.backlog for c in list(world.door.state.connections.values()))
            return False

        world.wait(is_stuck)
        world.pass_time(61)
        assert world.door.counts.closed[Cause.UNREAD] == 1


@FIVE_ELSE_THREE
def test_while_the_log_is_away_nothing_is_acknowledged_or_lost(version: int, place: int) -> None:
    """New clients are sent away; afterwards they come in at a limited rate."""
    with door_world({"reentry_per_s": 1.0, "reentry_s": 10.0}) as world:
        client = world.connected("here", version)
        world.log.away = True
        packet_id = client.publish(GOOD)
        world.wait(lambda: world.door.counts.is_away)
        assert answer_to(world, version, Connect("new", version)) == (Reason.SERVER_UNAVAILABLE, 3)[place]
        waiting = client.publish(GOOD)
        _move_until(world, lambda: world.door.counts.away >= 3)
        assert world.log.values == []
        world.log.away = False
        _move_until(world, lambda: not world.door.counts.is_away)
        assert [client.read(), client.read()] == [Ack(Type.PUBACK, packet_id), Ack(Type.PUBACK, waiting)]
        assert world.log.values == [21.5, 21.5]
        limited = (Reason.CONNECTION_RATE_EXCEEDED, 3)[place]
        assert answer_to(world, version, Connect("new", version)) == limited
        world.clock.now_s += 1.0
        assert answer_to(world, version, Connect("new", version)) == 0
        assert answer_to(world, version, Connect("newer", version)) == limited
        world.clock.now_s += 10.0
        assert answer_to(world, version, Connect("newer", version)) == 0
        assert (world.door.counts.refused[Cause.AWAY], world.door.counts.refused[Cause.REENTRY]) == (1, 2)


def _move_until(world: World, claim: object) -> None:
    def moved() -> bool:
        world.clock.now_s += 0.02
        return bool(claim())  # type: ignore[operator]

    world.wait(moved)


def test_keep_alive_does_not_run_while_we_do_not_read(world: World) -> None:
    """An hour without the log must not throw every device out, or publish its will."""
    client = world.connected(keep_alive_s=10, will=Will(STATUS, b"offline", 1))
    world.log.gate.clear()
    client.publish(GOOD)
    with world.log.tried:
        assert world.log.tried.wait_for(lambda: world.log.tries > 1, WAIT_S)
    world.clock.now_s += 3600
    world.log.gate.set()
    client.expect(Ack)
    world.pass_time(2.0)
    client.publish(GOOD)
    client.expect(Ack)
    assert world.log.values == [21.5, 21.5]


def test_a_stop_while_the_log_is_away_acknowledges_nothing(world: World) -> None:
    client = world.connected()
    world.log.away = True
    client.publish(GOOD)
    world.wait(lambda: world.door.counts.is_away)
    world.stop.set()
    assert client.is_closed()
    assert world.log.values == []


class FencedLog:
    def commit(self, *_: object) -> int:
        raise Fenced("another writer")


def test_a_fenced_door_stops_loudly() -> None:
    """Another writer holds the log: going on would tear it."""
    world = World(log=FencedLog())
    try:
        client = world.connected()
        client.publish(GOOD)
        assert client.is_closed()
    finally:
        world.end()
    assert isinstance(world.failure, Fenced)


def test_a_stop_tells_version_5(world: World) -> None:
    client = world.connected(version=mqtt.V5)
    world.door.close()
    assert client.read() == Disconnect(Reason.SHUTTING_DOWN)


def test_a_reset_connection_is_forgotten(world: World) -> None:
    client = world.connected()
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    world.wait(lambda: world.door.counts.connections == 0)
    assert world.door.counts.closed[Cause.CUT] == 1


@pytest.mark.parametrize("how", ["stop", "close", "failure"])
def test_a_door_that_closes_takes_no_message_to_send(how: str) -> None:
    """Its caller would count it as sent, and never say it again."""
    world = World(None, **({"log": FencedLog()} if how == "failure" else {}))
    try:
        if how == "stop":
            world.connected()
            world.stop.set()
        elif how == "close":
            world.door.close()
        else:
            world.client().send(Connect("c", clean=False))
            world.thread.join(WAIT_S)
        with pytest.raises(ServiceAway, match="closing"):
            world.door.publish(STATUS, b"online")
    finally:
        world.end()
    assert isinstance(world.failure, Fenced) is (how == "failure")


def test_closing_leaves_no_file_open() -> None:
    gc.collect()
    before = open_files()
    with door_world() as world:
        for number in range(20):
            world.connected(str(number)).publish(GOOD)
        world.client()
    until(lambda: open_files() <= before, "nothing is open that was not before")


def open_files() -> set[tuple[str, str]]:
    """Number and kind of each. Threads of other tests' services may open and close theirs meanwhile."""
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add((path.name, str(path.readlink())))
    return found
