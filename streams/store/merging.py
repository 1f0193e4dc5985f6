"""Keeps the number of tables small: merges closed partitions into hours and days, drops what is past its retention.

Readers of the history wait for none of it but the exchange of tables, which gives way to them and tries again.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

from streams.store.edge import Connection, instant, wait_briefly
from streams.store.editions import Edition
from streams.store.partitions import ALL_TIME, attach_partition, index_partition, make_partition, partitions_of
from streams.store.parts import Partition, next_merge, too_old

_TRIES = 20


def merge_some(connection: Connection, stream_us: int) -> bool:
    """Merge one run of neighbours; False when there is none to merge, or readers did not let us.

    Chunks of a hypertable are days already, so there never is one.
    """
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


def drop_too_old(connection: Connection, edition: Edition, stream_us: int, retention_us: int) -> bool:
    """Drop the partitions past the retention, and late readings with them; False when there were none to drop."""
    old = too_old(partitions_of(connection, *ALL_TIME), stream_us, retention_us)
    if not old:
        return False
    try:
        with connection.transaction():
            until = instant(max(p.end_us for p in old))
            if edition.native:
                _drop(connection, old)
            else:
                wait_briefly(connection)
                connection.execute(sql.SQL("SELECT drop_chunks('timely_readings', older_than => {})").format(until))
                _forget(connection, old)
            connection.execute(sql.SQL("DELETE FROM late_readings WHERE event_time < {}").format(until))
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
                wait_briefly(connection)
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
    wait_briefly(connection)
    names = (sql.Identifier(p.name) for p in partitions)
    connection.execute(sql.SQL("DROP TABLE {}").format(sql.SQL(", ").join(names)))
    _forget(connection, partitions)


def _forget(connection: Connection, partitions: Sequence[Partition]) -> None:
    connection.execute("DELETE FROM reading_partitions WHERE name = ANY(%s)", ([p.name for p in partitions],))
