"""Takes late readings into the closed part of time that they belong to."""

from __future__ import annotations

from psycopg import sql

from streams.store.edge import Connection, instant
from streams.store.editions import Edition
from streams.store.partitions import (
    attach_partition,
    count_readings,
    index_partition,
    list_chunks,
    make_partition,
    partitions_of,
)
from streams.store.parts import CLOSES_AFTER_US, DAY_US, PART_US, Partition, gaps, width_us
from streams.store.rolling import note_hours
from streams.store.settling import begin_settling, count_duplicates, settle

_LATE_READINGS = 20_000
"""Late readings taken in at a time."""
# While a short part is open its blocks may hold the reading that came first. A day of the past may be open for as long
# as its back-fill lasts, and is not waited for.
_MAY_MOVE = sql.SQL(
    "NOT EXISTS (SELECT FROM open_parts AS o WHERE o.end_us - o.start_us < {day}"
    " AND l.event_time >= timestamptz 'epoch' + o.start_us * interval '1 microsecond'"
    " AND l.event_time < timestamptz 'epoch' + o.end_us * interval '1 microsecond')"
).format(day=sql.Literal(DAY_US))


def take_in_late(connection: Connection, edition: Edition, stream_us: int) -> bool:
    """Move some late readings into the closed partition of their time; False when there are none to move now."""
    target = _partition_with_late(connection)
    if target is None:
        start = _uncovered_late(connection, stream_us)
        if start is None:
            return False
        target = _cover(connection, edition, start, stream_us)
    with connection.transaction():
        row = connection.execute(
            "SELECT name FROM reading_partitions WHERE name = %s FOR UPDATE", (target.name,)
        ).fetchone()
        if row is None:
            return True
        begin_settling(connection)
        moved = connection.execute(
            sql.SQL(
                "WITH gone AS (DELETE FROM late_readings WHERE ctid = ANY(ARRAY(SELECT ctid FROM late_readings AS l"
                " WHERE event_time >= {} AND event_time < {} AND {} LIMIT {})) RETURNING *)"
                " INSERT INTO settling SELECT * FROM gone"
            ).format(instant(target.start_us), instant(target.end_us), _MAY_MOVE, sql.Literal(_LATE_READINGS))
        ).rowcount
        done = set() if edition.aggregates else note_hours(connection, _hours(connection))
        added, conflicting = settle(connection, edition.table_of(target), done)
        count_readings(connection, target, added)
        count_duplicates(connection, "late", moved - added, conflicting)
    return True


def _hours(connection: Connection) -> list[int]:
    """The hours of what is settling."""
    rows = connection.execute(
        "SELECT DISTINCT (extract(epoch FROM date_trunc('hour', event_time, 'UTC')) * 1000000)::bigint FROM settling"
    )
    return [hour for (hour,) in rows]


def _partition_with_late(connection: Connection) -> Partition | None:
    row = connection.execute(
        sql.SQL(
            "SELECT name, start_us, end_us, readings FROM reading_partitions AS p WHERE EXISTS ("
            " SELECT FROM late_readings AS l"
            "  WHERE event_time >= timestamptz 'epoch' + p.start_us * interval '1 microsecond'"
            "    AND event_time < timestamptz 'epoch' + p.end_us * interval '1 microsecond' AND {}) LIMIT 1"
        ).format(_MAY_MOVE)
    ).fetchone()
    return Partition(*row) if row else None


def _uncovered_late(connection: Connection, stream_us: int) -> int | None:
    """The time of a late reading that no part of its time will make a partition for."""
    row = connection.execute(
        sql.SQL(
            "SELECT (extract(epoch FROM event_time) * 1000000)::bigint FROM late_readings AS l WHERE event_time < {}"
            " AND NOT EXISTS (SELECT FROM open_parts AS p"
            "  WHERE l.event_time >= timestamptz 'epoch' + p.start_us * interval '1 microsecond'"
            "    AND l.event_time < timestamptz 'epoch' + p.end_us * interval '1 microsecond') LIMIT 1"
        ).format(instant(stream_us - PART_US - CLOSES_AFTER_US))
    ).fetchone()
    return row[0] if row else None


def _cover(connection: Connection, edition: Edition, event_us: int, stream_us: int) -> Partition:
    """Make the partition, still empty, that `event_us` falls into."""
    if not edition.native:
        with connection.transaction():
            (listed,) = list_chunks(connection, event_us, event_us + 1, edition.chunk_us)
        return listed
    width = width_us(event_us, stream_us, 0.0)
    start = event_us // width * width
    with connection.transaction():
        known = partitions_of(connection, start, start + width)
        low, high = next(gap for gap in gaps(start, start + width, known) if gap[0] <= event_us < gap[1])
        made = make_partition(connection, low, high)
        index_partition(connection, made)
        attach_partition(connection, made, 0)
    return made
