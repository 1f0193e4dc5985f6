"""The table `last_values`: each sensor's newest reading, saved now and then, so a start need not read all readings.

Saved values never run ahead of the store's committed place, and the place they cover is written after them. So whatever
part of a save is there, with the log's entries after that place it gives the newest exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from psycopg import sql

from streams.store.blocks import PG_EPOCH_US
from streams.store.edge import Connection, copy_in, fetch_columns
from streams.store.newest import LastValues, Newest
from streams.store.places import Place, raise_to

CONSUMER = "store.last_values"
"""Its place in `positions`: the log must keep what lies above it."""
_CHUNK = 50_000
"""Sensors in one transaction."""
_HEAD = b"PGCOPY\n\xff\r\n\0" + b"\0" * 8
_END = b"\xff\xff"
_ROW = np.dtype(
    [
        ("fields", ">i2"), ("sensor_id_length", ">i4"), ("sensor_id", ">i8"), ("event_time_length", ">i4"),
        ("event_time", ">i8"), ("value_length", ">i4"), ("value", ">f8"), ("quality_length", ">i4"), ("quality", ">i2"),
    ]
)  # fmt: skip


def load_last_values(connection: Connection, newest: Newest, partitions: Sequence[int]) -> Place:
    """Fill `newest` from the table; returns the place it covers, 0 at the start."""
    covered = raise_to(connection, CONSUMER, dict.fromkeys(partitions, 0))
    newest.load(read_last_values(connection, sql.SQL("SELECT * FROM last_values").format()))
    return covered


def read_last_values(connection: Connection, query: sql.Composed) -> LastValues:
    """The rows of `query`, which has the columns of `last_values`."""
    sensor_id, event_time, value, quality = fetch_columns(
        connection, query, (("sensor_id", ">i8"), ("event_time", ">i8"), ("value", ">f8"), ("quality", ">i2"))
    )
    return LastValues(
        sensor_id.astype(np.int64), event_time.astype(np.int64) + PG_EPOCH_US, value.astype(np.float64),
        quality.astype(np.uint8),
    )  # fmt: skip


def save_last_values(connection: Connection, last: LastValues, place: Place) -> None:
    """Write `last`, exact as of the store's committed `place`. May be cut off anywhere and done again."""
    order = np.argsort(last.sensor_id)
    for start in range(0, len(last), _CHUNK):
        which = order[start : start + _CHUNK]
        with connection.transaction():
            connection.execute("CREATE TEMP TABLE saving (LIKE last_values) ON COMMIT DROP")
            copy_in(connection, "saving", _payload(last, which))
            connection.execute(
                "INSERT INTO last_values SELECT * FROM saving ON CONFLICT (sensor_id) DO UPDATE SET"
                " event_time = excluded.event_time, value = excluded.value, quality = excluded.quality"
                " WHERE excluded.event_time > last_values.event_time"
            )
    raise_to(connection, CONSUMER, place)


def _payload(last: LastValues, which: npt.NDArray[np.intp]) -> npt.NDArray[np.uint8]:
    rows = np.zeros(len(which), _ROW)
    rows["fields"] = 4
    for name in ("sensor_id", "event_time", "value", "quality"):
        rows[f"{name}_length"] = _ROW[name].itemsize
    rows["sensor_id"] = last.sensor_id[which]
    rows["event_time"] = last.event_time[which] - PG_EPOCH_US
    rows["value"] = last.value[which]
    rows["quality"] = last.quality[which]
    return np.frombuffer(_HEAD + rows.tobytes() + _END, np.uint8)
