"""Brings what people and the registry ask for into the log: commands, device facts, rule packs.

They ask by writing a row in their own transaction; the dispatcher makes each row one control entry. In the log of rows
both are one commit, so a kill at any moment neither loses nor doubles one. In Kafka a kill may repeat an entry, and
that is harmless: a pack or facts said again change nothing, and a command is answered once. The engine answers later.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import psycopg
import structlog

from schemas.entries import Control, EntryKind, PackActivated, ResetAsked, decode
from schemas.errors import CorruptState, OutcomeUnknown, ServiceAway
from schemas.rules import RulePack
from streams.log.session import connect
from streams.ports import LogWriter

_AT_ONCE = 256
_WAKE_S = 0.5
_log = structlog.get_logger(__name__)

_COMMANDS = """
    SELECT key, alarm_key, seen_step, asked_by FROM commands WHERE partition = %s AND logged_number IS NULL
     ORDER BY asked_at, key LIMIT %s
"""
_OUTBOX = """
    SELECT id, body FROM control_outbox WHERE partition = %s AND logged_number IS NULL AND refused IS NULL
     ORDER BY id LIMIT %s
"""
_MARK_COMMANDS = """
    UPDATE commands SET logged_number = %s + place FROM unnest(%s::text[]) WITH ORDINALITY AS asked (key, place)
     WHERE commands.key = asked.key AND logged_number IS NULL RETURNING 1
"""
_MARK_OUTBOX = """
    UPDATE control_outbox SET logged_number = %s + place
      FROM unnest(%s::bigint[]) WITH ORDINALITY AS asked (id, place)
     WHERE control_outbox.id = asked.id AND logged_number IS NULL RETURNING 1
"""
_KEEP_PACK = "INSERT INTO rule_packs (version, toml) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_ACTIVATE = "INSERT INTO rule_pack_activations (partition, number, version) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
_ACTIVE = "SELECT version FROM rule_pack_activations WHERE partition = %s ORDER BY number DESC LIMIT 1"


class _AlreadyLogged(Exception):
    """Another dispatcher was quicker; its commit holds these rows."""


class ControlDispatcher:
    """Turns one partition's rows that wait into control entries; one dispatcher a partition."""

    def __init__(self, dsn: str, writer: LogWriter, *, partition: int = 0) -> None:
        self._dsn = dsn
        self._writer = writer
        self._partition = partition
        self._connection: psycopg.Connection[Any] | None = None

    def run(self, stop: threading.Event) -> None:
        """Dispatch until `stop`; woken by the rows' own NOTIFY. Raises Fenced."""
        while not stop.is_set():
            try:
                while self.dispatch():
                    pass
                for _ in self._connected().notifies(timeout=_WAKE_S, stop_after=1):
                    pass
            except (ServiceAway, OutcomeUnknown, psycopg.OperationalError) as error:
                _log.warning("control_dispatch_waits", error=str(error).strip())
                self.close()
                stop.wait(_WAKE_S)
        self.close()

    def dispatch(self) -> int:
        """Log what waits, at most some hundred rows, and return how many were."""
        connection = self._connected()
        commands = connection.execute(_COMMANDS, (self._partition, _AT_ONCE)).fetchall()
        outbox = self._readable(connection.execute(_OUTBOX, (self._partition, _AT_ONCE), binary=True).fetchall())
        # Commands last, so that their numbers end the transaction's and the outbox's come before.
        payloads: list[Control] = [payload for _, payload in outbox]
        payloads += [ResetAsked(key, alarm, step, by) for key, alarm, step, by in commands]
        if not payloads:
            return 0

        def alongside(cursor: psycopg.Cursor[Any], last: int) -> None:
            _mark(cursor, _MARK_OUTBOX, last - len(payloads), [number for number, _ in outbox])
            _mark(cursor, _MARK_COMMANDS, last - len(commands), [row[0] for row in commands])
            _keep_packs(cursor, self._partition, last, payloads)

        try:
            self._writer.append(payloads, alongside)
        except _AlreadyLogged:
            return 0
        return len(payloads)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._dsn, "tocsin-control")
            self._connection.execute("LISTEN tocsin_control")
        return self._connection

    def _readable(self, rows: Sequence[Any]) -> list[tuple[int, Control]]:
        """The rows that are control entries; any other is set aside with its reason, or it would hold up the rest."""
        good: list[tuple[int, Control]] = []
        for number, body in rows:
            try:
                payload = decode(EntryKind.CONTROL, body)
            except CorruptState as error:
                _log.error("control_refused", id=number, error=error.what)
                self._connected().execute("UPDATE control_outbox SET refused = %s WHERE id = %s", (error.what, number))
            else:
                good.append((number, payload))  # type: ignore[arg-type]  # of kind CONTROL, so a Control
        return good


def _mark(cursor: psycopg.Cursor[Any], query: str, before: int, keys: list[Any]) -> None:
    """Write down the number of the entry that each row became; `before` is the number before the first."""
    if keys and len(cursor.execute(query, (before, keys)).fetchall()) != len(keys):
        raise _AlreadyLogged


def _keep_packs(cursor: psycopg.Cursor[Any], partition: int, last: int, payloads: Sequence[Control]) -> None:
    """Write down which of the payloads, of which `last` is the last one's number, activates a pack."""
    for before_end, payload in enumerate(reversed(payloads)):
        if isinstance(payload, PackActivated):
            cursor.execute(_KEEP_PACK, (payload.version, payload.toml))
            cursor.execute(_ACTIVATE, (partition, last - before_end, payload.version))


def active_pack_version(dsn: str, *, partition: int = 0) -> str | None:
    """Version of the pack whose activation is the newest in the log, None in a fresh one. Raises ServiceAway."""
    try:
        with connect(dsn, "tocsin-packs") as connection:
            row = connection.execute(_ACTIVE, (partition,)).fetchone()
    except psycopg.OperationalError as error:
        raise ServiceAway("PostgreSQL", str(error).strip()) from error
    return str(row[0]) if row else None


def ensure_pack(writer: LogWriter, dsn: str, pack: RulePack, *, partition: int = 0) -> bool:
    """Activate `pack` unless it is the active one; True if it was. In a fresh log, before anything else is written."""
    if active_pack_version(dsn, partition=partition) == pack.version:
        return False
    activated = PackActivated(pack.version, pack.toml)
    writer.append([activated], lambda cursor, last: _keep_packs(cursor, partition, last, [activated]))
    return True
