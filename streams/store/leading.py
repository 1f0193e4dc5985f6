"""One store of a cluster is at work; the others stand by, and the first to notice that it has ended goes on."""

from __future__ import annotations

import threading

import structlog

from streams.store.edge import Connection

_LOOK_EVERY_S = 0.5
_log = structlog.get_logger(__name__)


def lead(connection: Connection, stop: threading.Event) -> bool:
    """Wait until this session leads; False when `stop` came first. It leads until it ends, however it ends.

    Looks now and then rather than wait in PostgreSQL, so that `stop` is heeded. One lock a database.
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
    return False
