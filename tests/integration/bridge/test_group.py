"""Several bridges at one Mosquitto: they share what comes, and one reads what a dead one has left."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import psycopg
import pytest

from ingest.bridge.limits import Cause
from ingest.bridge.sessions import Role
from ingest.ports import Kept, RoundLog
from ingest.saved import Change
from schemas.alarms import AlarmEvent
from schemas.entries import Payload, Tick
from schemas.errors import Fenced
from schemas.readings import ReadingBatch
from tests.bridge_world import BridgeWorld, device
from tests.door_world import START_US, STATUS, WAIT_S, MemoryLog, MemoryStore
from tests.engine_room import Room, a_rule, steps
from tests.waiting import until
from tocsin.local.mosquitto import Mosquitto

pytestmark = pytest.mark.integration

MESSAGES = 400

Open = Callable[..., BridgeWorld]


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(MemoryStore())


@pytest.fixture
def join(mosquitto: Mosquitto, dsn: str, log: MemoryLog) -> Iterator[Open]:
    """Makes a bridge by name, over the same log, and waits until it reads."""
    worlds: list[BridgeWorld] = []

    def open_one(name: str, instead: RoundLog | None = None, **settings: object) -> BridgeWorld:
        world = BridgeWorld(mosquitto.url, name, log, dsn, settings=settings).start(instead)
        worlds.append(world)
        return world.wait_until_connected()

    yield open_one
    for world in worlds:
        world.end()
        world.leases.close()


class Held:
    """Port `ingest.ports.RoundLog`: a bridge whose commits take as long as the test wants."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.gate = threading.Event()
        self.has_tried = threading.Event()

    def commit(self, payloads: Sequence[Payload], kept: Sequence[Kept], changes: Sequence[Change]) -> int:
        self.has_tried.set()
        self.gate.wait(WAIT_S)
        return self._log.commit(payloads, kept, changes)


def publish(mosquitto: Mosquitto, numbers: range) -> None:
    """One reading a message, each of a device of its own value; returns when the broker has them."""
    with device(mosquitto.port, "feeder") as feeder:
        for number in numbers:
            feeder.publish(b'{"ts":%d,"value":%d}' % (1_790_000_000_000 + number, number))
        for _ in numbers:
            feeder.frame()


def lapse(dsn: str, name: str) -> None:
    """It has not been heard of for an hour."""
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE bridges SET seen_at = now() - interval '1 hour' WHERE name = %s", (name,))


def roles(world: BridgeWorld) -> list[Role]:
    return sorted(one.role for one in world.leases.held())


def test_they_share_the_telemetry_and_one_of_them_has_the_statuses(
    join: Open, mosquitto: Mosquitto, log: MemoryLog
) -> None:
    """Each message once; a status by the one session that is common."""
    a, b = join("a"), join("b")
    assert (roles(a), roles(b)) == ([Role.COMMON, Role.OWN], [Role.OWN])
    publish(mosquitto, range(MESSAGES))
    log.wait_for(lambda: len(log.values) >= MESSAGES)
    assert sorted(log.values) == list(range(MESSAGES))
    until(lambda: a.bridge.counts.messages + b.bridge.counts.messages == MESSAGES, "both have counted")
    assert min(a.bridge.counts.messages, b.bridge.counts.messages) > 0
    with device(mosquitto.port) as kitchen:
        kitchen.publish(b"offline", STATUS, retain=True)
        log.wait_for(lambda: len(log.values) > MESSAGES)
    assert log.values[MESSAGES:] == [0.0]


def test_what_waits_for_a_dead_bridge_is_read_by_another(
    join: Open, mosquitto: Mosquitto, log: MemoryLog, dsn: str
) -> None:
    """The broker goes on sending a part of everything into a session that nobody reads."""
    a, b = join("a"), join("b")
    a.end()
    publish(mosquitto, range(MESSAGES))
    lapse(dsn, "a")
    b.ahead_s = 1_000.0
    b.leases.turn()
    assert roles(b) == [Role.ADOPTED, Role.COMMON, Role.OWN]
    until(lambda: b.bridge.counts.adopted == 1, "the session is read to its end")
    log.wait_for(lambda: len(log.values) >= MESSAGES)
    assert sorted(log.values) == list(range(MESSAGES))
    b.leases.turn()
    assert roles(b) == [Role.COMMON, Role.OWN]
    publish(mosquitto, range(MESSAGES, 2 * MESSAGES))
    log.wait_for(lambda: len(log.values) >= 2 * MESSAGES)
    assert sorted(log.values) == list(range(2 * MESSAGES))


def test_one_that_was_taken_for_dead_takes_its_session_back(
    join: Open, mosquitto: Mosquitto, log: MemoryLog, dsn: str
) -> None:
    """Cut off from PostgreSQL alone, it still reads: the broker lets in one of a name, and nothing is lost."""
    a, b = join("a"), join("b")
    lapse(dsn, "a")
    b.ahead_s = 1_000.0
    b.leases.turn()
    until(lambda: a.bridge.counts.closed.total() >= 2, "its sessions are taken over")
    # Mosquitto does not always come to say why.
    assert set(a.bridge.counts.closed) <= {Cause.TAKEN_OVER, Cause.CUT}
    publish(mosquitto, range(MESSAGES))
    a.leases.turn()
    b.leases.turn()
    assert (roles(a), roles(b)) == ([Role.OWN], [Role.COMMON, Role.OWN])
    a.wait_until_connected()
    b.wait_until_connected()
    publish(mosquitto, range(MESSAGES, 2 * MESSAGES))
    log.wait_for(lambda: len(set(log.values)) >= 2 * MESSAGES)


def test_a_clean_stop_hands_over_at_once(join: Open, mosquitto: Mosquitto, log: MemoryLog) -> None:
    """An upgrade leaves nothing waiting for the length of a lease."""
    a, b = join("a"), join("b")
    a.end()
    a.leases.stop()
    a.leases.run()
    publish(mosquitto, range(MESSAGES))
    b.leases.turn()
    assert roles(b) == [Role.ADOPTED, Role.COMMON, Role.OWN]
    log.wait_for(lambda: len(log.values) >= MESSAGES)
    assert sorted(log.values) == list(range(MESSAGES))


def test_without_a_group_one_reads_and_the_other_stands_by(
    join: Open, mosquitto: Mosquitto, log: MemoryLog, dsn: str
) -> None:
    """One session keeps the order of every sensor; the second bridge is there for the day the first dies."""
    a, b = join("a", group=""), join("b", group="")
    assert (roles(a), roles(b)) == ([Role.COMMON], [])
    publish(mosquitto, range(MESSAGES))
    log.wait_for(lambda: log.values == list(range(MESSAGES)))
    assert b.bridge.counts.messages == 0
    a.end()
    publish(mosquitto, range(MESSAGES, 2 * MESSAGES))
    lapse(dsn, "a")
    b.ahead_s = 1_000.0
    b.leases.turn()
    log.wait_for(lambda: log.values == list(range(2 * MESSAGES)))


def test_a_second_bridge_of_one_name_ends_the_first(join: Open, mosquitto: Mosquitto, dsn: str) -> None:
    """Two that read by turns would lose each other's place for ever."""
    a = join("a")
    BridgeWorld(mosquitto.url, "a", dsn=dsn).leases.close()
    with pytest.raises(Fenced, match="TOCSIN_INSTANCE"):
        a.leases.turn()


def test_postgresql_away_changes_nothing(join: Open, mosquitto: Mosquitto, log: MemoryLog) -> None:
    """Readings do not need it; who is dead is judged when it is back."""
    a = join("a")
    a.leases._dsn = "host=127.0.0.1 port=1 dbname=none"
    a.leases.close()
    for _ in range(2):
        a.leases.turn()
    assert "PostgreSQL does not answer" in a.leases.trouble()
    assert roles(a) == [Role.COMMON, Role.OWN]
    publish(mosquitto, range(MESSAGES))
    log.wait_for(lambda: sorted(log.values) == list(range(MESSAGES)))


def test_a_reading_that_was_overtaken_is_stored_and_raises_nothing(
    join: Open, mosquitto: Mosquitto, log: MemoryLog
) -> None:
    """The fire was over when it was read: 95 °C goes by one bridge, and the 20 °C after it come first by the other."""
    held = {"a": Held(log), "b": Held(log)}
    for name, one in held.items():
        join(name, one)
    now_ms = START_US // 1_000 + 1_000_000
    with device(mosquitto.port) as kitchen:
        kitchen.publish(b'{"ts":%d,"temperature":95}' % (now_ms - 2_000))
        until(lambda: any(one.has_tried.is_set() for one in held.values()), "a bridge has it")
        slow = next(name for name, one in held.items() if one.has_tried.is_set())
        quick = next(one for name, one in held.items() if name != slow)
        quick.gate.set()
        for number in range(20):
            kitchen.publish(b'{"ts":%d,"temperature":20}' % (now_ms - 1_000 + number))
        log.wait_for(lambda: 20.0 in log.values)
        held[slow].gate.set()
        log.wait_for(lambda: len(log.values) == 21)
    batches = [one for one in log.payloads if isinstance(one, ReadingBatch)]
    assert log.values.index(95.0) > 0
    assert steps(judged(log.payloads, now_ms)) == []
    newest_last = ReadingBatch.concat(batches)
    newest_last = newest_last.take(np.argsort(newest_last.event_time))
    sensors = [one for one in log.payloads if not isinstance(one, ReadingBatch)]
    assert steps(judged([*sensors, newest_last], now_ms)) == [("raised", "red"), ("cleared", "red")]


def judged(payloads: Sequence[Payload], now_ms: int) -> list[AlarmEvent]:
    """What an engine says of them that alarms above 50 °C."""
    room = Room(a_rule())
    events = room.apply(Tick((now_ms - 5_000) * 1_000))
    for payload in payloads:
        events += room.apply(payload)
    return events + room.apply(Tick(now_ms * 1_000))
