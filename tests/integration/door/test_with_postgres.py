"""The door over the log, the quarantine and the sessions as they are: in PostgreSQL, over restarts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from ingest.quarantine import alongside
from ingest.store_sessions import PostgresSessions
from schemas.mqtt import Ack, Type, Will
from streams.log.postgres import PostgresLogWriter
from tests.door_world import ERRORS, STATUS, World, door_world

pytestmark = pytest.mark.integration


@contextmanager
def started(dsn: str) -> Iterator[World]:
    with (
        PostgresLogWriter(dsn) as writer,
        door_world(commit=writer.append, store=PostgresSessions(dsn), quarantine=alongside) as world,
    ):
        yield world


def counted(dsn: str, table: str) -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # type: ignore[arg-type]
    assert row is not None
    return int(row[0])


def test_a_round_is_one_commit_of_entries_quarantine_and_sessions(dsn: str) -> None:
    with started(dsn) as world:
        client = world.connected("kitchen", clean=False, will=Will(STATUS, b"offline", 1, True), keep_alive_s=2)
        assert client.subscribe(ERRORS) == (1,)
        client.publish(b"online", topic=STATUS, retain=True)
        assert client.read() == Ack(Type.PUBACK, 2)
        client.publish(b'{"temperatur": 1}', qos=2, packet_id=7)
        answers = [client.read(), client.read()]
        assert Ack(Type.PUBREC, 7) in answers
        assert counted(dsn, "quarantine") == 1
        assert [counted(dsn, f"mqtt_{name}") for name in ("sessions", "subscriptions", "ids", "queue")] == [1] * 4
    with started(dsn) as world:
        world.pass_time(4)
        world.wait(lambda: counted(dsn, "mqtt_wills") == 0)
        client = world.client()
        assert client.connect("kitchen", clean=False).session_present
        again = client.read()
        assert (getattr(again, "topic", ""), getattr(again, "retain", None)) == (ERRORS, False)
        assert counted(dsn, "mqtt_retained") == 1
        assert world.door.house.retained[STATUS].payload == b"offline"
