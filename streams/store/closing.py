"""Closes parts of time: their blocks become rows with an index, in one transaction. Late readings follow.

A part that closes where partitions are already (a back-fill) goes into these; where there are none it makes one for
each gap. A table is filled in the transaction that makes it, so PostgreSQL needs no WAL for it (`wal_level = minimal`).
With a hypertable the rows go through it, in order of its index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import psycopg
from psycopg import sql

from schemas.readings import ReadingBatch
from streams.store.blocks import BUCKETS, first_of_each, in_order, read_bodies, row_payload
from streams.store.edge import Connection, copy_in
from streams.store.editions import Edition
from streams.store.partitions import (
    attach_partition,
    count_readings,
    index_partition,
    list_chunks,
    make_partition,
    partitions_of,
)
from streams.store.parts import HOUR_US, OpenPart, Partition, gaps
from streams.store.rolling import adding, note_hours
from streams.store.settling import begin_settling, count_duplicates, settle

Failpoint = Callable[[str], None]
_SLICE_READINGS = 500_000
"""Sorted at a time when a part closes: about 60 MB of memory."""


def due_part(connection: Connection, stream_us: int) -> OpenPart | None:
    """The oldest part that may close by stream time."""
    row = connection.execute(
        "SELECT part, start_us, end_us, closes_us, readings FROM open_parts WHERE closes_us <= %s"
        " ORDER BY end_us, part LIMIT 1",
        (stream_us,),
    ).fetchone()
    return OpenPart(*row) if row else None


def close_part(connection: Connection, edition: Edition, part: OpenPart, failpoint: Failpoint) -> None:
    """Turn the blocks of a part that nobody writes to any more into rows with an index."""
    with connection.transaction():
        # Another store's keeper may still be at it in a backend that has not noticed that its client was killed.
        held = connection.execute("SELECT readings FROM open_parts WHERE part = %s FOR UPDATE", (part.part,)).fetchone()
        if held is None:
            return
        closing = _Closing(connection, edition, part)
        for batch, again, differing in _slices(connection, part.part, held[0]):
            closing.put(batch)
            closing.duplicate += again
            closing.conflicting += differing
        closing.finish()
        count_duplicates(connection, "stored", closing.duplicate, closing.conflicting)
        connection.execute("DELETE FROM open_parts WHERE part = %s", (part.part,))
        failpoint("while_partition_closes")


class _Closing:
    """One part's rows on their way to where its time is kept; within a transaction."""

    def __init__(self, connection: Connection, edition: Edition, part: OpenPart) -> None:
        self._connection = connection
        self._edition = edition
        self._made: list[Partition] = []
        if edition.native:
            self._known = partitions_of(connection, part.start_us, part.end_us)
            self._made = [
                make_partition(connection, start, end) for start, end in gaps(part.start_us, part.end_us, self._known)
            ]
        else:
            self._known = list_chunks(connection, part.start_us, part.end_us, edition.chunk_us)
        self._kept = dict.fromkeys((p.name for p in (*self._made, *self._known)), 0)
        self._noted: set[int] = set()
        self._done: set[int] = set()
        """Of the hours that get readings those that are rolled up."""
        self.duplicate = 0
        self.conflicting = 0

    def put(self, batch: ReadingBatch) -> None:
        """batch: by (sensor_id, event_time), each once."""
        self._note(batch)
        for target in self._made:
            here = _within(batch, target)
            if len(here):
                copy_in(self._connection, target.name, row_payload(here), ", FREEZE")
                self._kept[target.name] += len(here)
        for target in self._known:
            here = _within(batch, target)
            if len(here) and not self._copied(here, target):
                self._settle(here, target)

    def finish(self) -> None:
        for target in self._made:
            index_partition(self._connection, target)
            attach_partition(self._connection, target, self._kept[target.name])
            if any(target.start_us < hour + HOUR_US and target.end_us > hour for hour in self._done):
                rows = sql.SQL("SELECT sensor_id, event_time, value FROM {}").format(sql.Identifier(target.name))
                self._connection.execute(adding(rows, self._done))
        for target in self._known:
            count_readings(self._connection, target, self._kept[target.name])

    def _note(self, batch: ReadingBatch) -> None:
        if self._edition.aggregates:
            return
        hours = {int(hour) * HOUR_US for hour in np.unique(batch.event_time // HOUR_US)} - self._noted
        self._noted |= hours
        self._done |= note_hours(self._connection, hours)

    def _copied(self, batch: ReadingBatch, target: Partition) -> bool:
        """Straight into the hypertable: what lies in blocks was new when it came, so as a rule none of it is there.

        False when some is after all, or the roll-ups must hear of it.
        """
        if self._edition.native or self._done:
            return False
        try:
            with self._connection.transaction():
                copy_in(self._connection, self._edition.table_of(target), row_payload(batch))
        except psycopg.errors.UniqueViolation:
            return False
        self._kept[target.name] += len(batch)
        return True

    def _settle(self, batch: ReadingBatch, target: Partition) -> None:
        begin_settling(self._connection)
        copy_in(self._connection, "settling", row_payload(batch))
        added, contradicting = settle(self._connection, self._edition.table_of(target), self._done)
        self._kept[target.name] += added
        self.duplicate += len(batch) - added
        self.conflicting += contradicting


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
