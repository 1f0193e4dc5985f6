"""Keeps the number of tables small: merges closed partitions into hours and days, drops what is past its retention.

Readers of the history wait for none of it but the exchange of tables, which gives way to them and tries again.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

from streams.store.closing import attach_partition, index_partition, make_partition, partitions_of
from streams.store.edge import Connection, instant
from streams.store.parts import Partition, next_merge, too_old

_LOCK_TIMEOUT_MS = 300
_TRIES = 20
ALL_TIME = (-(1 << 62), 1 << 62)
"""Start and end that leave out nothing."""


def merge_some(connection: Connection, stream_us: int) -> bool:
    """Merge one run of neighbours; False when there is none to merge, or readers did not let us."""
    run = next_merge(partitions_of(connection, *ALL_TIME), stream_us)
    if not run:
        return False
    names = [p.name for p in run]
    try:
        with connection.transaction():
            held = connection.execute(
                "SELECT readings FROM reading_partitions WHERE name = ANY(%s) FOR UPDATE", (names,)
            ).fetchall()
            if len(held) != len(run):
                return True
            made = make_partition(connection, run[0].start_us, run[-1].end_us)
            rows = sql.SQL(" UNION ALL ").join(sql.SQL("SELECT * FROM {}").format(sql.Identifier(n)) for n in names)
            written = connection.execute(
                sql.SQL("INSERT INTO {} {} ORDER BY sensor_id, event_time").format(sql.Identifier(made.name), rows)
            ).rowcount
            index_partition(connection, made)
            _exchange(connection, run, made, written)
    except psycopg.errors.LockNotAvailable:
        return False
    return True


def drop_too_old(connection: Connection, stream_us: int, retention_us: int) -> bool:
    """Drop the partitions past the retention, and late readings with them; False when there were none to drop."""
    old = too_old(partitions_of(connection, *ALL_TIME), stream_us, retention_us)
    if not old:
        return False
    try:
        with connection.transaction():
            _drop(connection, old)
            connection.execute(
                sql.SQL("DELETE FROM late_readings WHERE event_time < {}").format(instant(max(p.end_us for p in old)))
            )
    except psycopg.errors.LockNotAvailable:
        return False
    return True


def drop_closed_blocks(connection: Connection) -> bool:
    """Drop the blocks of parts that are closed; False when there were none, or somebody still reads them."""
    rows = connection.execute(
        "SELECT c.relname FROM pg_inherits JOIN pg_class AS c ON c.oid = inhrelid"
        " WHERE inhparent = 'open_blocks'::regclass"
        " AND NOT EXISTS (SELECT FROM open_parts WHERE c.relname = 'open_blocks_' || part)"
    ).fetchall()
    try:
        for (name,) in rows:
            with connection.transaction():
                _wait_briefly(connection)
                connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
    except psycopg.errors.LockNotAvailable:
        return False
    return bool(rows)


def _exchange(connection: Connection, run: Sequence[Partition], made: Partition, readings: int) -> None:
    """Put `made` in the place of `run`. Tried often, for the rewriting before it was long."""
    for left in reversed(range(_TRIES)):
        try:
            with connection.transaction():
                _drop(connection, run)
                attach_partition(connection, made, readings)
        except psycopg.errors.LockNotAvailable:
            if not left:
                raise
        else:
            return


def _drop(connection: Connection, partitions: Sequence[Partition]) -> None:
    names = [p.name for p in partitions]
    _wait_briefly(connection)
    connection.execute(sql.SQL("DROP TABLE {}").format(sql.SQL(", ").join(map(sql.Identifier, names))))
    connection.execute("DELETE FROM reading_partitions WHERE name = ANY(%s)", (names,))


def _wait_briefly(connection: Connection) -> None:
    """Whoever waits for a lock holds up all who come after; so give up soon and come again."""
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(_LOCK_TIMEOUT_MS)))
