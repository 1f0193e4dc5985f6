"""Writes blocks: judged, split by part of time and copied in one transaction with the fenced position.

What it keeps in memory (the newest of every sensor, the open parts) is a function of what is committed, and is read
anew whenever a commit's outcome is not known. So each reading is stored once, whatever is killed.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass

import numpy as np
from psycopg import sql

from schemas.errors import ServiceAway
from schemas.readings import ReadingBatch
from streams.ports import PartitionsReader
from streams.store.blocks import block_payload, compile_kernels, in_order, row_payload
from streams.store.edge import Connection, copy_in, translated
from streams.store.last_values import load_last_values
from streams.store.newest import LastValues, Newest, Verdict
from streams.store.parts import closes_us, parts_of
from streams.store.places import Place, move, take_over

CONSUMER = "store"
"""Its place in `positions`; the log must keep what lies above it (and above `last_values.CONSUMER`)."""
_REPLAY_ENTRIES = 256


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one block's readings."""

    stored: int
    late: int
    duplicate: int
    conflicting: int
    """Of the duplicates those with another value."""
    refused_old: int


class BlockWriter:
    """One to a connection; made anew after any failure. `write` and the keeper's calls may come from two threads."""

    def __init__(self, connection: Connection, reader: PartitionsReader, retention_us: int) -> None:
        """Take the store's place over and rebuild its memory. Raises ServiceAway or CorruptState.

        What the last saved values do not cover is read again from the log, which keeps it for that.
        """
        compile_kernels()
        self._connection = connection
        self._retention_us = retention_us
        self._lock = threading.Lock()
        self._owner = secrets.randbits(62)
        self.place: Place = take_over(connection, CONSUMER, reader.partitions, self._owner)
        """What is committed; replaced with each block, never changed."""
        self._newest = Newest()
        covered = load_last_values(connection, self._newest, reader.partitions)
        self._replay(reader, covered)
        row = connection.execute("SELECT stream_us FROM store_status").fetchone()
        assert row is not None
        self.stream_us: int = row[0]
        self._is_exact = True
        self._parts: dict[tuple[int, int], int] = {
            (start, end): part
            for part, start, end in connection.execute("SELECT part, start_us, end_us FROM open_parts ORDER BY part")
        }
        connection.execute("CREATE TEMP TABLE arriving (LIKE late_readings) ON COMMIT DELETE ROWS")

    def write(self, batch: ReadingBatch, place: Place, stream_us: int, rate: float) -> Written:
        """Commit the readings of the log's entries up to `place`, those of a partition in the order they came.

        stream_us: the largest tick or arrival so far.  rate: readings a second, which sets how long parts are.
        Raises Fenced when another store has taken over, ServiceAway when PostgreSQL is away or full; in any case of
        failure this object is of no more use.
        """
        ordered = in_order(batch)
        with self._lock, translated(needed_bytes=64 * len(batch)):
            # Memory runs ahead of the commit from here on: a failure must keep the keeper from saving it.
            self._is_exact = False
            verdicts = self._newest.judge(ordered, self._retention_us)
            counts = np.bincount(verdicts, minlength=len(Verdict))
            new = ordered if counts[Verdict.NEW] == len(ordered) else ordered.take(verdicts == Verdict.NEW)
            stream_us = max(stream_us, self.stream_us)
            with self._connection.transaction():
                move(self._connection, CONSUMER, self.place, place, self._owner)
                for start_us, end_us, where in parts_of(new.event_time, stream_us, rate):
                    self._add_to_part(start_us, end_us, new.take(where), stream_us)
                added, again, conflicting = self._add_late(ordered.take(verdicts == Verdict.LATE))
                written = Written(
                    stored=len(new),
                    late=added,
                    duplicate=int(counts[Verdict.DUPLICATE] + counts[Verdict.CONFLICTING]) + again,
                    conflicting=int(counts[Verdict.CONFLICTING]) + conflicting,
                    refused_old=int(counts[Verdict.TOO_OLD]),
                )
                self._count(written, stream_us, int(batch.arrival_time.min()) if len(batch) else None)
            self.place = dict(place)
            self.stream_us = stream_us
            self._is_exact = True
        return written

    def withdraw_part(self, part: int) -> None:
        """Return when nothing more is written to `part`; later readings of its time get a new one."""
        with self._lock:
            self._parts = {span: number for span, number in self._parts.items() if number != part}

    @property
    def entries(self) -> int:
        """How many entries of the log are behind it, of all partitions."""
        return sum(self.place.values())

    def changed_sensors(self) -> int:
        with self._lock:
            return self._newest.changed

    def take_changed(self) -> tuple[LastValues, Place]:
        """What became newer since the last call, and the place it is exact for.

        Raises ServiceAway after a failed `write`: what is remembered then may never have been committed.
        """
        with self._lock:
            if not self._is_exact:
                raise ServiceAway("PostgreSQL", "a block was not committed; the store begins anew.", retry_after_s=0.1)
            return self._newest.take_changed(), self.place

    def _replay(self, reader: PartitionsReader, covered: Place) -> None:
        at = {partition: min(covered[partition], position) for partition, position in self.place.items()}
        while any(at[partition] < position for partition, position in self.place.items()):
            entries = reader.read(at, _REPLAY_ENTRIES)
            if not entries:
                break
            batches = []
            for entry in entries:
                at[entry.partition] = entry.number
                # Of the partitions that are through already, later entries come meanwhile: they are for `write`.
                if isinstance(entry.payload, ReadingBatch) and entry.number <= self.place[entry.partition]:
                    batches.append(entry.payload)
            if batches:
                self._newest.judge(in_order(ReadingBatch.concat(batches)), self._retention_us)

    def _add_to_part(self, start_us: int, end_us: int, batch: ReadingBatch, stream_us: int) -> None:
        part = self._parts.get((start_us, end_us))
        # The keeper of a store that was killed may still be closing this part in a backend of its own: then this waits
        # for it and finds the part gone.
        if part is None or not self._grow(part, len(batch)):
            part = self._parts[start_us, end_us] = self._make_part(start_us, end_us, stream_us)
            self._grow(part, len(batch))
        copy_in(self._connection, f"open_blocks_{part}", block_payload(part, batch))

    def _grow(self, part: int, readings: int) -> bool:
        """Count readings into a part; False when it is no longer open."""
        grown = self._connection.execute(
            "UPDATE open_parts SET readings = readings + %s WHERE part = %s", (readings, part)
        )
        return grown.rowcount == 1

    def _make_part(self, start_us: int, end_us: int, stream_us: int) -> int:
        row = self._connection.execute(
            "INSERT INTO open_parts VALUES (nextval('store_numbers'), %s, %s, %s) RETURNING part",
            (start_us, end_us, closes_us(end_us, stream_us)),
        ).fetchone()
        assert row is not None
        part = int(row[0])
        table = sql.Identifier(f"open_blocks_{part}")
        # Made apart and then attached: that takes no lock which a reader would wait for. It lives for minutes, so
        # vacuuming it would be work for nothing.
        self._connection.execute(
            sql.SQL("CREATE TABLE {} (LIKE open_blocks INCLUDING ALL) WITH (autovacuum_enabled = off)").format(table)
        )
        self._connection.execute(
            sql.SQL("ALTER TABLE open_blocks ATTACH PARTITION {} FOR VALUES IN ({})").format(table, sql.Literal(part))
        )
        return part

    def _add_late(self, batch: ReadingBatch) -> tuple[int, int, int]:
        """Returns how many were added, how many were there already, and how many of these bore another value."""
        if not len(batch):
            return 0, 0, 0
        copy_in(self._connection, "arriving", row_payload(batch))
        added = self._connection.execute(
            "INSERT INTO late_readings SELECT * FROM arriving ORDER BY ctid ON CONFLICT DO NOTHING"
        ).rowcount
        if added == len(batch):
            return added, 0, 0
        row = self._connection.execute(
            "SELECT count(*) FROM arriving AS a JOIN late_readings AS l USING (sensor_id, event_time)"
            " WHERE a.value <> l.value"
        ).fetchone()
        assert row is not None
        return added, len(batch) - added, row[0]

    def _count(self, written: Written, stream_us: int, oldest_us: int | None) -> None:
        """oldest_us: the earliest arrival; None: no reading has come."""
        self._connection.execute(
            """
            UPDATE store_status
               SET stream_us = %s, stored = stored + %s, late = late + %s, duplicate = duplicate + %s,
                   conflicting = conflicting + %s, refused_old = refused_old + %s, blocks = blocks + 1,
                   waited_us = coalesce((extract(epoch FROM clock_timestamp()) * 1e6)::bigint - %s, waited_us),
                   written_at = now()
            """,
            (
                stream_us, written.stored, written.late, written.duplicate, written.conflicting, written.refused_old,
                oldest_us,
            ),
        )  # fmt: skip
