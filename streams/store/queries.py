"""What others ask of the stored readings: a sensor's history, last values, all between two times, how things stand.

Each answer is one snapshot, so a reading that moves from a block to a partition meanwhile is seen once. The view
`readings` says the same in SQL, slowly where blocks are open.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from psycopg import sql

from schemas.readings import ReadingBatch
from streams.store.blocks import (
    BUCKET_SHIFT,
    BUCKETS,
    PG_EPOCH_US,
    bucket_of,
    first_of_each,
    in_order,
    read_bodies,
)
from streams.store.closing import read_blocks
from streams.store.edge import Connection, elements, fetch_columns, instant, translated
from streams.store.last_values import read_last_values
from streams.store.newest import LastValues
from streams.store.partitions import ALL_TIME, partitions_of
from streams.store.parts import next_merge

_COLUMNS = (
    ("event_time", ">i8"),
    ("arrival_time", ">i8"),
    ("value", ">f8"),
    ("quality", ">i2"),
    ("origin", ">i2"),
)
_LATE = b"\0\0\0\2"
"""Rank 2 of `_HISTORY` in binary."""
_SLICE_READINGS = 500_000
_COUNTED_BUCKETS = 64
_HISTORY = """
SELECT 0 AS rank, {arrays}, NULL::int AS n, NULL::bytea AS body FROM timely_readings
 WHERE sensor_id = {sensor} AND event_time >= {start} AND event_time < {end}
 UNION ALL
SELECT 1, {nulls}, n, body FROM open_blocks
 WHERE bucket = {bucket}
   AND part = ANY(ARRAY(SELECT part FROM open_parts WHERE start_us < {end_us} AND end_us > {start_us}))
 UNION ALL
SELECT 2, {arrays}, NULL, NULL FROM late_readings
 WHERE sensor_id = {sensor} AND event_time >= {start} AND event_time < {end}
"""


class StoreStatus(msgspec.Struct, frozen=True):
    """How the store stands. Counts are since the beginning; of the log's readings up to `positions` each is one of
    stored, late, duplicate, refused_old."""

    positions: dict[int, int]
    """Partition → number of its last entry that was written."""
    stream_us: int
    """The largest tick or arrival that was written."""
    stored: int
    late: int
    duplicate: int
    conflicting: int
    """Of the duplicates those with another value."""
    refused_old: int
    blocks: int
    open_parts: int
    closing: int
    """Parts that wait for their index."""
    merging: bool
    """Partitions wait to be merged."""
    partitions: int
    late_waiting: bool
    """Late readings wait for their partition to take them in."""
    silent_s: float
    """Since the last commit."""
    waited_us: int
    """From the arrival of the oldest reading of the newest block to its commit, by PostgreSQL's clock."""


def history(connection: Connection, sensor_id: int, start_us: int, end_us: int) -> ReadingBatch:
    """A sensor's readings with start <= event_time < end, by event_time, each time once."""
    array = sql.SQL(", ").join(
        sql.SQL("array_agg({}) AS {}").format(sql.Identifier(c), sql.Identifier(c)) for c, _ in _COLUMNS
    )
    nulls = sql.SQL(", ").join([sql.SQL("NULL")] * len(_COLUMNS))
    query = sql.SQL(_HISTORY).format(
        arrays=array, nulls=nulls, sensor=sql.Literal(sensor_id), bucket=sql.Literal(bucket_of(sensor_id)),
        start=instant(start_us), end=instant(end_us), start_us=sql.Literal(start_us), end_us=sql.Literal(end_us),
    )  # fmt: skip
    # Prepared, PostgreSQL would in time plan for any sensor and any time: over every partition.
    with translated(), connection.cursor(binary=True) as cursor:
        cursor.execute(query, prepare=False)
        result = cursor.pgresult
        assert result is not None
        first: list[ReadingBatch] = []
        late: list[ReadingBatch] = []
        counts: list[int] = []
        bodies: list[bytes] = []
        for row in range(result.ntuples):
            rank, *cells = (result.get_value(row, column) for column in range(result.nfields))
            if cells[-1] is not None:
                counts.append(int.from_bytes(cells[-2] or b"", "big"))
                bodies.append(cells[-1])
            elif cells[0] is not None:
                columns = [elements(cell, kind) for cell, (_, kind) in zip(cells, _COLUMNS, strict=False)]
                (late if rank == _LATE else first).append(_batch(np.full(len(columns[0]), sensor_id), columns))
    blocks = read_bodies(counts, bodies)
    first.append(_between(blocks.take(blocks.sensor_id == sensor_id), start_us, end_us))
    # Late readings stand last: where one has the time of another, the other came first.
    return first_of_each(in_order(ReadingBatch.concat(first + late)))[0]


def last_values(connection: Connection, sensor_ids: Sequence[int]) -> LastValues:
    """The saved newest readings of those sensors that have one; up to some minutes behind."""
    with translated():
        return read_last_values(
            connection,
            sql.SQL("SELECT * FROM last_values WHERE sensor_id = ANY({})").format(sql.Literal(list(sensor_ids))),
        )


def readings_between(connection: Connection, start_us: int, end_us: int) -> Iterator[ReadingBatch]:
    """All readings with start <= event_time < end, each once, in order of (sensor_id, event_time), in slices.

    The slices are one snapshot: the generator holds a transaction until it is exhausted or closed.
    """
    with translated(), connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        total = sum(readings for *_, readings in _pieces(connection, start_us, end_us))
        step = max(1, min(BUCKETS, BUCKETS * _SLICE_READINGS // max(total, 1)))
        for low in range(0, BUCKETS, step):
            blocks = read_blocks(
                connection,
                sql.SQL(
                    "SELECT n, body FROM open_blocks JOIN open_parts USING (part) WHERE bucket >= {} AND bucket < {}"
                    " AND start_us < {} AND end_us > {}"
                ).format(sql.Literal(low), sql.Literal(low + step), sql.Literal(end_us), sql.Literal(start_us)),
            )
            sensors = (low << BUCKET_SHIFT, ((low + step) << BUCKET_SHIFT) - 1)
            found = ReadingBatch.concat(
                [
                    _rows_between(connection, "timely_readings", start_us, end_us, sensors),
                    _between(blocks, start_us, end_us),
                    _rows_between(connection, "late_readings", start_us, end_us, sensors),
                ]
            )
            if len(found):
                yield first_of_each(in_order(found))[0]


def count_between(connection: Connection, start_us: int, end_us: int) -> int:
    """How many readings with start <= event_time < end are stored, each counted once.

    Whole parts are known; at most the two at the edges are read, or all of them while late readings wait in between.
    """
    with translated():
        row = connection.execute(
            sql.SQL("SELECT EXISTS (SELECT FROM late_readings WHERE event_time >= {} AND event_time < {})").format(
                instant(start_us), instant(end_us)
            )
        ).fetchone()
        assert row is not None
        if row[0]:
            return sum(map(len, readings_between(connection, start_us, end_us)))
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            total = 0
            for part, low, high, readings in _pieces(connection, start_us, end_us):
                if start_us <= low and high <= end_us:
                    total += readings
                elif part is None:
                    total += _count_closed(connection, max(start_us, low), min(end_us, high))
                else:
                    total += _count_open(connection, part, start_us, end_us)
            return total


def status(connection: Connection) -> StoreStatus:
    """How the store stands."""
    with translated():
        row = connection.execute(
            """
            SELECT (SELECT coalesce(jsonb_object_agg(partition, position), '{}') FROM positions
                     WHERE consumer = 'store'), stream_us,
                   stored, late, duplicate, conflicting, refused_old, blocks,
                   (SELECT count(*) FROM open_parts),
                   (SELECT count(*) FROM open_parts WHERE closes_us <= stream_us),
                   EXISTS (SELECT FROM late_readings),
                   extract(epoch FROM clock_timestamp() - written_at)::float8, waited_us
              FROM store_status
            """
        ).fetchone()
        partitions = partitions_of(connection, *ALL_TIME)
    assert row is not None
    positions, stream_us, stored, late, duplicate, conflicting, refused_old, blocks, *present = row
    open_parts, closing, late_waiting, silent_s, waited_us = present
    return StoreStatus(
        positions={int(partition): position for partition, position in positions.items()}, stream_us=stream_us,
        stored=stored, late=late, duplicate=duplicate, conflicting=conflicting,
        refused_old=refused_old, blocks=blocks, open_parts=open_parts, closing=closing,
        merging=bool(next_merge(partitions, stream_us)), partitions=len(partitions), late_waiting=late_waiting,
        silent_s=silent_s, waited_us=waited_us,
    )  # fmt: skip


def _rows_between(
    connection: Connection, table: str, start_us: int, end_us: int, sensors: tuple[int, int]
) -> ReadingBatch:
    """sensors: the smallest and the largest id."""
    query = sql.SQL(
        "SELECT * FROM {} WHERE event_time >= {} AND event_time < {} AND sensor_id BETWEEN {} AND {}"
    ).format(sql.Identifier(table), instant(start_us), instant(end_us), *map(sql.Literal, sensors))
    sensor_id, *columns = fetch_columns(connection, query, (("sensor_id", ">i8"), *_COLUMNS))
    return _batch(sensor_id, columns)


def _pieces(connection: Connection, start_us: int, end_us: int) -> list[tuple[int | None, int, int, int]]:
    """(open part or none, start, end, readings) of the closed partitions and open parts that overlap [start, end)."""
    return connection.execute(
        """
        SELECT NULL::bigint, start_us, end_us, readings FROM reading_partitions
         WHERE start_us < %(end)s AND end_us > %(start)s
         UNION ALL
        SELECT part, start_us, end_us, readings FROM open_parts WHERE start_us < %(end)s AND end_us > %(start)s
        """,
        {"start": start_us, "end": end_us},
    ).fetchall()


def _count_closed(connection: Connection, start_us: int, end_us: int) -> int:
    row = connection.execute(
        sql.SQL("SELECT count(*) FROM timely_readings WHERE event_time >= {} AND event_time < {}").format(
            instant(start_us), instant(end_us)
        )
    ).fetchone()
    assert row is not None
    return int(row[0])


def _count_open(connection: Connection, part: int, start_us: int, end_us: int) -> int:
    total = 0
    for low in range(0, BUCKETS, _COUNTED_BUCKETS):
        query = sql.SQL("SELECT n, body FROM {} WHERE bucket >= {} AND bucket < {}").format(
            sql.Identifier(f"open_blocks_{part}"), sql.Literal(low), sql.Literal(low + _COUNTED_BUCKETS)
        )
        total += len(_between(read_blocks(connection, query), start_us, end_us))
    return total


def _between(batch: ReadingBatch, start_us: int, end_us: int) -> ReadingBatch:
    return batch.take((batch.event_time >= start_us) & (batch.event_time < end_us))


def _batch(sensor_id: Any, columns: Sequence[Any]) -> ReadingBatch:
    """Columns as PostgreSQL sends them, as a batch."""
    event_time, arrival_time, value, quality, origin = columns
    return ReadingBatch.of(
        sensor_id, event_time.astype(np.int64) + PG_EPOCH_US, arrival_time.astype(np.int64) + PG_EPOCH_US,
        value, quality, origin,
    )  # fmt: skip
