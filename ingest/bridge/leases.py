"""Who of several bridges reads which session, by rows of PostgreSQL: one thread that beats, looks and adopts.

A bridge that does not beat is dead; the first that sees it takes its sessions over. While PostgreSQL is away everybody
goes on with what it has: a session is never read by two, since a broker lets in one client of a name.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import structlog

from ingest.bridge.limits import BridgeSettings
from ingest.bridge.sessions import Held, adopted_session, common_session, own_session
from ingest.store_sessions import named_queries
from schemas.errors import Fenced, ServiceAway

_RETRY_S = (0.05, 0.2, 0.5, 1.0)
_LOST = (psycopg.OperationalError, psycopg.errors.IdleInTransactionSessionTimeout)
_log = structlog.get_logger(__name__)


class PostgresLeases:
    """Port `ingest.bridge.sessions.Leases`. `begin` first, then `run` in a thread."""

    def __init__(self, dsn: str, settings: BridgeSettings, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._dsn = dsn
        self._settings = settings
        self._monotonic = monotonic
        self._common, self._own = common_session(settings), own_session(settings)
        self._told = {
            "bridge": settings.name, "run": secrets.token_hex(8), "lease_s": settings.lease_s,
            "broker": settings.address, "share_group": settings.group, "common": self._common.client_id,
            "own": self._own.client_id if self._own is not None else "",
        }  # fmt: skip
        self._queries = named_queries("bridge/leases.sql")
        self._connection: psycopg.Connection[Any] | None = None
        self._held: tuple[Held, ...] = ()
        self._confirmed_at = 0.0
        self._judges_from = 0.0
        self._failures = 0
        self._lock = threading.Lock()
        self._drained: list[str] = []
        self._stopping = threading.Event()
        self._due = threading.Event()

    # --- for the bridge ---

    def held(self) -> tuple[Held, ...]:
        return self._held

    def confirmed_at(self) -> float:
        return self._confirmed_at

    def look(self) -> None:
        self._due.set()

    def drained(self, client_id: str) -> None:
        with self._lock:
            self._drained.append(client_id)
        self._due.set()

    def trouble(self) -> str:
        """Why sessions of dead bridges would not be read; empty when they would."""
        return "PostgreSQL does not answer: nobody would take over for a dead bridge." if self._failures > 1 else ""

    # --- its thread ---

    def begin(self) -> None:
        """Say that this bridge lives, and take what is its. Raises ServiceAway."""
        try:
            with self._connect().transaction():
                self._execute("begin")
                self._look()
        except _LOST as error:
            self._disconnect()
            raise ServiceAway("PostgreSQL", str(error).strip() or type(error).__name__) from error

    def run(self) -> None:
        """Until `stop`; then others may take over at once. Raises Fenced: another bridge has our name."""
        beat_s = self._settings.lease_s / 5
        try:
            while not self._stopping.is_set():
                pause_s = _RETRY_S[min(self._failures, len(_RETRY_S) - 1)] if self._failures else beat_s
                self._due.wait(pause_s)
                self._due.clear()
                self.turn()
        finally:
            self._leave()

    def stop(self) -> None:
        self._stopping.set()
        self._due.set()

    def close(self) -> None:
        """Let go of PostgreSQL, also where `run` was never called; what is held is held until the lease runs out."""
        self._disconnect()

    def turn(self) -> None:
        """Beat, and look who reads what; PostgreSQL away is waited for."""
        with self._lock:
            drained = list(self._drained)
        try:
            with self._connect().transaction():
                self._beat()
                if drained:
                    self._execute("drained", client_ids=drained)
                self._look()
        except _LOST as error:
            self._disconnect()
            self._failures += 1
            if self._failures == 2:
                _log.warning("leases_wait", error=str(error).strip())
            return
        self._failures = 0
        with self._lock:
            del self._drained[: len(drained)]

    def _beat(self) -> None:
        if self._execute("beat").rowcount:
            return
        if not self._execute("again").rowcount:
            name = self._settings.name
            raise Fenced(f"another bridge runs under the name {name}.", mend="Give each its own TOCSIN_INSTANCE.")
        _log.warning("bridge_was_taken_for_dead", bridge=self._settings.name)

    def _look(self) -> None:
        """Take our own session, the common one if nobody has it, and those of the dead."""
        begun = self._monotonic()
        if begun >= self._judges_from:
            dead = [name for (name,) in self._execute("bury").fetchall()]
            if dead:
                _log.info("bridges_are_gone", bridges=dead)
        if self._own is not None:
            self._execute("take_own")
        self._execute("take_common")
        self._execute("adopt")
        held = tuple(self._session(client_id) for (client_id,) in self._execute("held").fetchall())
        if held != self._held:
            _log.info("sessions_held", client_ids=[one.client_id for one in held])
            self._held = held
        self._confirmed_at = begun

    def _session(self, client_id: str) -> Held:
        for one in (self._common, self._own):
            if one is not None and one.client_id == client_id:
                return one
        return adopted_session(self._settings, client_id)

    def _execute(self, name: str, **more: object) -> psycopg.Cursor[Any]:
        assert self._connection is not None
        return self._connection.execute(self._queries[name], {**self._told, **more})

    def _connect(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            self._connection = psycopg.connect(
                self._dsn, autocommit=True, application_name="tocsin-bridge", connect_timeout=5, keepalives_idle=5,
                keepalives_interval=2, keepalives_count=3, tcp_user_timeout=10_000,
                # One that hangs in the middle of a turn lets go of the rows: the others' turns need them.
                options="-c statement_timeout=10s -c synchronous_commit=on -c idle_in_transaction_session_timeout=5s",
            )  # fmt: skip
            # Others may have been cut off as long as we were: they have a lease to beat again.
            self._judges_from = self._monotonic() + self._settings.lease_s
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _leave(self) -> None:
        try:
            if self._connection is not None:
                self._execute("leave")
        except _LOST as error:
            _log.warning("lease_runs_out", error=str(error).strip())
        finally:
            self._disconnect()
