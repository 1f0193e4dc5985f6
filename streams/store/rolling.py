"""Roll-ups of our own, where TimescaleDB makes none: of each sensor and hour or day how many, lowest, highest, sum.

An hour that is over is counted once, whole, from its closed readings; a day from its hours. What is added to an hour
later (late readings, back-fills) is added to its rows in the same commit. So they say what the readings say, after any
kill, and one late reading does not make an hour of the whole province be read again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import psycopg
from psycopg import sql

from streams.store.edge import Connection, instant, wait_briefly
from streams.store.parts import CLOSES_AFTER_US, DAY_US, HOUR_US

DAILY_KEPT_US = 3650 * DAY_US
"""Days outlive the readings and hours that they were counted from: they are few, and years are compared by them."""
_PARTITION_US = {"hourly_rows": DAY_US, "daily_rows": 32 * DAY_US}

_NOTE = """
    INSERT INTO roll_ups AS known (grain, start_us)
    SELECT %s, start_us FROM unnest(%s::bigint[]) AS start_us ORDER BY start_us
    ON CONFLICT (grain, start_us) DO UPDATE SET done = known.done
    RETURNING start_us, done
"""
_DUE_HOUR = """
    SELECT start_us FROM roll_ups AS due
     WHERE grain = 'hour' AND NOT done AND start_us <= %(until)s
       AND NOT EXISTS (SELECT FROM open_parts AS open
                        WHERE open.start_us < due.start_us + %(hour)s AND open.end_us > due.start_us)
     ORDER BY start_us LIMIT 1
"""
_DUE_DAY = """
    SELECT start_us FROM roll_ups AS due
     WHERE grain = 'day' AND NOT done AND start_us <= %(until)s
       AND NOT EXISTS (SELECT FROM roll_ups AS hour WHERE hour.grain = 'hour' AND NOT hour.done
                          AND hour.start_us >= due.start_us AND hour.start_us < due.start_us + %(day)s)
     ORDER BY start_us LIMIT 1
"""
_ROLL_HOUR = """
    INSERT INTO hourly_rows
    SELECT sensor_id, {start}, count(*), min(value), max(value), sum(value) FROM timely_readings
     WHERE event_time >= {start} AND event_time < {end} GROUP BY sensor_id
"""
_ROLL_DAY = """
    INSERT INTO daily_rows
    SELECT sensor_id, {start}, sum(readings), min(lowest), max(highest), sum(total) FROM hourly_rows
     WHERE hour >= {start} AND hour < {end} GROUP BY sensor_id
"""
_ADD_TO_DAY = """
    INSERT INTO daily_rows AS held
    SELECT sensor_id, {day}, readings, lowest, highest, total FROM hourly_rows WHERE hour = {hour}
    ON CONFLICT (sensor_id, day) DO UPDATE SET {grown}
"""
_ADD = """
    WITH added AS ({rows}),
    hours AS (
        SELECT sensor_id, date_trunc('hour', event_time, 'UTC') AS hour, count(*) AS readings, min(value) AS lowest,
               max(value) AS highest, sum(value) AS total
          FROM added WHERE date_trunc('hour', event_time, 'UTC') = ANY({hours}) GROUP BY 1, 2
    ),
    grown_hours AS (
        INSERT INTO hourly_rows AS held SELECT * FROM hours ON CONFLICT (sensor_id, hour) DO UPDATE SET {grown}
    ),
    grown_days AS (
        INSERT INTO daily_rows AS held
        SELECT sensor_id, date_trunc('day', hour, 'UTC') AS day, sum(readings), min(lowest), max(highest), sum(total)
          FROM hours JOIN roll_ups ON grain = 'day' AND done
           AND start_us = (extract(epoch FROM date_trunc('day', hour, 'UTC')) * 1000000)::bigint
         GROUP BY 1, 2
        ON CONFLICT (sensor_id, day) DO UPDATE SET {grown}
    )
    SELECT count(*) FROM added
"""
_GROWN = sql.SQL(
    "readings = held.readings + excluded.readings, lowest = least(held.lowest, excluded.lowest),"
    " highest = greatest(held.highest, excluded.highest), total = held.total + excluded.total"
)


def note_hours(connection: Connection, hours: Iterable[int]) -> set[int]:
    """This transaction puts readings into these hours (their start, µs); returns those that are rolled up already.

    None of them is rolled up before it ends.
    """
    return {start for start, done in connection.execute(_NOTE, ("hour", list(hours))) if done}


def adding(rows: sql.Composed, done: Collection[int]) -> sql.Composed:
    """A statement that adds to roll-ups what lies in the hours `done`, and answers with the count of all `rows`.

    rows: a query, or an INSERT with RETURNING, that gives (sensor_id, event_time, value).
    """
    hours = sql.SQL("ARRAY[{}]::timestamptz[]").format(sql.SQL(", ").join(map(instant, sorted(done))))
    return sql.SQL(_ADD).format(rows=rows, hours=hours, grown=_GROWN)


def roll_up_some(connection: Connection, stream_us: int) -> bool:
    """Roll up one hour or one day that is over and closed; False when there is none."""
    over_us = stream_us - 2 * CLOSES_AFTER_US
    row = connection.execute(_DUE_HOUR, {"until": over_us - HOUR_US, "hour": HOUR_US}).fetchone()
    if row is not None:
        _roll_up_hour(connection, row[0])
        return True
    row = connection.execute(_DUE_DAY, {"until": over_us - DAY_US, "day": DAY_US}).fetchone()
    if row is not None:
        with connection.transaction():
            if _begin(connection, "day", row[0]):
                _make_room(connection, "daily_rows", row[0])
                connection.execute(_of_time(_ROLL_DAY, row[0], DAY_US))
        return True
    return False


def drop_old_roll_ups(connection: Connection, hours_us: int, days_us: int) -> bool:
    """Drop what ended by `hours_us` and `days_us`; False when there was nothing, or readers did not let us."""
    old = _old_partitions(connection, "hourly_rows", hours_us) + _old_partitions(connection, "daily_rows", days_us)
    if not old:
        return False
    try:
        with connection.transaction():
            wait_briefly(connection)
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.SQL(", ").join(map(sql.Identifier, old))))
            for grain, until, width in (("hour", hours_us, HOUR_US), ("day", days_us, DAY_US)):
                connection.execute(
                    "DELETE FROM roll_ups WHERE grain = %s AND start_us + %s <= %s", (grain, width, until)
                )
    except psycopg.errors.LockNotAvailable:
        return False
    return True


def _roll_up_hour(connection: Connection, start_us: int) -> None:
    day_us = start_us // DAY_US * DAY_US
    with connection.transaction():
        if not _begin(connection, "hour", start_us):
            return
        _make_room(connection, "hourly_rows", start_us)
        connection.execute(_of_time(_ROLL_HOUR, start_us, HOUR_US))
        if connection.execute(_NOTE, ("day", [day_us])).fetchall() == [(day_us, True)]:
            connection.execute(
                sql.SQL(_ADD_TO_DAY).format(day=instant(day_us), hour=instant(start_us), grown=_GROWN)
            )  # fmt: skip


def _begin(connection: Connection, grain: str, start_us: int) -> bool:
    """Mark it done; False when another keeper was there before. Whoever notes this hour waits until it is committed."""
    marked = connection.execute(
        "UPDATE roll_ups SET done = true WHERE grain = %s AND start_us = %s AND NOT done", (grain, start_us)
    )
    return marked.rowcount == 1


def _of_time(query: str, start_us: int, width_us: int) -> sql.Composed:
    return sql.SQL(query).format(start=instant(start_us), end=instant(start_us + width_us))


def _make_room(connection: Connection, table: str, start_us: int) -> None:
    """Have the partition that `start_us` falls into. Made apart and attached: no reader waits for that."""
    width = _PARTITION_US[table]
    number = start_us // width
    name = f"{table}_{number}"
    if connection.execute("SELECT to_regclass(%s) IS NULL", (name,)).fetchone() != (True,):
        return
    connection.execute(
        sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(sql.Identifier(name), sql.Identifier(table))
    )
    connection.execute(
        sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
            sql.Identifier(table), sql.Identifier(name), instant(number * width), instant((number + 1) * width)
        )
    )


def _old_partitions(connection: Connection, table: str, until_us: int) -> list[str]:
    rows = connection.execute(
        "SELECT c.relname FROM pg_inherits JOIN pg_class AS c ON c.oid = inhrelid WHERE inhparent = %s::regclass"
        " AND (substring(c.relname FROM '[0-9]+$')::bigint + 1) * %s <= %s",
        (table, _PARTITION_US[table], until_us),
    ).fetchall()
    return [name for (name,) in rows]
