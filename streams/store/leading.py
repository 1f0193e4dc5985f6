"""One store of a cluster is at work; the others stand by, and the first to notice that it has ended goes on.

The lead is an advisory lock and goes with its session. One that hangs would keep it; so whoever leads says something to
PostgreSQL every few seconds, and those who stand by end the session of one that does not. When it is back, what it had
under way fails, and it begins again as one that stands by.
"""

from __future__ import annotations

import threading
import time

import structlog

from streams.store.edge import Connection

KEEPER = "tocsin-store-keeper"
"""Name of the session of a leader's keeper."""
_LOOK_EVERY_S = 0.5
SILENT_S = 30.0
"""Longer than the machine is ever so busy that a leader at work does not come to speak."""
# A statement that PostgreSQL is busy with is no silence; one that waits for its client, in a COPY or a pipeline, is.
# The sessions of the keeper are the leader's, too: they end with it, so that two do not keep house.
_END_SILENT = """
    WITH silent AS MATERIALIZED (
        SELECT a.pid FROM pg_stat_activity AS a JOIN pg_locks AS l ON l.pid = a.pid
         WHERE a.datname = current_database() AND a.usename = current_user AND a.pid <> pg_backend_pid()
           AND l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.database = a.datid
           AND l.classid = (hashtext('tocsin.store')::bigint >> 32 & 4294967295)::oid
           AND l.objid = (hashtext('tocsin.store')::bigint & 4294967295)::oid
           AND (a.state <> 'active' OR a.wait_event = 'ClientRead')
           AND clock_timestamp() - a.state_change > make_interval(secs => %(silent_s)s))
    SELECT pid, pg_terminate_backend(pid) FROM (
        SELECT pid FROM silent
         UNION ALL
        SELECT pid FROM pg_stat_activity
         WHERE datname = current_database() AND usename = current_user AND application_name = %(keeper)s
           AND EXISTS (SELECT FROM silent)) AS theirs
"""
_log = structlog.get_logger(__name__)


def lead(connection: Connection, stop: threading.Event, silent_s: float = SILENT_S) -> bool:
    """Wait until this session leads; False when `stop` came first. It leads until it ends, however it ends.

    Looks now and then rather than wait in PostgreSQL, so that `stop` is heeded. One lock a database.
    silent_s: a leader that has said nothing for so long is ended.
    """
    stands_by = False
    while not stop.is_set():
        row = connection.execute("SELECT pg_try_advisory_lock(hashtext('tocsin.store'))").fetchone()
        if row is not None and row[0]:
            if stands_by:
                _log.info("store_leads")
            return True
        if not stands_by:
            stands_by = True
            _log.info("store_stands_by")
        stop.wait(_LOOK_EVERY_S)
        ended = connection.execute(_END_SILENT, {"silent_s": silent_s, "keeper": KEEPER}).fetchall()
        if ended:
            _log.warning("store_leader_hangs", sessions_ended=[pid for pid, _ in ended])
    return False


class SignOfLife:
    """Of one that leads: called by the thread that does the work, often. Raises psycopg.OperationalError."""

    def __init__(self, connection: Connection, silent_s: float = SILENT_S) -> None:
        self._connection = connection
        self._every_s = silent_s / 6
        self._said_at = time.monotonic()

    def __call__(self) -> None:
        now = time.monotonic()
        if now - self._said_at >= self._every_s:
            self._said_at = now
            self._connection.execute("SELECT 1")
