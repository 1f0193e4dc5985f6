"""The store's sessions with PostgreSQL, and the driver's failures in our words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql

from schemas.errors import ServiceAway
from streams.log.session import connect

Connection = psycopg.Connection[Any]


@contextmanager
def session(dsn: str, name: str) -> Iterator[Connection]:
    """A connection that ends with the block; within it failures of the service are ServiceAway."""
    with translated(), connect(dsn, name) as connection:
        # A backend in a long statement would otherwise outlive a killed client and hold its locks.
        connection.execute("SET client_connection_check_interval = '1s'")
        # Between two slices we sort for a moment, on a busy machine for a longer one.
        connection.execute("SET idle_in_transaction_session_timeout = '30s'")
        yield connection


@contextmanager
def translated(needed_bytes: int = 0) -> Iterator[None]:
    """What the driver raises when the service is away or full, as ServiceAway. What is our own fault stays.

    needed_bytes: what the statements within are about to write, for the person who must make room.
    """
    try:
        yield
    except (psycopg.errors.DiskFull, psycopg.errors.OutOfMemory) as error:
        megabytes = max(1, 2 * needed_bytes >> 20)
        raise ServiceAway(
            "PostgreSQL", f"no room to store readings: {error.diag.message_primary}.", retry_after_s=5.0,
            mend=f"Free at least {megabytes} MB for its data directory; nothing is lost, the log keeps what waits.",
        ) from error  # fmt: skip
    except (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.IdleInTransactionSessionTimeout) as error:
        raise ServiceAway("PostgreSQL", str(error).strip()) from error


def copy_in(connection: Connection, table: str, payload: npt.NDArray[np.uint8], options: str = "") -> None:
    """COPY whole binary bytes into `table`.  options: more of COPY's, each with its comma before it."""
    statement = sql.SQL("COPY {} FROM STDIN (FORMAT BINARY" + options + ")").format(sql.Identifier(table))
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(payload.data)


def fetch_columns(connection: Connection, query: sql.Composed, columns: Sequence[tuple[str, str]]) -> list[Any]:
    """The answer to `query` as one array a column; a tenth of the time that rows take.

    columns: (name, numpy type of its binary form).  Values come as PostgreSQL sends them: times in µs since 2000.
    """
    names = sql.SQL(", ").join(sql.SQL("array_agg({})").format(sql.Identifier(name)) for name, _ in columns)
    statement = sql.SQL("SELECT {} FROM ({}) AS q").format(names, query)
    with connection.cursor(binary=True) as cursor:
        result = cursor.execute(statement, prepare=False).pgresult
        assert result is not None
        return [elements(result.get_value(0, k), kind) for k, (_, kind) in enumerate(columns)]


def elements(array: bytes | None, kind: str) -> Any:
    """The elements of PostgreSQL's binary form of an array of fixed-size numbers without nulls."""
    if array is None:
        return np.empty(0, kind)
    return np.frombuffer(array, [("length", ">i4"), ("element", kind)], offset=_ARRAY_HEAD)["element"]


def wait_briefly(connection: Connection) -> None:
    """For what this transaction locks: whoever waits holds up all who come after; so give up soon and come again.

    Then a statement raises psycopg.errors.LockNotAvailable.
    """
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(_LOCK_TIMEOUT_MS)))


def instant(us: int) -> sql.Literal:
    """A time in µs since 1970 as a literal of SQL."""
    return sql.Literal(_EPOCH + timedelta(microseconds=us))


_LOCK_TIMEOUT_MS = 300
_ARRAY_HEAD = 20
"""Bytes before the first element: dimensions, whether there are nulls, type, length, lower bound."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
