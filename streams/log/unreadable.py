"""Records of the log that are no entries: kept whole where a person finds them, and passed over by every reader."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from schemas.errors import ServiceAway
from streams.log.session import connect

Unreadable = Callable[[int, int, bytes, bytes, str], None]
"""Told of a record that is no entry: partition, number, key, value, why. Returns when that is kept."""

_KEEP = """
    INSERT INTO unreadable_entries (topic, partition, number, kind, body, why) VALUES (%s, %s, %s, %s, %s, %s)
    ON CONFLICT DO NOTHING
"""


def unreadable_rows(dsn: str, topic: str) -> Unreadable:
    """Keeps each as a row of `unreadable_entries`, once however many readers meet it. Raises ServiceAway."""

    def keep(partition: int, number: int, key: bytes, value: bytes, why: str) -> None:
        try:
            with connect(dsn, "tocsin-unreadable") as connection:
                connection.execute(_KEEP, (topic, partition, number, key, value, why))
        except psycopg.OperationalError as error:
            raise ServiceAway("PostgreSQL", str(error).strip()) from error

    return keep
