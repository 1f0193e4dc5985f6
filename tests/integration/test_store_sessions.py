"""Sessions in PostgreSQL read back as they were written, and writing twice changes nothing."""

from __future__ import annotations

from dataclasses import fields, replace

import psycopg
import pytest

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
    SessionKey,
    SubscriptionGone,
    SubscriptionKept,
    WillGone,
    WillKept,
)
from ingest.store_sessions import PostgresSessions
from schemas.errors import ServiceAway
from tests.door_world import MemoryStore

pytestmark = pytest.mark.integration

A, B = SessionKey("shop-1", "kitchen"), SessionKey("shop-1", "bar")
STORY: list[Change] = [
    SessionBegun(A, 600),
    SessionBegun(B, 60),
    SessionKept(B, 60, 5),
    SubscriptionKept(A, "tocsin/v1/shop-1/kitchen/errors", 1, False, True),
    SubscriptionKept(A, "tocsin/v1/shop-1/kitchen/command", 0, True, False),
    SubscriptionKept(A, "tocsin/v1/shop-1/kitchen/command", 1, False, False),
    SubscriptionGone(A, "tocsin/v1/shop-1/kitchen/errors"),
    SubscriptionKept(B, "tocsin/v1/shop-1/bar/errors", 1, False, False),
    WillKept(A, "tocsin/v1/shop-1/kitchen/status", b"offline", 1, True, 30, 60.0, 1),
    WillKept(B, "tocsin/v1/shop-1/bar/status", b"offline", 0, False, 0, 10.5, 2),
    WillGone(B),
    Retained("tocsin/v1/shop-1/kitchen/status", b"online", 1),
    Retained("tocsin/v1/shop-1/bar/status", b"online", 0),
    Retained("tocsin/v1/shop-1/bar/status", b"", 0),
    IdStored(A, 7),
    IdStored(A, 65535),
    IdReleased(A, 7),
    IdStored(B, 1),
    Queued(A, 1, "tocsin/v1/shop-1/kitchen/command", b"\x00\xff", False),
    Queued(A, 2, "tocsin/v1/shop-1/kitchen/command", b"", True),
    Delivered(A, 1),
    Queued(B, 1, "tocsin/v1/shop-1/bar/errors", b"x", False),
    SessionGone(B),
    SessionKept(A, 600, 9),
]


def _write(dsn: str, changes: list[Change]) -> None:
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        PostgresSessions(dsn).write(cursor, changes)


def test_postgres_and_memory_tell_the_same_story(dsn: str) -> None:
    """The tests of the door use the memory, the house uses PostgreSQL."""
    memory = MemoryStore()
    for change in STORY:
        _write(dsn, [change])
        memory.write(None, [change])
        assert _sorted(PostgresSessions(dsn).load()) == _sorted(memory.load())


def test_writing_a_round_twice_is_harmless(dsn: str) -> None:
    """A commit whose outcome is unknown may run again."""
    _write(dsn, STORY)
    once = _sorted(PostgresSessions(dsn).load())
    _write(dsn, STORY)
    assert _sorted(PostgresSessions(dsn).load()) == once


def test_what_belongs_to_no_session_is_not_kept(dsn: str) -> None:
    """A round must never be refused by the database for a session that has ended."""
    gone = SessionKey("shop-1", "gone")
    _write(
        dsn,
        [
            SessionKept(gone, 60, 5),
            SubscriptionKept(gone, "a", 1, False, False),
            IdStored(gone, 1),
            Queued(gone, 1, "a", b"", False),
        ],
    )
    saved = PostgresSessions(dsn).load()
    assert (saved.sessions, saved.subscriptions, saved.ids, saved.queued) == ([], [], [], [])


def test_a_door_that_writes_late_does_not_touch_a_newer_will(dsn: str) -> None:
    """Its thread was held up while the client went to another door; what it says then is of the connection before."""
    old, new = WillKept(A, "t", b"old", 1, True, 0, 60.0, 10), WillKept(A, "t", b"new", 1, True, 0, 60.0, 20)
    late, other = PostgresSessions(dsn, "late"), PostgresSessions(dsn, "other")
    with psycopg.connect(dsn, autocommit=True) as connection, connection.cursor() as cursor:
        other.write(cursor, [ClientCame(A, 20, True), new])
        for change in (ClientCame(A, 10, True), old, WillGone(A), ClientCame(A, 10, False)):
            late.write(cursor, [change])
            assert (late.load_own(connection).wills, other.load_own(connection).wills) == ([], [new])
        other.write(cursor, [replace(new, payload=b"newer", came_us=5)])
        assert other.load_own(connection).wills == [WillKept(A, "t", b"newer", 1, True, 0, 60.0, 5)]
        late.write(cursor, [ClientCame(A, 30, False)])
        assert other.load_own(connection).wills == []


def test_a_database_that_is_away_is_said_so() -> None:
    """The start of the door may be tried again."""
    with pytest.raises(ServiceAway):
        PostgresSessions("host=127.0.0.1 port=1 connect_timeout=2").load()


def _sorted(saved: Saved) -> list[list[str]]:
    return [sorted(map(repr, getattr(saved, field.name))) for field in fields(saved)]
