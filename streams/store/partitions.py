"""The closed parts of time: `reading_partitions` lists them, with how many readings each holds.

Native ones are tables, made here: filled first, then indexed, then attached, so nobody waits. With a hypertable a row
of the list is a chunk's time, and TimescaleDB makes the table.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from psycopg import sql

from streams.store.edge import Connection, instant
from streams.store.parts import Partition, gaps

ALL_TIME = (-(1 << 62), 1 << 62)
"""Start and end that leave out nothing."""


def partitions_of(connection: Connection, start_us: int, end_us: int) -> list[Partition]:
    """The closed partitions that overlap [start, end), in order of time."""
    return [
        Partition(*row)
        for row in connection.execute(
            "SELECT name, start_us, end_us, readings FROM reading_partitions WHERE start_us < %s AND end_us > %s"
            " ORDER BY start_us",
            (end_us, start_us),
        )
    ]


def make_partition(connection: Connection, start_us: int, end_us: int) -> Partition:
    """A table for [start, end), not yet attached and without an index."""
    made = Partition(_new_name(connection, start_us), start_us, end_us, 0)
    connection.execute(
        # With the check, attaching need not read the table.
        sql.SQL(
            "CREATE TABLE {} (LIKE timely_readings, CONSTRAINT in_time CHECK (event_time >= {} AND event_time < {}))"
        ).format(sql.Identifier(made.name), instant(start_us), instant(end_us))
    )
    return made


def index_partition(connection: Connection, made: Partition) -> None:
    """Build the index of a filled table."""
    table = sql.Identifier(made.name)
    connection.execute(sql.SQL("ALTER TABLE {} ADD PRIMARY KEY (sensor_id, event_time)").format(table))
    connection.execute(sql.SQL("ANALYZE {} (sensor_id, event_time)").format(table))


def attach_partition(connection: Connection, made: Partition, readings: int) -> None:
    """Make an indexed table a partition; at once, and readers do not wait for it."""
    table = sql.Identifier(made.name)
    connection.execute(
        sql.SQL("ALTER TABLE timely_readings ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
            table, instant(made.start_us), instant(made.end_us)
        )
    )
    connection.execute(sql.SQL("ALTER TABLE {} DROP CONSTRAINT in_time").format(table))
    _list(connection, made, readings)


def list_chunks(connection: Connection, start_us: int, end_us: int, chunk_us: int) -> list[Partition]:
    """Have [start, end) covered by the list, in whole chunks of a hypertable; returns all that overlap it."""
    known = partitions_of(connection, start_us, end_us)
    for at in range(start_us // chunk_us * chunk_us, end_us, chunk_us):
        # Another length of chunks may have been set since.
        for low, high in gaps(at, at + chunk_us, partitions_of(connection, at, at + chunk_us)):
            made = Partition(_new_name(connection, low), low, high, 0)
            _list(connection, made, 0)
            if low < end_us and high > start_us:
                known.append(made)
    return known


def count_readings(connection: Connection, partition: Partition, more: int) -> None:
    if more:
        connection.execute(
            "UPDATE reading_partitions SET readings = readings + %s WHERE name = %s", (more, partition.name)
        )


def _list(connection: Connection, made: Partition, readings: int) -> None:
    connection.execute(
        "INSERT INTO reading_partitions VALUES (%s, %s, %s, %s)", (made.name, made.start_us, made.end_us, readings)
    )


def _new_name(connection: Connection, start_us: int) -> str:
    row = connection.execute("SELECT nextval('store_numbers')").fetchone()
    assert row is not None
    return f"readings_{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=start_us):%Y%m%dt%H%M}_{row[0]}"
