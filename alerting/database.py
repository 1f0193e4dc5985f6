"""A connection to PostgreSQL that comes back by itself, with the driver's failures in our words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.types.string import TextLoader

from schemas.errors import ServiceAway

Connection = psycopg.Connection[tuple[Any, ...]]

_BOUND = """
    SET synchronous_commit = on;
    SET client_connection_check_interval = '1s';
    SET idle_in_transaction_session_timeout = '5s'
"""
"""What was committed is on disk before anything is sent; our own death, or a cut, frees our locks as soon."""

_LOST = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.IdleInTransactionSessionTimeout)


def session_name(part: str, instance: str = "") -> str:
    """What PostgreSQL shows of a session (`application_name`): the part, and the process that it belongs to."""
    return f"tocsin {part} of {instance}" if instance else f"tocsin {part}"


def open_connection(dsn: str, name: str) -> Connection:
    """A session whose end is noticed within some five seconds, on both sides. Raises psycopg.OperationalError."""
    connection = psycopg.connect(
        dsn, autocommit=True, application_name=name, connect_timeout=5, keepalives_idle=2, keepalives_interval=1,
        keepalives_count=3, tcp_user_timeout=5_000,
    )  # fmt: skip
    try:
        connection.execute(_BOUND)
    except BaseException:
        connection.close()
        raise
    return connection


class Database:
    """One connection, used by one thread at a time; made when first needed, made again after it broke.

    on_connect: called with each new connection, for what belongs to a session (an advisory lock).
    """

    def __init__(self, dsn: str, name: str, on_connect: Callable[[Connection], None] | None = None) -> None:
        self._dsn = dsn
        self._name = name
        self._on_connect = on_connect
        self._connection: Connection | None = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction in pipeline mode: statements leave without waiting, a fetch waits for its answer.

        Raises ServiceAway when PostgreSQL is away; whether the transaction was committed is then unknown.
        """
        try:
            connection = self._open()
            with connection.pipeline(), connection.transaction():
                yield connection
        except _LOST as error:
            self.close()
            raise ServiceAway("PostgreSQL", str(error).strip() or type(error).__name__) from error

    @contextmanager
    def statement(self) -> Iterator[Connection]:
        """For one statement, a transaction of its own: one that hangs before it or behind it holds nothing.

        Raises ServiceAway when PostgreSQL is away; whether the statement was carried out is then unknown.
        """
        try:
            yield self._open()
        except _LOST as error:
            self.close()
            raise ServiceAway("PostgreSQL", str(error).strip() or type(error).__name__) from error

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _open(self) -> Connection:
        if self._connection is None or self._connection.closed:
            connection = open_connection(self._dsn, self._name)
            # Bodies are decoded by their own types; a dict in between would cost twice.
            connection.adapters.register_loader("jsonb", TextLoader)
            try:
                if self._on_connect is not None:
                    self._on_connect(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection
