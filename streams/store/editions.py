"""What closed readings lie in, by what the migrations found: partitions of ours, or TimescaleDB's chunks.

Blocks, late readings, queries and views are the same on all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from streams.store.edge import Connection
from streams.store.parts import Partition


@dataclass(frozen=True, slots=True)
class Edition:
    """What this database has."""

    chunk_us: int
    """How long a chunk of the hypertable is; 0: native partitions, which the store makes, merges and drops."""
    aggregates: bool
    """Continuous aggregates roll up, and old chunks are compressed: TimescaleDB's full edition."""

    @property
    def native(self) -> bool:
        return not self.chunk_us

    def table_of(self, partition: Partition) -> str:
        """The table that takes and gives the rows of a closed part of time."""
        return partition.name if self.native else "timely_readings"


def edition_of(connection: Connection) -> Edition:
    """Not by the extension: a database that got it later keeps the partitions it has."""
    row = connection.execute(
        "SELECT (SELECT relkind FROM pg_class WHERE oid = 'timely_readings'::regclass)::text,"
        " (SELECT relkind FROM pg_class WHERE oid = 'hourly_rows'::regclass)::text"
    ).fetchone()
    assert row is not None
    readings, hours = row
    if readings == "p":
        return Edition(0, False)
    chunk = connection.execute(
        "SELECT (extract(epoch FROM time_interval) * 1000000)::bigint FROM timescaledb_information.dimensions"
        " WHERE hypertable_name = 'timely_readings' AND dimension_number = 1"
    ).fetchone()
    assert chunk is not None
    return Edition(int(chunk[0]), hours == "v")
