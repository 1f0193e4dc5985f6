"""The door over the log, the quarantine and the sessions as they are: in PostgreSQL, over restarts."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from ingest.commit_rows import RoundRows
from ingest.door import Cause
from ingest.store_sessions import PostgresSessions
from schemas import mqtt
from schemas.mqtt import Ack, Connack, Connect, Type, Will
from schemas.mqtt_fields import Reason
from streams.log.postgres import PostgresLogWriter
from tests.door_world import ERRORS, STATUS, World, door_world

pytestmark = pytest.mark.integration


@contextmanager
def started(dsn: str) -> Iterator[World]:
    store = PostgresSessions(dsn)
    with (
        PostgresLogWriter(dsn) as writer,
        door_world(log=RoundRows(writer.append, store.write), store=store) as world,
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
        assert world.door.state.retained[STATUS].payload == b"offline"


def incompressible(length: int) -> str:
    return "".join(random.Random(length).choices(string.ascii_letters, k=length))


def test_a_key_that_postgresql_would_refuse_keeps_nobody_else_waiting(dsn: str) -> None:
    """A row above 2,704 bytes of a B-tree fails its whole commit, again at every try."""
    with started(dsn) as world:
        other = world.connected("other", clean=False)
        for version, code in ((mqtt.V5, Reason.CLIENT_ID_NOT_VALID), (mqtt.V311, 2)):
            will = Will(STATUS, b"offline", 1, True)
            for client_id in (incompressible(257), incompressible(8_000), "\u00fc" * 129):
                refused = world.client(version)
                refused.send(Connect(client_id, version, clean=False, will=will))
                assert refused.read() == Connack(False, code)
        for version, code in ((mqtt.V5, Reason.TOPIC_FILTER_INVALID), (mqtt.V311, 0x80)):
            client = world.connected(incompressible(256)[:-1] + str(version), version, clean=False)
            assert client.subscribe(incompressible(1_025), incompressible(60_000), ERRORS) == (code, code, 1)
        packet_id = other.publish(b'{"temperature": 21.5}')
        assert other.read() == Ack(Type.PUBACK, packet_id)
        # All of the largest that is taken fits into one key.
        largest = world.client()
        largest.connect(incompressible(256), clean=False)
        assert largest.subscribe(incompressible(1_024)) == (1,)
        assert world.door.counts.away == 0
        assert world.door.counts.refused[Cause.CLIENT_ID] == 6
