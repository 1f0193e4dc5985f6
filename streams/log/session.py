"""The writer's session: one backend at a time may write a partition, and the newest epoch is the one that may.

A take-over raises the epoch and ends the backend that wrote before, so whatever that backend had under way is settled
before the head is read. A writer that reconnects finds its own epoch, or is fenced.
"""

from __future__ import annotations

from typing import Any

import psycopg

from schemas.errors import Fenced, ServiceAway

_END_TIMEOUT_MS = 5000


def connect(dsn: str, name: str) -> psycopg.Connection[Any]:
    """A session that notices a dead server within seconds. Raises psycopg.OperationalError."""
    return psycopg.connect(
        dsn, autocommit=True, application_name=name, connect_timeout=5, keepalives_idle=5, keepalives_interval=2,
        keepalives_count=3, tcp_user_timeout=10_000,
    )  # fmt: skip


def open_session(dsn: str, partition: int, epoch: int | None) -> tuple[psycopg.Connection[Any], int, int]:
    """Connect as the writer of `partition`; returns the connection, the epoch and the number of the last entry.

    epoch: our own when we come back, None to take over. Raises Fenced when another has taken over, ServiceAway
    when the old backend cannot be ended yet, psycopg.OperationalError when the server does not answer.
    """
    connection = connect(dsn, "tocsin-log-writer")
    try:
        with connection.transaction():
            connection.execute(
                "INSERT INTO log_writers VALUES (%s, 0, 0, to_timestamp(0)) ON CONFLICT DO NOTHING", (partition,)
            )
            row = connection.execute(
                "SELECT epoch, backend_pid, backend_start FROM log_writers WHERE partition = %s FOR UPDATE",
                (partition,),
            ).fetchone()
            assert row is not None
            held, old_pid, old_start = row
            if epoch is None:
                epoch = held + 1
            elif held != epoch:
                raise Fenced(
                    f"another writer has taken the log over (epoch {held}, ours is {epoch}).",
                    mend="Only one Tocsin may run on a database; end the other one.",
                )
            connection.execute(
                """
                UPDATE log_writers SET epoch = %s, backend_pid = pid, backend_start = activity.backend_start
                  FROM pg_stat_activity AS activity WHERE pid = pg_backend_pid() AND partition = %s
                """,
                (epoch, partition),
            )
        _end_backend(connection, old_pid, old_start)
        head = connection.execute("SELECT max(number) FROM log_entries WHERE partition = %s", (partition,)).fetchone()
        assert head is not None
        return connection, epoch, head[0] or 0
    except BaseException:
        connection.close()
        raise


def _end_backend(connection: psycopg.Connection[Any], pid: int, start: Any) -> None:
    """End a backend and wait until it is gone; its number alone could be another's by now."""
    ended = connection.execute(
        "SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity WHERE pid = %s AND backend_start = %s",
        (_END_TIMEOUT_MS, pid, start),
    ).fetchone()
    if ended == (False,):
        raise ServiceAway("PostgreSQL", "the last writer's session does not end; its disk may hang.")
