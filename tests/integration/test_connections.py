"""Connections that threads share: the viewer's rows alone, bounds that hold, and a server that goes and comes back."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

import database.connections
from database.connections import Connection, Connections, TooMuch
from ingest.payloads import Payloads
from registry.columns import Sort
from registry.directory import Directory
from schemas.errors import ServiceAway
from schemas.viewers import Role, Viewer, house
from tests.cut_link import CutLink
from tocsin.postgres import EmbeddedPostgres

pytestmark = pytest.mark.integration
NAME = "tocsin under test"
OWNER = Viewer("owner", Role.OWNER, enterprises=("shop-1",))
SUPERVISOR = Viewer("supervisor", Role.SUPERVISOR, districts=("310102",))
_CODES = "SELECT code FROM enterprises ORDER BY code"
_OURS = "SELECT pid FROM pg_stat_activity WHERE application_name = %s"


@pytest.fixture
def shared(dsn: str) -> Iterator[Connections]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("INSERT INTO districts VALUES ('310101', 'one'), ('310102', 'two')")
        connection.execute("""
            INSERT INTO enterprises (code, name, trade, district)
            VALUES ('shop-1', 'one', 'H6210', '310101'), ('shop-2', 'two', 'H6210', '310102')
        """)
    with closing(Connections(dsn, NAME)) as made:
        yield made


def codes(shared: Connections, viewer: Viewer | None) -> list[str]:
    with shared.transaction(viewer) as connection:
        return [code for (code,) in connection.execute(_CODES).fetchall()]


def pids(dsn: str) -> list[int]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        return [pid for (pid,) in connection.execute(_OURS, [NAME]).fetchall()]


def setting(connection: psycopg.Connection[Any], name: str) -> str:
    row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
    assert row is not None
    return str(row[0])


# --- as the viewer who asks ---


def test_a_query_without_a_filter_shows_the_viewers_scope_alone(shared: Connections) -> None:
    assert codes(shared, OWNER) == ["shop-1"]
    assert codes(shared, SUPERVISOR) == ["shop-2"]
    assert codes(shared, house()) == ["shop-1", "shop-2"]
    assert codes(shared, None) == ["shop-1", "shop-2"]


def test_nothing_of_a_viewer_is_left_on_its_connection(shared: Connections, dsn: str) -> None:
    """The next who gets the connection may be another, or the house."""
    for viewer in (OWNER, SUPERVISOR):
        with pytest.raises(ZeroDivisionError), shared.transaction(viewer, within_s=60.0) as connection:
            raise ZeroDivisionError
        codes(shared, viewer)
    with shared.transaction(None) as connection:
        role, session = setting(connection, "role"), connection.execute("SELECT session_user").fetchone()
        assert role in ("none", session[0] if session else "")
        assert setting(connection, "tocsin.sees_enterprises") == ""
        assert setting(connection, "statement_timeout") == "5s"
    assert len(pids(dsn)) == 1


def test_a_viewer_reads_no_account(shared: Connections) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege), shared.transaction(OWNER) as connection:
        connection.execute("SELECT * FROM accounts")


@pytest.mark.parametrize("code", ["o'hara", 'say "no"', "back\\slash", "{a,b}", "安全", "'; DROP TABLE alarms; --"])
def test_a_scope_is_taken_as_it_is_written(shared: Connections, code: str) -> None:
    viewer = Viewer("odd", Role.OWNER, enterprises=(code, "shop-1"))
    with shared.transaction(viewer) as connection:
        row = connection.execute("SELECT current_setting('tocsin.sees_enterprises')::text[]").fetchone()
    assert row == ([code, "shop-1"],)


# --- a transaction ---


def test_what_failed_is_not_kept(shared: Connections) -> None:
    with pytest.raises(ZeroDivisionError), shared.transaction(None) as connection:
        connection.execute("DELETE FROM enterprises")
        raise ZeroDivisionError
    assert codes(shared, None) == ["shop-1", "shop-2"]


def test_what_was_done_is_kept_with_what_was_done_within_it(shared: Connections) -> None:
    with shared.transaction(None) as connection:
        connection.execute("DELETE FROM enterprises WHERE code = 'shop-1'")
        with pytest.raises(psycopg.errors.CheckViolation), connection.transaction():
            connection.execute("UPDATE enterprises SET longitude = 999")
        with connection.transaction():
            connection.execute("UPDATE enterprises SET code = 'shop-3'")
    assert codes(shared, None) == ["shop-3"]


def test_all_queries_see_one_moment_where_that_is_asked_for(shared: Connections) -> None:
    with shared.transaction(None, one_moment=True) as connection:
        before = connection.execute(_CODES).fetchall()
        with shared.transaction(None) as another:
            another.execute("DELETE FROM enterprises")
        assert connection.execute(_CODES).fetchall() == before
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("DELETE FROM districts")
    assert codes(shared, None) == []


def test_json_comes_as_text(shared: Connections) -> None:
    with shared.transaction(None) as connection:
        assert connection.execute("""SELECT '{"a": 1}'::jsonb""").fetchone() == ('{"a": 1}',)


# --- bounds ---


def test_a_viewer_who_asks_too_much_is_told_to_narrow_it(shared: Connections, dsn: str) -> None:
    with pytest.raises(TooMuch, match="0 s") as told, shared.transaction(OWNER, within_s=0.05) as connection:
        connection.execute("SELECT pg_sleep(60)")
    assert told.value.mend
    assert codes(shared, OWNER) == ["shop-1"]
    assert len(pids(dsn)) == 1, "the connection is as good as before"


def test_the_house_that_takes_too_long_may_try_again(shared: Connections) -> None:
    with pytest.raises(ServiceAway), shared.transaction(None, within_s=0.05) as connection:
        connection.execute("SELECT pg_sleep(60)")


def test_who_waits_for_a_lock_may_try_again(shared: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another holds it, an import perhaps: nothing is wrong with what was asked."""
    monkeypatch.setattr(database.connections, "_SESSION", "SET statement_timeout = '5s'; SET lock_timeout = '50ms'")
    with shared.transaction(None) as holder:
        holder.execute("LOCK TABLE districts IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(ServiceAway, match="lock timeout"), shared.transaction(OWNER) as connection:
            connection.execute("SELECT * FROM districts")


def test_every_bound_is_set_and_a_long_job_has_its_own(shared: Connections) -> None:
    bounds = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    with shared.transaction(None) as connection:
        assert [setting(connection, name) for name in bounds] == ["5s", "4s", "5s"]
        assert setting(connection, "synchronous_commit") == "on"
    with shared.transaction(None, within_s=3600.0) as connection:
        assert [setting(connection, name) for name in bounds] == ["1h", "1h", "1h"]


def test_long_jobs_have_longer_bounds(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred thousand rows are one COPY: within a person's patience it would be cut every time."""
    given: list[float] = []
    transaction = Connections.transaction

    def noting(self: Connections, viewer: Viewer | None, **more: Any) -> AbstractContextManager[Connection]:
        given.append(more.get("within_s", database.connections.PATIENCE_S))
        return transaction(self, viewer, **more)

    monkeypatch.setattr(Connections, "transaction", noting)
    with closing(Directory(dsn)) as directory, closing(Payloads(dsn)) as payloads:
        directory.apply(house(), [])
        list(directory.export(house(), Sort.CONTACTS))
        payloads.replay(house(), [])
        long, given[:] = [*given], []
        directory.enterprises(house())
        payloads.asked(house())
    assert min(long) >= 60.0 and given == [database.connections.PATIENCE_S] * 2


def test_one_who_finds_no_place_is_told(shared: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database.connections, "PATIENCE_S", 0.05)
    shared._places = threading.Semaphore(1)
    with shared.transaction(None), pytest.raises(ServiceAway, match="at work"), shared.transaction(None):
        pass
    assert codes(shared, None) == ["shop-1", "shop-2"]


# --- many threads ---


def test_many_threads_each_see_their_own(shared: Connections, dsn: str) -> None:
    seen = {OWNER: ["shop-1"], SUPERVISOR: ["shop-2"], house(): ["shop-1", "shop-2"]}
    together = threading.Barrier(24)

    def ask(number: int) -> bool:
        viewer = list(seen)[number % 3]
        together.wait(60.0)
        return all(codes(shared, viewer) == seen[viewer] for _ in range(20))

    with ThreadPoolExecutor(24) as threads:
        assert all(threads.map(ask, range(24)))
    assert len(pids(dsn)) <= 4, "the others were closed"


# --- a server that is away ---


def test_nothing_is_connected_before_somebody_asks(dsn: str) -> None:
    before = threading.active_count()
    with closing(Connections("host=127.0.0.1 port=1", NAME)), closing(Connections(dsn, NAME)):
        assert pids(dsn) == []
        assert threading.active_count() == before


def test_a_server_that_is_away_is_told_at_once_with_its_own_words() -> None:
    """Not after a time-out: whoever shows pages would have all its threads wait."""
    with closing(Connections("host=127.0.0.1 port=1", NAME)) as shared:
        for _ in range(30):  # in vain, and no place is lost
            with pytest.raises(ServiceAway, match="refused"), shared.transaction(house()):
                raise AssertionError


def test_one_who_does_not_answer_is_not_waited_for_long() -> None:
    """It takes the connection, and says nothing."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as deaf:
        dsn = f"host=127.0.0.1 port={deaf.getsockname()[1]} sslmode=disable gssencmode=disable"
        begun = time.monotonic()
        with closing(Connections(dsn, NAME)) as shared, pytest.raises(ServiceAway), shared.transaction(house()):
            raise AssertionError
        assert time.monotonic() - begun < 25.0, "30 s is psycopg's pool, for ever is libpq"


def test_a_server_that_was_started_again_is_found_by_the_first_who_asks() -> None:
    """All idle connections died with it: none of them is an error for whoever would have got it."""
    with tempfile.TemporaryDirectory(prefix="tocsin-") as folder:
        server = EmbeddedPostgres(Path(folder) / "pg", settings={"fsync": "off"})
        server.start()
        try:
            with closing(Connections(server.dsn("postgres"), NAME)) as shared:
                with shared.transaction(None), shared.transaction(None), shared.transaction(None):
                    pass  # three idle ones
                with pytest.raises(ServiceAway), shared.transaction(None) as connection:
                    server.stop()
                    connection.execute("SELECT 1")
                for _ in range(5):
                    with pytest.raises(ServiceAway), shared.transaction(None):
                        raise AssertionError
                server.start()
                with shared.transaction(None) as connection:
                    assert connection.execute("SELECT 1").fetchone() == (1,)
                assert len(pids(server.dsn("postgres"))) == 1
        finally:
            server.stop()


def test_backends_that_were_ended_are_replaced_unseen(shared: Connections, dsn: str) -> None:
    with shared.transaction(None), shared.transaction(None):
        pass
    with psycopg.connect(dsn, autocommit=True) as connection:
        for pid in pids(dsn):
            connection.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
    assert codes(shared, OWNER) == ["shop-1"]


def test_a_link_that_is_cut_is_made_anew(shared: Connections, dsn: str) -> None:
    with CutLink(dsn) as link, closing(Connections(link.dsn, NAME)) as far:
        assert codes(far, OWNER) == ["shop-1"]
        with pytest.raises(ServiceAway), far.transaction(OWNER) as connection:
            link.cut()
            connection.execute(_CODES)
        assert codes(far, OWNER) == ["shop-1"]


# --- the end ---


def test_closing_leaves_no_connection(shared: Connections, dsn: str) -> None:
    """Also none of who was at work meanwhile, or comes too late."""
    with shared.transaction(None):
        codes(shared, OWNER)
        shared.close()
    codes(shared, OWNER)
    with psycopg.connect(dsn, autocommit=True) as connection:
        for (pid,) in connection.execute(_OURS, [NAME]).fetchall():
            connection.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])  # waits; false when it was ending
    assert pids(dsn) == []
    assert shared._idle == []
