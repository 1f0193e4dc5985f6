"""Closes parts of time: their blocks become rows of a partition with its index, in one transaction. Late ones follow.

A part that closes where partitions are already (a back-fill) goes into these; where there are none it makes one for
each gap. A table is filled in the transaction that makes it, so PostgreSQL needs no WAL for it (`wal_level = minimal`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from psycopg import sql

from schemas.readings import ReadingBatch
from streams.store.blocks import BUCKETS, first_of_each, in_order, read_bodies, row_payload
from streams.store.edge import Connection, copy_in, instant
from streams.store.parts import CLOSES_AFTER_US, PART_US, OpenPart, Partition, gaps, width_us

Failpoint = Callable[[str], None]
_SLICE_READINGS = 500_000
"""Sorted at a time when a part closes: about 60 MB of memory."""
_LATE_READINGS = 20_000
"""Late readings taken in at a time."""


def due_part(connection: Connection, stream_us: int) -> OpenPart | None:
    """The oldest part that may close by stream time."""
    row = connection.execute(
        "SELECT part, start_us, end_us, closes_us, readings FROM open_parts WHERE closes_us <= %s"
        " ORDER BY end_us, part LIMIT 1",
        (stream_us,),
    ).fetchone()
    return OpenPart(*row) if row else None


def close_part(connection: Connection, part: OpenPart, failpoint: Failpoint) -> None:
    """Turn the blocks of a part that nobody writes to any more into rows with an index."""
    with connection.transaction():
        # Another store's keeper may still be at it in a backend that has not noticed that its client was killed.
        held = connection.execute("SELECT readings FROM open_parts WHERE part = %s FOR UPDATE", (part.part,)).fetchone()
        if held is None:
            return
        known = partitions_of(connection, part.start_us, part.end_us)
        made = [make_partition(connection, start, end) for start, end in gaps(part.start_us, part.end_us, known)]
        kept = dict.fromkeys((p.name for p in (*made, *known)), 0)
        duplicate = conflicting = 0
        for batch, again, differing in _slices(connection, part.part, held[0]):
            duplicate += again
            conflicting += differing
            for target in made:
                here = _within(batch, target)
                if len(here):
                    copy_in(connection, target.name, row_payload(here), ", FREEZE")
                    kept[target.name] += len(here)
            for target in known:
                here = _within(batch, target)
                if len(here):
                    _begin_settling(connection)
                    copy_in(connection, "settling", row_payload(here))
                    added, contradicting = _settle(connection, target)
                    kept[target.name] += added
                    duplicate += len(here) - added
                    conflicting += contradicting
        for target in made:
            index_partition(connection, target)
            attach_partition(connection, target, kept[target.name])
        for target in known:
            _count_readings(connection, target, kept[target.name])
        _count_duplicates(connection, "stored", duplicate, conflicting)
        connection.execute("DELETE FROM open_parts WHERE part = %s", (part.part,))
        failpoint("while_partition_closes")


def take_in_late(connection: Connection, stream_us: int) -> bool:
    """Move some late readings into the closed partition of their time; False when there are none to move now."""
    target = _partition_with_late(connection)
    if target is None:
        start = _uncovered_late(connection, stream_us)
        if start is None:
            return False
        target = _cover(connection, start, stream_us)
    with connection.transaction():
        row = connection.execute(
            "SELECT name FROM reading_partitions WHERE name = %s FOR UPDATE", (target.name,)
        ).fetchone()
        if row is None:
            return True
        _begin_settling(connection)
        moved = connection.execute(
            sql.SQL(
                "WITH gone AS (DELETE FROM late_readings WHERE ctid = ANY(ARRAY("
                " SELECT ctid FROM late_readings WHERE event_time >= {} AND event_time < {} LIMIT {})) RETURNING *)"
                " INSERT INTO settling SELECT * FROM gone"
            ).format(instant(target.start_us), instant(target.end_us), sql.Literal(_LATE_READINGS))
        ).rowcount
        added, conflicting = _settle(connection, target)
        _count_readings(connection, target, added)
        _count_duplicates(connection, "late", moved - added, conflicting)
    return True


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
    row = connection.execute("SELECT nextval('store_numbers')").fetchone()
    assert row is not None
    name = f"readings_{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=start_us):%Y%m%dt%H%M}_{row[0]}"
    connection.execute(
        # With the check, attaching need not read the table.
        sql.SQL(
            "CREATE TABLE {} (LIKE timely_readings, CONSTRAINT in_time CHECK (event_time >= {} AND event_time < {}))"
        ).format(sql.Identifier(name), instant(start_us), instant(end_us))
    )
    return Partition(name, start_us, end_us, 0)


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
    connection.execute(
        "INSERT INTO reading_partitions VALUES (%s, %s, %s, %s)", (made.name, made.start_us, made.end_us, readings)
    )


def _slices(connection: Connection, part: int, readings: int) -> Iterator[tuple[ReadingBatch, int, int]]:
    """The part's readings in order of (sensor_id, event_time), each once; how many were left out and conflicted."""
    step = max(1, min(BUCKETS, BUCKETS * _SLICE_READINGS // max(readings, 1)))
    for low in range(0, BUCKETS, step):
        batch = read_blocks(
            connection,
            sql.SQL("SELECT n, body FROM {} WHERE bucket >= {} AND bucket < {}").format(
                sql.Identifier(f"open_blocks_{part}"), sql.Literal(low), sql.Literal(low + step)
            ),
        )
        if len(batch):
            yield first_of_each(in_order(batch))


def read_blocks(connection: Connection, query: sql.Composed) -> ReadingBatch:
    """The readings of the rows (n, body) of `query`."""
    counts: list[int] = []
    bodies: list[bytes] = []
    statement = sql.SQL("COPY ({}) TO STDOUT (FORMAT BINARY)").format(query)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(["int4", "bytea"])
        for n, body in copy.rows():
            counts.append(n)
            bodies.append(body)
    return read_bodies(counts, bodies)


def _within(batch: ReadingBatch, partition: Partition) -> ReadingBatch:
    where = (batch.event_time >= partition.start_us) & (batch.event_time < partition.end_us)
    return batch if where.all() else batch.take(where)


def _begin_settling(connection: Connection) -> None:
    connection.execute("DROP TABLE IF EXISTS pg_temp.settling")
    connection.execute("CREATE TEMP TABLE settling (LIKE timely_readings) ON COMMIT DROP")


def _settle(connection: Connection, target: Partition) -> tuple[int, int]:
    """Insert what `settling` holds where it is not there yet.

    Returns how many were, and how many bore another value than the one that was there.
    """
    table = sql.Identifier(target.name)
    row = connection.execute(
        sql.SQL(
            "SELECT count(*) FROM settling AS s JOIN {} AS r USING (sensor_id, event_time) WHERE s.value <> r.value"
        ).format(table)
    ).fetchone()
    assert row is not None
    added = connection.execute(
        sql.SQL("INSERT INTO {} SELECT * FROM settling ON CONFLICT DO NOTHING").format(table)
    ).rowcount
    return added, row[0]


def _count_readings(connection: Connection, partition: Partition, more: int) -> None:
    if more:
        connection.execute(
            "UPDATE reading_partitions SET readings = readings + %s WHERE name = %s", (more, partition.name)
        )


def _count_duplicates(connection: Connection, before: str, duplicate: int, conflicting: int) -> None:
    """Readings that had been counted as `before` were there already."""
    if duplicate:
        connection.execute(
            sql.SQL(
                "UPDATE store_status SET {} = {} - {}, duplicate = duplicate + {}, conflicting = conflicting + {}"
            ).format(
                sql.Identifier(before), sql.Identifier(before), sql.Literal(duplicate), sql.Literal(duplicate),
                sql.Literal(conflicting),
            )
        )  # fmt: skip


def _partition_with_late(connection: Connection) -> Partition | None:
    row = connection.execute(
        "SELECT name, start_us, end_us, readings FROM reading_partitions AS p WHERE EXISTS ("
        " SELECT FROM late_readings WHERE event_time >= timestamptz 'epoch' + p.start_us * interval '1 microsecond'"
        "   AND event_time < timestamptz 'epoch' + p.end_us * interval '1 microsecond') LIMIT 1"
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


def _cover(connection: Connection, event_us: int, stream_us: int) -> Partition:
    """Make the partition, still empty, that `event_us` falls into."""
    width = width_us(event_us, stream_us, 0.0)
    start = event_us // width * width
    with connection.transaction():
        known = partitions_of(connection, start, start + width)
        low, high = next(gap for gap in gaps(start, start + width, known) if gap[0] <= event_us < gap[1])
        made = make_partition(connection, low, high)
        index_partition(connection, made)
        attach_partition(connection, made, 0)
    return made
