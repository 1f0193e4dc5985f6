"""What TimescaleDB's full edition does when told: it refreshes continuous aggregates and compresses old chunks.

Told by stream time and not by its own jobs, which go by the wall clock: a log that is read again, or a day that is
played fast, gives the same.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from streams.store.edge import Connection, instant, wait_briefly
from streams.store.parts import CLOSES_AFTER_US, DAY_US, HOUR_US
from streams.store.rolling import DAILY_KEPT_US

_REFRESH_EVERY_US = 2 * CLOSES_AFTER_US
_COMPRESS_AFTER_US = 7 * DAY_US
"""By then few late readings come, and those that do still find their chunk."""


class Aggregates:
    """`step` from the keeper's thread."""

    def __init__(self) -> None:
        self._refreshed_us = 0
        self._tidy = False

    def step(self, connection: Connection, stream_us: int, retention_us: int) -> bool:
        """Do one piece of work; False when there is none, or readers did not let us."""
        if stream_us >= self._refreshed_us + _REFRESH_EVERY_US:
            _refresh(connection, stream_us)
            self._refreshed_us = stream_us
            self._tidy = True
            return True
        if self._tidy:
            try:
                with connection.transaction():
                    wait_briefly(connection)
                    self._tidy = _drop_old(connection, stream_us, retention_us) or _compress_one(connection, stream_us)
            except psycopg.errors.LockNotAvailable:
                return False
        return self._tidy


def _refresh(connection: Connection, stream_us: int) -> None:
    """The hours and days that are over. TimescaleDB knows which of them have changed, and looks at no other."""
    # Not before the first reading that is kept: a refresh over dropped chunks would drop their roll-ups.
    row = connection.execute("SELECT min(start_us) FROM reading_partitions").fetchone()
    if row is None or row[0] is None:
        return
    over_us = stream_us - 2 * CLOSES_AFTER_US
    for view, width in (("hourly_rows", HOUR_US), ("daily_rows", DAY_US)):
        start, end = -(-row[0] // DAY_US) * DAY_US, over_us // width * width
        if start < end:
            connection.execute(
                sql.SQL("CALL refresh_continuous_aggregate({}, {}, {})").format(
                    sql.Literal(view), instant(start), instant(end)
                )
            )


def _drop_old(connection: Connection, stream_us: int, retention_us: int) -> bool:
    dropped = False
    for view, kept_us in (("hourly_rows", retention_us), ("daily_rows", DAILY_KEPT_US)):
        query = sql.SQL("SELECT count(*) FROM drop_chunks({}, older_than => {})").format(
            sql.Literal(view), instant(max(0, stream_us - kept_us))
        )
        dropped |= connection.execute(query).fetchone() != (0,)
    return dropped


def _compress_one(connection: Connection, stream_us: int) -> bool:
    row = connection.execute(
        sql.SQL(
            "SELECT compress_chunk(format('%I.%I', chunk_schema, chunk_name)::regclass)"
            " FROM timescaledb_information.chunks WHERE hypertable_name = 'timely_readings' AND NOT is_compressed"
            " AND range_end <= {} ORDER BY range_end LIMIT 1"
        ).format(instant(stream_us - _COMPRESS_AFTER_US))
    ).fetchone()
    return row is not None
