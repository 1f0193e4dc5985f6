"""The statements behind `shared_sessions`: whose a row is, who of the doors lives, and what they tell each other."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import psycopg
import structlog

from ingest.notices import CHANNEL, Came, Notice, Status, ask, decode, hand_over, tell_all
from ingest.saved import OwnedAsked, Retained, Saved, SessionKey, SessionMoved
from ingest.store_sessions import PostgresSessions, arrays_of, named_queries, sessions_of, wills_of
from ingest.unwritten import Row
from schemas.errors import Fenced

Connection = psycopg.Connection[Any]
_log = structlog.get_logger(__name__)


class DoorRows:
    """Every method but `connect` takes a connection of it, and raises psycopg.OperationalError."""

    def __init__(self, dsn: str, door: str, lease_s: float) -> None:
        if not door:
            raise ValueError("a door among others needs a name")
        self._dsn = dsn
        self._who = {"door": door, "run": secrets.token_hex(8), "lease_s": lease_s}
        self._door = door
        self._sessions = PostgresSessions(dsn, door)
        self._queries = named_queries("doors.sql")
        self._heard: deque[str] = deque()
        self.refused = 0
        """Changes that PostgreSQL does not take, whatever is tried: a fault of ours."""

    def connect(self) -> Connection:
        """A session that hears the others, and knows of a dead server within seconds."""
        connection: Connection = psycopg.connect(
            self._dsn, autocommit=True, application_name="tocsin-door", connect_timeout=5, keepalives_idle=5,
            keepalives_interval=2, keepalives_count=3, tcp_user_timeout=10_000,
        )  # fmt: skip
        try:
            for setting in ("statement_timeout = '10s'", "idle_in_transaction_session_timeout = '5s'"):
                connection.execute(f"SET {setting}".encode())
            connection.execute("SET synchronous_commit = on")
            connection.add_notify_handler(lambda notify: self._heard.append(notify.payload))
            connection.execute(f"LISTEN {CHANNEL}".encode())
        except BaseException:
            connection.close()
            raise
        return connection

    def has_heard(self, connection: Connection) -> bool:
        """Has anything come that `hear` has not given yet? Looks at what was received only."""
        while (notify := connection.pgconn.notifies()) is not None:
            self._heard.append(notify.extra.decode())
        return bool(self._heard)

    def hear(self, connection: Connection) -> list[Notice]:
        """What the others have told us or everybody since the last time."""
        connection.pgconn.consume_input()
        self.has_heard(connection)
        notices = [decode(payload) for payload in self._heard]
        self._heard.clear()
        return [one for one in notices if one is not None and one.door != self._door and one.to in ("", self._door)]

    def load(self, connection: Connection) -> Saved:
        """Begin a life under our name and read what is ours."""
        with connection.transaction():
            connection.execute(self._queries["begin"], self._who)
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            return self._sessions.load_own(connection)

    def beat(self, connection: Connection) -> bool:
        """False when we were taken for dead: our row is made again. Raises Fenced when another has our name."""
        if connection.execute(self._queries["beat"], self._who).rowcount:
            return True
        if connection.execute(self._queries["again"], self._who).rowcount:
            return False
        raise Fenced(f"another door runs under the name {self._door}.", mend="Give each its own TOCSIN_INSTANCE.")

    def adopt(self, connection: Connection) -> Saved:
        """Take up what dead doors had."""
        with connection.transaction():
            dead = [name for (name,) in connection.execute(self._queries["bury"], self._who).fetchall()]
            if not dead:
                return Saved()
            whose = {"door": self._door, "dead": dead}
            sessions = sessions_of(connection.execute(self._queries["adopt_sessions"], whose).fetchall())
            wills = wills_of(connection.execute(self._queries["adopt_wills"], whose).fetchall())
            parts = self._sessions.load_parts(connection, [one.key for one in sessions])
        _log.info("doors_are_gone", doors=dead)
        return replace(parts, sessions=sessions, wills=wills)

    def claim(
        self, connection: Connection, keys: Sequence[SessionKey], *, by_force: bool, all_live: bool
    ) -> tuple[Saved, frozenset[SessionKey]]:
        """Make sessions ours; returns them, and which of `keys` other doors have, who are asked for them.

        by_force: whoever has them.  all_live: no door is taken for dead.
        """
        asked = {**self._who, **arrays_of(keys), "by_force": by_force, "all_live": all_live}
        with connection.transaction():
            sessions = sessions_of(connection.execute(self._queries["claim"], asked).fetchall())
            parts = self._sessions.load_parts(connection, [one.key for one in sessions])
            rows = connection.execute(self._queries["holders"], asked).fetchall()
            holders = {SessionKey(p, c): door for p, c, door in rows if door != self._door}
            by_door = sorted(holders.items(), key=lambda item: item[1])
            for door, group in groupby(by_door, key=lambda item: item[1]):
                self._tell(connection, ask(self._door, door, [key for key, _ in group]))
        return replace(parts, sessions=sessions), frozenset(holders)

    def write(
        self, connection: Connection, rows: Sequence[Row], came: Collection[Came], statuses: Collection[Status]
    ) -> None:
        """Write changes in one transaction, then tell the others of them.

        What PostgreSQL will never take is counted and left out, or it would be in everybody's way for ever.
        """
        try:
            with connection.pipeline(), connection.transaction(), connection.cursor() as cursor:
                self._sessions.write(cursor, rows)
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            _log.error("session_changes_refused", rows=len(rows), error=str(error).strip())
            self._write_singly(connection, rows)
        moved = sorted((row.door, row.key) for row in rows if isinstance(row, SessionMoved))
        told = tell_all(self._door, came, statuses)
        for door, group in groupby(moved, key=lambda one: one[0]):
            told += hand_over(self._door, door, [key for _, key in group])
        self._tell(connection, told)

    def recall(self, connection: Connection, wanted: str) -> list[Retained]:
        return self._sessions.recall(connection, wanted)

    def lost(self, connection: Connection, asked: OwnedAsked) -> frozenset[SessionKey]:
        """Those whose rows are not ours."""
        rows = connection.execute(self._queries["owned"], self._who).fetchall()
        sessions = {SessionKey(p, c) for p, c, is_session in rows if is_session}
        wills = {SessionKey(p, c) for p, c, is_session in rows if not is_session}
        return (asked.sessions - sessions) | (asked.wills - wills)

    def _write_singly(self, connection: Connection, rows: Sequence[Row]) -> None:
        for row in rows:
            try:
                with connection.transaction(), connection.cursor() as cursor:
                    self._sessions.write(cursor, [row])
            except psycopg.OperationalError:
                raise
            except psycopg.Error:
                self.refused += 1

    def _tell(self, connection: Connection, payloads: Sequence[str]) -> None:
        for payload in payloads:
            connection.execute(self._queries["tell"], {"channel": CHANNEL, "payload": payload})
