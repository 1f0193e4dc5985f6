"""A connection to PostgreSQL that comes back by itself, with the driver's failures in our words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.types.string import TextLoader

from schemas.errors import ServiceAway

Connection = psycopg.Connection[tuple[Any, ...]]


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
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            self.close()
            raise ServiceAway("PostgreSQL", str(error).strip() or type(error).__name__) from error

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _open(self) -> Connection:
        if self._connection is None or self._connection.closed:
            connection = psycopg.connect(self._dsn, autocommit=True, application_name=self._name, connect_timeout=5)
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
