"""What tables and folders take of a disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from psycopg import sql

from streams.store.blocks import in_order, row_payload
from streams.store.closing import read_blocks
from streams.store.edge import copy_in, session

_SAMPLE_BUCKETS = 64
"""A sixty-fourth of all sensors."""


def table_bytes(dsn: str, tables: Sequence[str]) -> int:
    """Bytes of tables with their indexes and all their partitions."""
    with session(dsn, "tocsin-bench") as connection:
        row = connection.execute(
            # The tree of a table that has no partitions is empty, its own name not in it.
            "SELECT coalesce(sum(pg_total_relation_size(relid)), 0)::bigint FROM ("
            " SELECT unnest(%(tables)s::regclass[]) AS relid UNION"
            " SELECT p.relid FROM unnest(%(tables)s::regclass[]) AS t (relid), pg_partition_tree(t.relid) AS p) AS of",
            {"tables": list(tables)},
        ).fetchone()
    assert row is not None
    return int(row[0])


def folder_bytes(folder: Path, pattern: str) -> int:
    """Bytes on the disk of all files below the folders of this name, wherever in `folder` they are."""
    files = (file for found in folder.rglob(pattern) for file in found.rglob("*") if file.is_file())
    return sum(file.stat().st_blocks * 512 for file in files)


def row_bytes(dsn: str) -> float:
    """Bytes of a reading at rest, as a row with its index: of a sample of those that lie open, put in a table."""
    with session(dsn, "tocsin-bench") as connection, connection.transaction():
        sample = read_blocks(
            connection,
            sql.SQL("SELECT n, body FROM open_blocks WHERE bucket < {}").format(sql.Literal(_SAMPLE_BUCKETS)),
        )
        connection.execute("CREATE TEMP TABLE resting (LIKE timely_readings INCLUDING INDEXES) ON COMMIT DROP")
        copy_in(connection, "resting", row_payload(in_order(sample)))
        row = connection.execute("SELECT pg_total_relation_size('resting')").fetchone()
    assert row is not None
    return int(row[0]) / max(1, len(sample))
