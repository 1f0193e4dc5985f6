"""A door in a thread with everything behind it in memory, and a client that speaks in raw bytes."""

from __future__ import annotations

import functools
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ingest.door import Door, DoorSettings
from ingest.intake import JsonIntake
from ingest.ports import Kept
from ingest.saved import (
    Change,
    ClientCame,
    Delivered,
    IdReleased,
    IdStored,
    Queued,
    Retained,
    Saved,
    SessionBegun,
    SessionGone,
    SessionKept,
    SessionMoved,
    SubscriptionGone,
    SubscriptionKept,
    WillGone,
    WillKept,
)
from schemas import mqtt
from schemas.entries import Payload
from schemas.errors import ServiceAway
from schemas.mqtt import Connack, Connect, Packet, Publish, Subscribe, Subscription, Type
from schemas.principals import Principal
from schemas.readings import ReadingBatch
from tocsin.warm_up import warm_up

START_US = 1_790_000_000_000_000
TELEMETRY = "tocsin/v1/shop-1/kitchen/telemetry"
STATUS = "tocsin/v1/shop-1/kitchen/status"
ERRORS = "tocsin/v1/shop-1/kitchen/errors"
WAIT_S = 60.0
"""For what is about to happen, on a machine that has other things to do."""


class Clock:
    """Seconds that a test moves; both clocks of the door are this one."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def us(self) -> int:
        return START_US + int(self.now_s * 1e6)


class MemoryStore:
    """What PostgreSQL keeps of sessions, as dictionaries."""

    def __init__(self) -> None:
        self.sessions: dict[Any, SessionKept] = {}
        self.subscriptions: dict[Any, SubscriptionKept] = {}
        self.wills: dict[Any, WillKept] = {}
        self.retained: dict[str, Retained] = {}
        self.ids: dict[Any, IdStored] = {}
        self.queued: dict[Any, Queued] = {}

    def load(self) -> Saved:
        queued = sorted(self.queued.values(), key=lambda one: one.number)
        return Saved(
            tuple(self.sessions.values()), tuple(self.subscriptions.values()), tuple(self.wills.values()),
            tuple(self.retained.values()), tuple(self.ids.values()), queued,
        )  # fmt: skip

    def write(self, cursor: Any, changes: Sequence[Change]) -> None:
        for change in changes:
            match change:
                case SessionBegun():
                    self.sessions[change.key] = SessionKept(change.key, change.expiry_s, None)
                case SessionKept() if change.key in self.sessions:
                    self.sessions[change.key] = change
                case SessionGone() | SessionMoved():
                    self.sessions.pop(change.key, None)
                    for table in (self.subscriptions, self.ids, self.queued):
                        for name in [name for name in table if name[0] == change.key]:
                            del table[name]
                case SubscriptionKept():
                    self.subscriptions[change.key, change.filter] = change
                case SubscriptionGone():
                    self.subscriptions.pop((change.key, change.filter), None)
                case WillKept():
                    self.wills[change.key] = change
                case WillGone() | ClientCame(has_will=False):
                    self.wills.pop(change.key, None)
                case Retained() if change.payload:
                    self.retained[change.topic] = change
                case Retained():
                    self.retained.pop(change.topic, None)
                case IdStored():
                    self.ids[change.key, change.packet_id] = change
                case IdReleased():
                    self.ids.pop((change.key, change.packet_id), None)
                case Queued():
                    self.queued[change.key, change.number] = change
                case Delivered():
                    self.queued.pop((change.key, change.number), None)


class MemoryLog:
    """A log and a quarantine in memory; `gate` closed holds commits, `away` refuses them."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.payloads: list[Payload] = []
        self.quarantined: list[Kept] = []
        self.gate = threading.Event()
        self.gate.set()
        self.away = False
        self.tries = 0
        self.tried = threading.Condition()
        self.changed = threading.Condition()

    def commit(self, payloads: Sequence[Payload], kept: Sequence[Kept], changes: Sequence[Change]) -> int:
        with self.tried:
            self.tries += 1
            self.tried.notify_all()
        self.gate.wait(WAIT_S)
        if self.away:
            raise ServiceAway("log", "it is away", retry_after_s=0.01)
        with self.changed:
            self.payloads.extend(payloads)
            self.quarantined.extend(kept)
            self.store.write(None, changes)
            self.changed.notify_all()
        return 0

    @property
    def values(self) -> list[float]:
        return [
            value for payload in self.payloads if isinstance(payload, ReadingBatch) for value in payload.value.tolist()
        ]

    def wait_for(self, claim: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(claim, WAIT_S), "the log never held what was expected"


class OneLogin:
    """Logins by user name; the password is the name again."""

    def __init__(self, *principals: Principal) -> None:
        self._principals = {principal.id: principal for principal in principals}
        self._changed: set[str] = set()

    def check(self, username: str, password: bytes) -> Principal | None:
        principal = self._principals.get(username)
        return principal if principal is not None and password == username.encode() else None

    def certified(self, name: str) -> Principal | None:
        return self._principals.get(name)

    def still(self, principal: Principal) -> Principal | None:
        return self._principals.get(principal.id)

    def changed(self) -> set[str]:
        found, self._changed = self._changed, set()
        return found

    def become(self, *principals: Principal, gone: Sequence[str] = ()) -> None:
        """These logins from now on."""
        kept = {name: one for name, one in self._principals.items() if name not in gone}
        self._principals = kept | {principal.id: principal for principal in principals}
        self._changed |= {*gone, *(principal.id for principal in principals)}


@functools.cache
def _warm_up() -> None:
    """Without a cache a busy machine compiles for longer than a client waits."""
    warm_up()


class World:
    """A door, its log and its store; `restart` is a kill and a new start over the same store."""

    def __init__(self, settings: dict[str, Any] | None = None, **door: Any) -> None:
        self.settings = DoorSettings(port=0, **(settings or {}))
        self.arguments = door
        self.store = MemoryStore()
        self.log = MemoryLog(self.store)
        self.clock = Clock()
        self.failpoints: list[str] = []
        self.failure: BaseException | None = None
        self._clients: list[Client] = []
        self.start()

    def start(self) -> None:
        _warm_up()
        arguments: dict[str, Any] = {
            "intake": JsonIntake(), "log": self.log, "store": self.store, "clock": self.clock.us,
            "monotonic": self.clock.monotonic, "failpoint": self.failpoints.append,
        }  # fmt: skip
        self.door = Door(self.settings, **{**arguments, **self.arguments})
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, name="door")
        self.thread.start()

    def _run(self) -> None:
        try:
            self.door.run(self.stop)
        except BaseException as failure:
            self.failure = failure

    def end(self) -> None:
        self.log.gate.set()
        self.stop.set()
        self.door.close()
        self.thread.join(WAIT_S)
        assert not self.thread.is_alive()
        for client in self._clients:
            client.close()
        self._clients.clear()

    def restart(self) -> None:
        self.end()
        self.start()

    def client(self, version: int = mqtt.V311) -> Client:
        client = Client(self.door.port, version)
        self._clients.append(client)
        return client

    def connected(self, client_id: str = "c", version: int = mqtt.V311, **fields: Any) -> Client:
        client = self.client(version)
        client.connect(client_id, **fields)
        return client

    def pass_time(self, seconds: float) -> None:
        """Move the clock in steps that the door sees, so that it does not think it was blind."""
        while seconds > 0:
            self.clock.now_s += min(seconds, 0.9)
            seconds -= 0.9
            for _ in range(2):
                seen = self.door.counts.rounds
                self.door.publish("tocsin/v1/nobody/listens/command", b"")
                self.wait(lambda seen=seen: self.door.counts.rounds > seen)

    def wait(self, claim: Callable[[], bool]) -> None:
        """Until the door says so: it turns its rounds at least five times a second."""
        deadline = time.monotonic() + WAIT_S
        turn = threading.Event()
        while not claim():
            if self.failure is not None:
                raise self.failure
            assert time.monotonic() < deadline, "what was expected of the door never came"
            turn.wait(0.005)


class Client:
    """MQTT by hand over a blocking socket."""

    def __init__(self, port: int, version: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), WAIT_S)
        self.socket.settimeout(WAIT_S)
        self.version = version
        self._bytes = b""
        self._ids = itertools.count(1)

    def send(self, *packets: Packet) -> None:
        self.raw(b"".join(mqtt.encode(packet, self.version) for packet in packets))

    def raw(self, data: bytes) -> None:
        self.socket.sendall(data)

    def frame(self) -> bytes:
        """The next frame, b"" when the door has closed."""
        while True:
            size = _whole(self._bytes)
            if size is not None and len(self._bytes) >= size:
                found, self._bytes = self._bytes[:size], self._bytes[size:]
                return found
            try:
                piece = self.socket.recv(65536)
            except ConnectionError:
                return b""
            if not piece:
                return b""
            self._bytes += piece

    def read(self) -> Packet | None:
        frame = self.frame()
        return mqtt.decode(frame, self.version) if frame else None

    def expect(self, kind: type[Any]) -> Any:
        packet = self.read()
        assert isinstance(packet, kind), f"expected {kind.__name__}, got {packet}"
        return packet

    def connect(self, client_id: str = "c", **fields: Any) -> Connack:
        self.send(Connect(client_id, self.version, **fields))
        answer = self.expect(Connack)
        assert answer.code == 0, answer
        return answer

    def publish(self, payload: bytes, topic: str = TELEMETRY, qos: int = 1, **fields: Any) -> int:
        packet_id = fields.pop("packet_id", next(self._ids)) if qos else 0
        self.send(Publish(topic, payload, qos, packet_id=packet_id, **fields))
        return packet_id

    def subscribe(self, *filters: str, qos: int = 1, **options: Any) -> tuple[int, ...]:
        self.send(Subscribe(next(self._ids), tuple(Subscription(one, qos, **options) for one in filters)))
        answer = self.expect(mqtt.Suback)
        assert answer.type is Type.SUBACK
        return answer.codes

    def is_closed(self) -> bool:
        """Wait for the door's farewell, and throw away what comes before it."""
        while self.frame():
            pass
        return True

    def close(self) -> None:
        self.socket.close()


def _whole(data: bytes) -> int | None:
    length = 0
    for at, byte in enumerate(data[1:5]):
        length |= (byte & 0x7F) << 7 * at
        if byte < 0x80:
            return 2 + at + length
    return None


@contextmanager
def door_world(settings: dict[str, Any] | None = None, **door: Any) -> Iterator[World]:
    world = World(settings, **door)
    try:
        yield world
    finally:
        world.end()
    if world.failure is not None:
        raise world.failure
