"""The log on PostgreSQL when things go wrong: second writers, dead backends, lost connections."""

from __future__ import annotations

import psycopg
import pytest

from schemas.entries import Tick
from schemas.errors import Fenced, ServiceAway
from streams.log.postgres import PostgresLogWriter
from streams.log.reader import PostgresLogReader

pytestmark = pytest.mark.integration


def ticks(dsn: str) -> list[int]:
    reader = PostgresLogReader(dsn)
    try:
        return [e.payload.now_us for e in reader.read(0, 100_000)]  # type: ignore[union-attr]
    finally:
        reader.close()


def kill_backends(dsn: str, name: str = "tocsin-log-writer") -> int:
    with psycopg.connect(dsn, autocommit=True) as connection:
        return len(connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
            " AND datname = current_database()", (name,)
        ).fetchall())  # fmt: skip


def test_the_newer_writer_fences_the_older_for_good(dsn: str) -> None:
    """Two processes on one database: the one that was started last writes, the other stops and never tries again."""
    with PostgresLogWriter(dsn) as old:
        old.append([Tick(1)])
        with PostgresLogWriter(dsn) as new:
            assert new.append([Tick(2)]) == 2
            for _ in range(2):
                with pytest.raises(Fenced):
                    old.append([Tick(3)])
            assert new.append([Tick(4)]) == 3
    assert ticks(dsn) == [1, 2, 4]


def test_a_row_that_is_not_ours_stops_the_writer(dsn: str) -> None:
    """Whoever writes past the epoch is still found by the key."""
    with PostgresLogWriter(dsn) as writer, psycopg.connect(dsn) as other:
        other.execute("INSERT INTO log_entries (partition, number, epoch, kind, body) VALUES (0, 1, 77, 4, '')")
        other.commit()
        with pytest.raises(Fenced):
            writer.append([Tick(1)])


def test_a_dead_backend_costs_one_refusal_and_nothing_else(dsn: str) -> None:
    """What was not committed is said so, and may be tried again at once."""
    with PostgresLogWriter(dsn) as writer:
        writer.append([Tick(1)])
        kill_backends(dsn)
        with pytest.raises(ServiceAway):
            writer.append([Tick(2)])
        assert writer.append([Tick(2)]) == 2
    assert ticks(dsn) == [1, 2]


def test_rows_alongside_share_the_commit(dsn: str) -> None:
    """A quarantine row and the entry of its message are both there or neither is."""
    def fact(cursor: psycopg.Cursor[tuple[int]]) -> None:
        cursor.execute("INSERT INTO control_outbox (body) VALUES ('x')")

    def broken(cursor: psycopg.Cursor[tuple[int]]) -> None:
        fact(cursor)
        cursor.execute("INSERT INTO no_such_table VALUES (1)")

    def raising(cursor: psycopg.Cursor[tuple[int]]) -> None:
        fact(cursor)
        raise RuntimeError("ours")

    with PostgresLogWriter(dsn) as writer, psycopg.connect(dsn, autocommit=True) as other:
        assert writer.append([Tick(1)], fact) == 1
        with pytest.raises(psycopg.errors.UndefinedTable):
            writer.append([Tick(2)], broken)
        with pytest.raises(RuntimeError, match="ours"):
            writer.append([Tick(2)], raising)
        assert writer.append([], fact) == 1, "rows alone are committed, too"
        assert writer.append([Tick(3)]) == 2
        assert writer.settled == 0
        assert other.execute("SELECT count(*) FROM control_outbox").fetchone() == (2,)
    assert ticks(dsn) == [1, 3]


def test_alongside_may_read_what_it_needs(dsn: str) -> None:
    """A fetch inside the pipeline must not commit half of it."""
    def look(cursor: psycopg.Cursor[tuple[int]]) -> None:
        assert cursor.execute("SELECT count(*) FROM log_entries").fetchone() == (1,)
        raise RuntimeError("after the fetch")

    with PostgresLogWriter(dsn) as writer:
        with pytest.raises(RuntimeError, match="after the fetch"):
            writer.append([Tick(1)], look)
        assert writer.append([Tick(2)]) == 1
    assert ticks(dsn) == [2]
