"""Alarms on MQTT: every event by position, the open alarms of an enterprise retained."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import LiteralString

import msgspec
import psycopg
import pytest

from alerting.channels.mqtt_events import AlarmState, MqttEvents
from alerting.desk import TURNS, Desk
from alerting.listening import ALARMS, Listening
from alerting.people import People
from alerting.routes import Recipient, Routes
from schemas.alarms import Grade, State, decode_event
from schemas.errors import ServiceAway
from schemas.viewers import house
from tests.alerting_world import HandClock, HeldChannel, Story, event, make_desk
from tests.waiting import until

EVENTS, STATE = "tocsin/v1/shop-1/alarms", "tocsin/v1/shop-1/alarms/state"


class HeldDoor:
    """A door in memory."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int]] = []
        self.retained: dict[str, AlarmState] = {}
        self.away = False

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        if self.away:
            raise ServiceAway("the door", "it is away")
        assert qos == 1
        if retain:
            self.retained[topic] = msgspec.json.decode(payload, type=AlarmState)
        else:
            self.events.append((topic, decode_event(payload).step))


@pytest.fixture
def desk(dsn: str) -> Iterator[Desk]:
    made = make_desk(dsn, Routes((Recipient("ops", "held"),)), HandClock(), HeldChannel("held"))
    yield made
    made.stop()
    made.run()


def publisher(dsn: str, door: HeldDoor) -> MqttEvents:
    return MqttEvents(dsn, door.publish)


def position(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT position FROM positions WHERE consumer = 'alarms_mqtt'").fetchone()
    assert row is not None
    return int(row[0])


def done(made: MqttEvents) -> None:
    made.stop()
    made.run()


def test_events_go_out_in_order_and_the_state_is_what_is_open(dsn: str, desk: Desk) -> None:
    door, story = HeldDoor(), Story(dsn)
    made = publisher(dsn, door)
    story.tell(event(State.RAISED, Grade.YELLOW), event(State.REGRADED, Grade.RED, step=2, previous=Grade.YELLOW))
    story.tell(event(State.RAISED, Grade.BLUE, device="store"))
    made.serve_once()
    assert door.events == [], "it follows the desk"
    desk.serve_once()
    made.serve_once()
    assert door.events == [(EVENTS, 1), (EVENTS, 2), (EVENTS, 1)]
    assert [(a.device, a.grade) for a in door.retained[STATE].alarms] == [("kitchen", "red"), ("store", "blue")]
    story.tell(
        event(State.CLEARED, Grade.RED, step=3, latched=True), event(State.CLEARED, Grade.BLUE, step=2, device="store")
    )
    desk.serve_once()
    made.serve_once()
    assert [(a.device, a.standing) for a in door.retained[STATE].alarms] == [("kitchen", "latched_unacknowledged")]
    done(made)


def test_a_restart_skips_nothing_and_says_the_state_again(dsn: str, desk: Desk) -> None:
    door, story = HeldDoor(), Story(dsn)
    first = publisher(dsn, door)
    story.tell(event(State.RAISED, Grade.RED))
    desk.serve_once()
    first.serve_once()
    done(first)
    story.tell(event(State.REGRADED, Grade.YELLOW, step=2, previous=Grade.RED))
    desk.serve_once()
    door.retained.clear()
    second = publisher(dsn, door)
    second.serve_once()
    done(second)
    assert door.events == [(EVENTS, 1), (EVENTS, 2)]
    assert [a.step for a in door.retained[STATE].alarms] == [2]


def test_a_door_that_is_away_loses_no_event(dsn: str, desk: Desk) -> None:
    door = HeldDoor()
    made = publisher(dsn, door)
    made.serve_once()
    Story(dsn).tell(event(State.RAISED, Grade.RED))
    desk.serve_once()
    door.away = True
    with pytest.raises(ServiceAway):
        made.serve_once()
    door.away = False
    made.serve_once()
    assert door.events == [(EVENTS, 1)]
    done(made)


def test_a_door_that_goes_in_the_middle_of_a_turn_leaves_the_position(dsn: str, desk: Desk) -> None:
    """The position stands before what the door may not have: the whole turn is said again, key and step tell."""
    door = HeldDoor()

    def publish(topic: str, payload: bytes, qos: int, retain: bool) -> None:
        door.publish(topic, payload, qos, retain)
        door.away = len(door.events) == 1

    made = MqttEvents(dsn, publish)
    made.serve_once()
    Story(dsn).tell(event(State.RAISED, Grade.YELLOW), event(State.REGRADED, Grade.RED, step=2, previous=Grade.YELLOW))
    desk.serve_once()
    with pytest.raises(ServiceAway):
        made.serve_once()
    assert position(dsn) == 0
    door.away = False
    made.serve_once()
    assert door.events == [(EVENTS, 1), (EVENTS, 1), (EVENTS, 2)] and position(dsn) == 2
    done(made)


def test_no_turn_begins_after_a_stop(dsn: str, desk: Desk) -> None:
    """However much is left: the next start goes on at the position."""
    door = HeldDoor()

    def publish(topic: str, payload: bytes, qos: int, retain: bool) -> None:
        door.publish(topic, payload, qos, retain)
        if not retain:
            made.stop()

    made = MqttEvents(dsn, publish)
    Story(dsn).tell(*(event(State.RAISED, Grade.BLUE, device=f"d{n}") for n in range(250)))
    desk.serve_once()
    made.run()
    assert len(door.events) == position(dsn) == 200


def test_an_acknowledgement_changes_the_state(dsn: str, desk: Desk) -> None:
    door = HeldDoor()
    made, people = publisher(dsn, door), People(dsn, HandClock())
    (raised,) = Story(dsn).tell(event(State.RAISED, Grade.RED))
    desk.serve_once()
    made.serve_once()
    people.acknowledge(house("Li Wei"), raised.key)
    people.close()
    made.serve_once()
    assert [a.acknowledged_by for a in door.retained[STATE].alarms] == ["Li Wei"]
    assert door.events == [(EVENTS, 1)]
    done(made)


def test_a_publisher_of_a_partition_speaks_of_its_enterprises_alone(dsn: str) -> None:
    """In a cluster each partition has one, wherever it runs; the states of others are not its to say."""
    doors = {0: HeldDoor(), 3: HeldDoor()}
    for partition, door in doors.items():
        served = make_desk(
            dsn, Routes((Recipient("ops", "held"),)), HandClock(), HeldChannel("held"), partition=partition
        )
        Story(dsn, partition=partition).tell(event(State.RAISED, Grade.RED, enterprise=f"shop-{partition}"))
        served.serve_once()
        done_desk(served)
        made = MqttEvents(dsn, door.publish, partition=partition)
        made.serve_once()
        done(made)
    for partition, door in doors.items():
        again = MqttEvents(dsn, door.publish, partition=partition)
        door.retained.clear()
        again.serve_once()
        done(again)
        assert door.events == [(f"tocsin/v1/shop-{partition}/alarms", 1)]
        assert set(door.retained) == {f"tocsin/v1/shop-{partition}/alarms/state"}


class HangingDoor(HeldDoor):
    """Stands still before it publishes what is wanted, until it is let go: a process that is stopped there."""

    def __init__(self, *, retained: bool, shared: dict[str, AlarmState] | None = None) -> None:
        super().__init__()
        if shared is not None:
            self.retained = shared
        self._stands_at = retained
        self.stands, self.let_go = threading.Event(), threading.Event()

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        if retain is self._stands_at:
            self.stands.set()
            assert self.let_go.wait(60)
        super().publish(topic, payload, qos, retain)


def test_one_that_hangs_while_it_publishes_stands_in_nobodys_way(dsn: str, desk: Desk) -> None:
    """Nothing is locked meanwhile. When it is back it says its events again, and moves nothing back."""
    story, hanging, door = Story(dsn), HangingDoor(retained=False), HeldDoor()
    story.tell(event(State.RAISED, Grade.YELLOW))
    desk.serve_once()
    first, second = publisher(dsn, hanging), publisher(dsn, door)
    thread = threading.Thread(target=first.serve_once)
    thread.start()
    try:
        assert hanging.stands.wait(60)
        story.tell(event(State.REGRADED, Grade.RED, step=2, previous=Grade.YELLOW))
        desk.serve_once()
        second.serve_once()
        assert door.events == [(EVENTS, 1), (EVENTS, 2)] and position(dsn) == 2
        assert [a.step for a in door.retained[STATE].alarms] == [2]
    finally:
        hanging.let_go.set()
        thread.join(60)
    assert hanging.events == [(EVENTS, 1)] and position(dsn) == 2
    assert [a.step for a in hanging.retained[STATE].alarms] == [2]
    done(first)
    done(second)


def test_an_older_state_that_is_said_late_is_put_right_by_who_said_it(dsn: str, desk: Desk) -> None:
    """Also by one that is told to end meanwhile, as a worker is whose partition was given to another."""
    story, door = Story(dsn), HeldDoor()
    hanging = HangingDoor(retained=True, shared=door.retained)
    story.tell(event(State.RAISED, Grade.YELLOW))
    desk.serve_once()
    first, second = publisher(dsn, hanging), publisher(dsn, door)
    thread = threading.Thread(target=first.run)
    thread.start()
    try:
        assert hanging.stands.wait(60)
        story.tell(event(State.REGRADED, Grade.RED, step=2, previous=Grade.YELLOW))
        desk.serve_once()
        second.serve_once()
        assert [a.step for a in door.retained[STATE].alarms] == [2]
        first.stop()
    finally:
        hanging.let_go.set()
        thread.join(60)
    assert [a.step for a in door.retained[STATE].alarms] == [2]
    done(second)


def test_an_acknowledgement_that_is_committed_after_a_younger_one_is_seen(dsn: str, desk: Desk) -> None:
    """Numbers are drawn before the commit: the greatest that was seen says nothing of those before it."""
    door, people = HeldDoor(), People(dsn, HandClock())
    made = publisher(dsn, door)
    first, second = Story(dsn).tell(
        event(State.RAISED, Grade.RED, enterprise="shop-1"), event(State.RAISED, Grade.RED, enterprise="shop-2")
    )
    desk.serve_once()
    made.serve_once()
    with psycopg.connect(dsn) as slow:
        slow.execute(
            "INSERT INTO acknowledgements (alarm, step, by, at_us, idempotency_key) VALUES (%s, 1, 'Li Wei', 1, 'k')",
            [first.key],
        )
        slow.execute("UPDATE alarms SET acked_step = 1, acked_by = 'Li Wei' WHERE key = %s", [first.key])
        people.acknowledge(house("Wang Fang"), second.key)
        people.close()
        made.serve_once()
        assert [a.acknowledged_by for a in door.retained["tocsin/v1/shop-2/alarms/state"].alarms] == ["Wang Fang"]
        assert [a.acknowledged_by for a in door.retained[STATE].alarms] == [""]
    made.serve_once()
    assert [a.acknowledged_by for a in door.retained[STATE].alarms] == ["Li Wei"]
    door.retained.clear()
    made.serve_once()
    assert door.retained == {}, "each is said once"
    done(made)


def test_it_is_woken_by_the_turn_of_a_desk_in_another_process(dsn: str) -> None:
    """Its own look comes once a second; a subscriber should not wait for it."""
    desk = make_desk(dsn, Routes((Recipient("ops", "held"),)), HandClock(), HeldChannel("held"), shares=True)
    woken: SimpleQueue[int] = SimpleQueue()
    listening = Listening(dsn, {TURNS: woken.put})
    thread = threading.Thread(target=listening.run)
    thread.start()
    try:
        desk.serve_once()
        until(lambda: _listens(dsn), "it listens")
        Story(dsn).tell(event(State.RAISED, Grade.RED))
        desk.serve_once()
        assert woken.get(timeout=10.0) == 0
    finally:
        listening.stop()
        thread.join(10)
        done_desk(desk)


def test_a_listener_whose_session_was_ended_listens_again(dsn: str) -> None:
    """PostgreSQL is restarted now and then."""
    woken: SimpleQueue[int] = SimpleQueue()
    listening = Listening(dsn, {ALARMS: woken.put})
    thread = threading.Thread(target=listening.run)
    thread.start()
    try:
        until(lambda: _listens(dsn), "it listens")
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'tocsin listening' AND datname = current_database()"
            )
            until(lambda: not _listens(dsn), "its session is gone")
            until(lambda: _listens(dsn), "it listens again")
            connection.execute("SELECT pg_notify('tocsin_alarms', 'no number'), pg_notify('tocsin_alarms', '5')")
        assert woken.get(timeout=10.0) == 5
    finally:
        listening.stop()
        thread.join(10)


def _listens(dsn: str) -> bool:
    return _count(dsn, "application_name = 'tocsin listening' AND query LIKE 'LISTEN%' AND state = 'idle'")


def _count(dsn: str, which: LiteralString) -> bool:
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND " + which
        ).fetchone()
    return found is not None and found[0] == 1


def done_desk(desk: Desk) -> None:
    desk.stop()
    desk.run()
