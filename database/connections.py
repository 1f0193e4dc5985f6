"""A few connections to PostgreSQL for many threads: a transaction each time, as the viewer who asks, or as the house.

Nothing is connected before somebody asks, and no thread runs here. That the server is away is said at once, in its own
words; one that was started again is found by the next who asks. Why not psycopg's pool: docs/decisions/017.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, LiteralString

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.types.string import TextLoader

from schemas.errors import ConfigError, ServiceAway
from schemas.viewers import BECOME_VIEWER, Viewer

Connection = psycopg.Connection[tuple[Any, ...]]

PATIENCE_S = 5.0
"""A person waits no longer, and PostgreSQL has others to serve."""
_IDLE = 4
_MOST = 8
"""At work at once: more would not be quicker on a few cores, and the PostgreSQL that comes with us has 80 for all."""
_SHORTEST_CONNECT_S = 2
"""libpq knows no shorter one."""
_NOTICES_A_CUT: dict[str, Any] = {
    "keepalives_idle": 2, "keepalives_interval": 1, "keepalives_count": 3, "tcp_user_timeout": 5_000,
}  # fmt: skip
# A lock is waited for a little shorter than a statement: who waits for others is told apart from who asks too much.
# Our own death, or a cut, frees our locks as soon. To compile a query takes longer than a page of it.
_SESSION = """
    SET statement_timeout = '5s'; SET lock_timeout = '4s'; SET idle_in_transaction_session_timeout = '5s';
    SET client_connection_check_interval = '1s'; SET synchronous_commit = on; SET jit = off
"""
_LONGER = """
    SELECT set_config('statement_timeout', %(ms)s::text, true), set_config('lock_timeout', %(ms)s::text, true),
           set_config('idle_in_transaction_session_timeout', %(ms)s::text, true)
"""
_LOST = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.IdleInTransactionSessionTimeout)


class TooMuch(ConfigError):
    """What a viewer asked takes too long to look through."""


class Connections:
    """Thread-safe."""

    def __init__(self, dsn: str, name: str) -> None:
        """name: what PostgreSQL shows of them (`application_name`)."""
        self._dsn = dsn
        self._name = name
        self._idle: list[Connection] = []
        self._lock = threading.Lock()
        self._places = threading.Semaphore(_MOST)
        self._is_closed = False

    @contextmanager
    def transaction(
        self, viewer: Viewer | None, *, one_moment: bool = False, within_s: float = PATIENCE_S
    ) -> Iterator[Connection]:
        """One transaction, on the viewer's behalf; None: the house's own. Columns of type jsonb come as text.

        one_moment: it reads only, and all its queries see the database as of one moment.  within_s: how long a
        statement may take, a lock be waited for, and the caller think between two statements: another than
        `PATIENCE_S` for imports, exports and the like.

        Raises ServiceAway within some `PATIENCE_S` when PostgreSQL is away, and when a lock is not to be had; whether
        the transaction was committed is unknown if that happens at its end. Raises TooMuch when a viewer's statement
        takes longer than `within_s`, ServiceAway when one of the house does.
        """
        until = time.monotonic() + PATIENCE_S
        if not self._places.acquire(timeout=PATIENCE_S):
            raise ServiceAway("PostgreSQL", f"all {_MOST} connections of {self._name} are at work.")
        try:
            connection = self._begin(viewer, one_moment, within_s, until)
            try:
                yield connection
                connection.commit()
            except BaseException:
                with suppress(psycopg.Error):
                    connection.rollback()
                raise
            finally:
                self._give_back(connection)
        except psycopg.errors.QueryCanceled as error:
            if viewer is None:
                raise ServiceAway("PostgreSQL", f"a statement was not done within {within_s:.0f} s.") from error
            mend = "Narrow it: by time, enterprise, grade or kind."
            raise TooMuch(f"this was not found within {within_s:.0f} s.", mend=mend) from error
        except _LOST as error:
            raise ServiceAway("PostgreSQL", str(error).strip() or type(error).__name__) from error
        finally:
            self._places.release()

    def close(self) -> None:
        """Those at work are closed when they have done."""
        with self._lock:
            self._is_closed = True
        self._close_idle()

    def _begin(self, viewer: Viewer | None, one_moment: bool, within_s: float, until: float) -> Connection:
        kept = self._take()
        if kept is not None:
            try:
                return _begun(kept, viewer, one_moment, within_s)
            except _LOST:
                # It died while it lay idle, and those beside it with it: nothing was asked yet, so ask a new one.
                self._close_idle()
                if time.monotonic() >= until:
                    raise
        return _begun(self._connect(until), viewer, one_moment, within_s)

    def _connect(self, until: float) -> Connection:
        wait_s = max(_SHORTEST_CONNECT_S, round(until - time.monotonic()))
        connection = psycopg.connect(
            self._dsn, autocommit=True, application_name=self._name, connect_timeout=wait_s, **_NOTICES_A_CUT
        )
        try:
            connection.execute(_SESSION)
        except BaseException:
            connection.close()
            raise
        # JSON is decoded by its own types; a dict in between would cost twice.
        connection.adapters.register_loader("jsonb", TextLoader)
        return connection

    def _take(self) -> Connection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            if not self._is_closed and len(self._idle) < _IDLE and _is_ready(connection):
                self._idle.append(connection)
                return
        connection.close()

    def _close_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


def _begun(connection: Connection, viewer: Viewer | None, one_moment: bool, within_s: float) -> Connection:
    """The transaction is open, in one round trip; on failure the connection is closed."""
    opening = ["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" if one_moment else "BEGIN"]
    try:
        if within_s != PATIENCE_S:
            opening.append(_with_values(connection, _LONGER, {"ms": round(within_s * 1000)}))
        if viewer is not None:
            opening.append(_with_values(connection, BECOME_VIEWER, viewer.parameters()))
        # Its scope is another's the next time: not worth a prepared statement.
        connection.execute("; ".join(opening).encode(connection.info.encoding), prepare=False)
    except BaseException:
        connection.close()
        raise
    return connection


def _with_values(connection: Connection, query: LiteralString, values: dict[str, Any]) -> str:
    """As text with the values quoted in it: only so may several statements go out together."""
    return psycopg.ClientCursor(connection).mogrify(query, values)


def _is_ready(connection: Connection) -> bool:
    return connection.pgconn.transaction_status == TransactionStatus.IDLE
