"""The writer's session: one backend at a time may write a partition, and the newest epoch is the one that may.

A take-over raises the epoch and ends the backend that wrote before, so whatever that backend had under way is settled
before the head is read. A writer that reconnects finds its own epoch, or is fenced.
"""

from __future__ import annotations

from typing import Any

import psycopg

from schemas.errors import Fenced, ServiceAway

_END_TIMEOUT_MS = 5000

# One statement, so that a cut cannot leave a backend waiting with the row locked. Backends gather in the row until it
# is known that they have ended: the answer to a registration may get lost, and the one before must still be ended.
_REGISTER = """
    INSERT INTO log_writers AS held (partition, epoch, backend_pids, backend_starts)
    SELECT %(partition)s, 1, ARRAY[pid], ARRAY[backend_start] FROM pg_stat_activity WHERE pid = pg_backend_pid()
    ON CONFLICT (partition) DO UPDATE
       SET epoch = coalesce(%(epoch)s::bigint, held.epoch + 1),
           backend_pids = held.backend_pids || excluded.backend_pids,
           backend_starts = held.backend_starts || excluded.backend_starts
     WHERE held.epoch = coalesce(%(epoch)s::bigint, held.epoch)
    RETURNING epoch, backend_pids, backend_starts
"""
_END_OTHERS = """
    SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity JOIN unnest(%s::int[], %s::timestamptz[])
        AS registered (pid, backend_start) USING (pid, backend_start)
     WHERE pid <> pg_backend_pid()
"""
# Not max(number): that plans every segment's own, this stops at the first.
_HEAD = "SELECT number FROM log_entries WHERE partition = %s ORDER BY number DESC LIMIT 1"
_ALONE = """
    UPDATE log_writers SET backend_pids = %s::int[], backend_starts = %s::timestamptz[]
     WHERE partition = %s AND epoch = %s
"""


def connect(dsn: str, name: str) -> psycopg.Connection[Any]:
    """A session that notices a dead server within seconds, and whose own death frees its locks as soon.

    Raises psycopg.OperationalError.
    """
    connection = psycopg.connect(
        dsn, autocommit=True, application_name=name, connect_timeout=5, keepalives_idle=5, keepalives_interval=2,
        keepalives_count=3, tcp_user_timeout=10_000,
    )  # fmt: skip
    try:
        # Half-open after a cut, a backend would wait for the rest of its transaction with every lock it holds.
        connection.execute("SET idle_in_transaction_session_timeout = '5s'")
        # A PUBACK means "on disk", whatever a server of the user's own is set to.
        connection.execute("SET synchronous_commit = on")
    except BaseException:
        connection.close()
        raise
    return connection


def open_session(dsn: str, partition: int, epoch: int | None) -> tuple[psycopg.Connection[Any], int, int]:
    """Connect as the writer of `partition`; returns the connection, the epoch and the number of the last entry.

    epoch: our own when we come back, None to take over. Raises Fenced when another has taken over, ServiceAway
    when the old backend cannot be ended yet, psycopg.OperationalError when the server does not answer.
    """
    connection = connect(dsn, "tocsin-log-writer")
    try:
        row = connection.execute(_REGISTER, {"epoch": epoch, "partition": partition}).fetchone()
        if row is None:
            raise _taken_over(epoch)
        epoch, pids, starts = int(row[0]), row[1], row[2]
        _end_others(connection, pids, starts)
        if connection.execute(_ALONE, (pids[-1:], starts[-1:], partition, epoch)).rowcount != 1:
            raise _taken_over(epoch)
        head = connection.execute(_HEAD, (partition,)).fetchone()
        return connection, epoch, int(head[0]) if head else 0
    except BaseException:
        connection.close()
        raise


def _end_others(connection: psycopg.Connection[Any], pids: list[int], starts: list[Any]) -> None:
    """End the registered backends and wait until they are gone. A number alone could be another's by now."""
    for _ in range(3):
        # False: it did not end in time, or it had ended by itself before it was told to.
        ended = connection.execute(_END_OTHERS, (_END_TIMEOUT_MS, pids, starts)).fetchall()
        if (False,) not in ended:
            return
    raise ServiceAway("PostgreSQL", "the last writer's session does not end; its disk may hang.")


def _taken_over(epoch: int | None) -> Fenced:
    return Fenced(
        f"another writer has taken the log over from epoch {epoch}.",
        mend="Only one Tocsin may run on a database; end the other one.",
    )
