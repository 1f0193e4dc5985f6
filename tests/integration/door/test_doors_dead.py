"""Doors that are killed: what they had is taken up once, by the next that sees it or by themselves after a restart."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from ingest.saved import SessionKey
from schemas.errors import Fenced
from schemas.mqtt import Publish, Will
from schemas.principals import ANONYMOUS
from tests.door_world import ERRORS, STATUS, WAIT_S, Client, Clock
from tests.doors_world import Doors, OneDoor, several_doors
from tests.waiting import until

pytestmark = pytest.mark.integration

KITCHEN = SessionKey(ANONYMOUS.id, "kitchen")
WILL = Will(STATUS, b"offline", 1, True)


@pytest.fixture
def doors(dsn: str) -> Iterator[Doors]:
    with several_doors(dsn) as doors:
        yield doors


@contextmanager
def victim(dsn: str, name: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.door_process", dsn, name], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def client_of(port: int) -> Client:
    """With a persistent session, a subscription and a will."""
    client = Client(port, 4)
    client.connect("kitchen", clean=False, will=WILL, keep_alive_s=60)
    client.subscribe(ERRORS)
    return client


def counted(dsn: str, what: str) -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(f"SELECT count(*) FROM {what}").fetchone()  # type: ignore[arg-type]
    assert row is not None
    return int(row[0])


def lapse(dsn: str, door: str) -> None:
    """Its lease has run out."""
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE doors SET seen_at = now() - interval '1 hour' WHERE name = %s", (door,))


def test_a_dead_doors_wills_and_sessions_are_adopted_by_one_other(doors: Doors) -> None:
    """The will is spoken once, after the client has had 1.5 keep-alives to come back."""
    with victim(doors.dsn, "gone") as (process, port):
        client = client_of(port)
        until(lambda: counted(doors.dsn, "mqtt_wills WHERE door = 'gone'") == 1, "the will is written")
        process.kill()
        process.wait()
    client.close()
    a, b = doors.open("a"), doors.open("b")
    lapse(doors.dsn, "gone")
    for door in (a, b):
        door.jump(61.0)
    a.wait(lambda: a.shared.counts.adopted + b.shared.counts.adopted == 2)
    heir, other = (a, b) if a.shared.counts.adopted else (b, a)
    heir.wait(lambda: KITCHEN in heir.door.state.wills)
    heir.pass_time(80)
    assert heir.log.values == []
    heir.pass_time(20)
    heir.log.wait_for(lambda: heir.log.values == [0.0])
    heir.wait(lambda: counted(doors.dsn, "mqtt_wills") == 0)
    assert (other.log.values, other.door.state.sessions) == ([], {})
    assert heir.door.state.retained == {}
    doors.clock.now_s += 0.1
    assert other.client().connect("kitchen", clean=False).session_present


def test_a_client_of_a_dead_door_that_returns_elsewhere_is_not_called_offline(doors: Doors) -> None:
    heir, other = doors.open("heir"), doors.open("other")
    with victim(doors.dsn, "gone") as (process, port):
        client = client_of(port)
        until(lambda: counted(doors.dsn, "mqtt_wills WHERE door = 'gone'") == 1, "the will is written")
        process.kill()
        process.wait()
    client.close()
    lapse(doors.dsn, "gone")
    heir.jump(61.0)
    heir.wait(lambda: KITCHEN in heir.door.state.wills)
    doors.clock.now_s += 0.1
    back = other.client()
    assert back.connect("kitchen", clean=False).session_present
    heir.wait(lambda: KITCHEN not in heir.door.state.wills)
    heir.pass_time(100)
    assert heir.log.values == []
    heir.wait(lambda: counted(doors.dsn, "mqtt_wills") == 0)
    other.door.publish(ERRORS, b"{}", 1)
    assert back.expect(Publish).topic == ERRORS


def test_a_door_that_restarts_under_its_name_takes_up_its_own(doors: Doors) -> None:
    other = doors.open("other")
    with victim(doors.dsn, "door") as (process, port):
        client = client_of(port)
        process.kill()
        process.wait()
    client.close()
    assert counted(doors.dsn, "mqtt_wills WHERE door = 'door'") == 1
    with victim(doors.dsn, "door") as (_, port):
        client = Client(port, 4)
        assert client.connect("kitchen", clean=False).session_present
        client.close()
    assert (other.door.state.sessions, other.shared.counts.adopted) == ({}, 0)


def test_a_door_that_was_taken_for_dead_lets_its_clients_go(doors: Doors) -> None:
    """Their wills may have been spoken: they come again, and say that they are there."""
    paused = doors.open("paused", lease_s=1.0)
    client = paused.connected("kitchen", clean=False, will=WILL)
    client.subscribe(ERRORS)
    paused.connected("guest")
    paused.wait(lambda: counted(doors.dsn, "mqtt_wills WHERE door = 'paused'") == 1)
    with psycopg.connect(doors.dsn) as connection:
        connection.execute("DELETE FROM doors WHERE name = 'paused'")
        connection.execute("UPDATE mqtt_sessions SET door = 'heir'")
        connection.execute("UPDATE mqtt_wills SET door = 'heir'")
    assert client.is_closed()
    paused.wait(lambda: paused.door.counts.connections == 1)
    assert paused.door.state.sessions.keys() == {SessionKey(ANONYMOUS.id, "guest")}
    assert counted(doors.dsn, "doors WHERE name = 'paused'") == 1
    assert counted(doors.dsn, "mqtt_sessions WHERE door = 'heir' AND ended_us IS NULL") == 1


def test_a_second_door_under_a_name_ends_the_first(dsn: str) -> None:
    """Two of one name would write each other's sessions."""
    first = OneDoor(dsn, "name", Clock(), {}, lease_s=1.0)
    second = OneDoor(dsn, "name", Clock(), {}, lease_s=1.0)
    try:
        first._running.join(WAIT_S)
        assert isinstance(first.failure, Fenced)
        assert second.failure is None
    finally:
        first.end()
        second.end()
