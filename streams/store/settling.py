"""Puts readings where some may lie already: the first stays, and what is added reaches the roll-ups, too."""

from __future__ import annotations

from collections.abc import Collection

from psycopg import sql

from streams.store.edge import Connection
from streams.store.rolling import adding


def begin_settling(connection: Connection) -> None:
    """Make `settling`, empty and with the columns of `timely_readings`; it goes with the transaction."""
    connection.execute("DROP TABLE IF EXISTS pg_temp.settling")
    connection.execute("CREATE TEMP TABLE settling (LIKE timely_readings) ON COMMIT DROP")


def settle(connection: Connection, table: str, done: Collection[int]) -> tuple[int, int]:
    """Insert what `settling` holds into `table` where it is not there yet.

    done: the hours (their start, µs) that are rolled up already.
    Returns how many were inserted, and how many bore another value than the one that was there.
    """
    name = sql.Identifier(table)
    row = connection.execute(
        sql.SQL(
            "SELECT count(*) FROM settling AS s JOIN {} AS r USING (sensor_id, event_time) WHERE s.value <> r.value"
        ).format(name)
    ).fetchone()
    assert row is not None
    insert = sql.SQL("INSERT INTO {} SELECT * FROM settling ON CONFLICT DO NOTHING").format(name)
    if not done:
        return connection.execute(insert).rowcount, row[0]
    added = connection.execute(
        adding(sql.SQL("{} RETURNING sensor_id, event_time, value").format(insert), done)
    ).fetchone()
    assert added is not None
    return added[0], row[0]


def count_duplicates(connection: Connection, before: str, duplicate: int, conflicting: int) -> None:
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
