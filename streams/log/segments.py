"""The log's table is split by number into segments, so that what is old goes by DROP and not row by row.

Dropping gives the space back at once and writes next to no WAL; deleting costs what inserting did, and a vacuum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
import structlog
from psycopg import sql

SEGMENT = 1 << 20
"""Entries in a segment: 17 minutes at a thousand commits a second, twelve days where only ticks are written."""
_LOCK_TIMEOUT_MS = 50
"""The writer waits behind whoever waits for the table, so a drop gives up soon and comes again."""

_log = structlog.get_logger(__name__)


def segment_of(number: int) -> int:
    return number // SEGMENT


def first_of(segment: int) -> int:
    return segment * SEGMENT


def make_segment(connection: psycopg.Connection[Any], segment: int) -> None:
    """Make a segment if it is missing. Attaching blocks no reader, not even a long backup."""
    if _exists(connection, segment):
        return
    with connection.transaction():
        # One maker at a time: both would find it missing.
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('log_entries'))")
        if _exists(connection, segment):
            return
        connection.execute(
            sql.SQL(
                # Rows are never updated, and the table is dropped before their age can matter: nothing to vacuum.
                "CREATE TABLE {} (LIKE log_entries INCLUDING ALL) WITH (autovacuum_enabled = off,"
                " toast.autovacuum_enabled = off)"
            ).format(_table(segment))
        )
        connection.execute(
            sql.SQL("ALTER TABLE log_entries ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
                _table(segment), sql.Literal(first_of(segment)), sql.Literal(first_of(segment + 1))
            )
        )


def _exists(connection: psycopg.Connection[Any], segment: int) -> bool:
    return connection.execute("SELECT to_regclass(%s)::text", (f"log_entries_{segment}",)).fetchone() != (None,)


def drop_old_segments(
    dsn: str, *, retention_s: float, consumers: Sequence[str], checkpointed: Sequence[str], partition: int = 0
) -> list[int]:
    """Drop the segments that nobody needs and return their numbers.

    A segment goes when its newest entry is older than `retention_s` and it lies whole below the position of every one
    of `consumers` and below the kept checkpoints of every one of `checkpointed`. Who has not begun holds everything.
    """
    dropped: list[int] = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        floor = _floor(connection, consumers, checkpointed, partition)
        for segment in _segments(connection):
            if first_of(segment + 1) - 1 > floor or not _is_old(connection, segment, retention_s, partition):
                break
            try:
                with connection.transaction():
                    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(_LOCK_TIMEOUT_MS)))
                    connection.execute(sql.SQL("DROP TABLE {}").format(_table(segment)))
            except psycopg.errors.LockNotAvailable:
                _log.info("log_segment_kept", segment=segment, why="somebody reads it")
                break
            dropped.append(segment)
            _log.info("log_segment_dropped", segment=segment, floor=floor)
    return dropped


def _floor(
    connection: psycopg.Connection[Any], consumers: Sequence[str], checkpointed: Sequence[str], partition: int
) -> int:
    """The highest number that nobody can ask for again."""
    positions = connection.execute(
        "SELECT position FROM positions WHERE partition = %s AND consumer = ANY(%s)", (partition, list(consumers))
    ).fetchall()
    checkpoints = connection.execute(
        "SELECT min(position) FROM checkpoints WHERE partition = %s AND consumer = ANY(%s) GROUP BY consumer",
        (partition, list(checkpointed)),
    ).fetchall()
    if len(positions) < len(consumers) or len(checkpoints) < len(checkpointed):
        return 0
    return min(int(position) for (position,) in positions + checkpoints)


def _segments(connection: psycopg.Connection[Any]) -> list[int]:
    rows = connection.execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'log_entries'::regclass"
    ).fetchall()
    return sorted(int(name.rsplit("_", 1)[1]) for (name,) in rows)


def _is_old(connection: psycopg.Connection[Any], segment: int, retention_s: float, partition: int) -> bool:
    row = connection.execute(
        sql.SQL(
            "SELECT written_at < now() - make_interval(secs => %s) FROM {} WHERE partition = %s"
            " ORDER BY number DESC LIMIT 1"
        ).format(_table(segment)),
        (retention_s, partition),
    ).fetchone()
    return row is not None and bool(row[0])


def _table(segment: int) -> sql.Identifier:
    return sql.Identifier(f"log_entries_{segment}")
