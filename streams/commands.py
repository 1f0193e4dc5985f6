"""Brings what people and the registry ask for into the log: commands, device facts, rule packs.

They ask by writing a row in their own transaction; the dispatcher makes each row one control entry. In the log of rows
both are one commit, so a kill at any moment neither loses nor doubles one. In Kafka the entries come first and the rows
are marked after them, so a kill may repeat entries. That is harmless: a pack or facts said again change nothing (each
pack and each device is named at most once between two marks), and before a command is said again the engine has judged
all that was there, so one that it has answered is known. The engine answers later.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import psycopg
import structlog

from schemas.entries import Control, DeviceFacts, EntryKind, PackActivated, ResetAsked, decode
from schemas.errors import CorruptState, OutcomeUnknown, ServiceAway
from schemas.rules import RulePack
from streams.log.session import connect
from streams.ports import LogWriter, NumberedWriter

Asked = tuple[Any, Control]
"""The key of a row, and the entry that it asks for."""
_AT_ONCE = 32
_REST_S = 0.02
"""Between handfuls: messages and alarms go on beside a hundred thousand facts of an import."""
_WAKE_S = 0.5
_log = structlog.get_logger(__name__)

_COMMANDS = """
    SELECT key, alarm_key, seen_step, asked_by FROM commands
     WHERE partition = %s AND logged_number IS NULL AND answered_at IS NULL ORDER BY asked_at, key LIMIT %s
"""
_OUTBOX = """
    SELECT id, body FROM control_outbox WHERE partition = %s AND logged_number IS NULL AND refused IS NULL
     ORDER BY id LIMIT %s
"""
_FOR_US = " FOR UPDATE SKIP LOCKED"
"""Where rows are marked after their entries, another dispatcher must not take them meanwhile."""
_MARK_COMMANDS = """
    UPDATE commands SET logged_number = number FROM unnest(%s::text[], %s::bigint[]) AS asked (key, number)
     WHERE commands.key = asked.key AND logged_number IS NULL RETURNING 1
"""
_MARK_OUTBOX = """
    UPDATE control_outbox SET logged_number = number FROM unnest(%s::bigint[], %s::bigint[]) AS asked (id, number)
     WHERE control_outbox.id = asked.id AND logged_number IS NULL RETURNING 1
"""
_JUDGED = "SELECT position FROM positions WHERE consumer = 'engine' AND partition = %s"
_KEEP_PACK = "INSERT INTO rule_packs (version, toml) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_ACTIVATE = "INSERT INTO rule_pack_activations (partition, number, version) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
_ACTIVE = "SELECT version FROM rule_pack_activations WHERE partition = %s ORDER BY number DESC LIMIT 1"


class _AlreadyLogged(Exception):
    """Another dispatcher was quicker; its commit holds these rows."""


class ControlDispatcher:
    """Turns one partition's rows that wait into control entries; one dispatcher a partition."""

    def __init__(self, dsn: str, writer: LogWriter | NumberedWriter, *, partition: int = 0) -> None:
        self._dsn = dsn
        self._writer = writer
        self._partition = partition
        self._connection: psycopg.Connection[Any] | None = None
        self._must_be_judged: int | None = None
        """The log's end when this session began: what an earlier one may have said without marking it."""

    def run(self, stop: threading.Event) -> None:
        """Dispatch until `stop`; woken by the rows' own NOTIFY. Raises Fenced."""
        while not stop.is_set():
            try:
                while self.dispatch() and not stop.wait(_REST_S):
                    pass
                for _ in self._connected().notifies(timeout=_WAKE_S, stop_after=1):
                    pass
            except (
                ServiceAway,
                OutcomeUnknown,
                psycopg.OperationalError,
                # A Kafka that is away is waited for longer than the session's rows may be held.
                psycopg.errors.IdleInTransactionSessionTimeout,
            ) as error:
                _log.warning("control_dispatch_waits", error=str(error).strip())
                self.close()
                stop.wait(_WAKE_S)
        self.close()

    def dispatch(self) -> int:
        """Log what waits, at most a handful of each kind, and return how many rows were."""
        if isinstance(self._writer, NumberedWriter):
            return self._dispatch_before_marking(self._writer)
        outbox, commands = self._waiting()
        payloads = [payload for _, payload in (*outbox, *commands)]
        if not payloads:
            return 0

        def alongside(cursor: psycopg.Cursor[Any], last: int) -> None:
            self._mark(cursor, outbox, commands, range(last - len(payloads) + 1, last + 1))

        try:
            self._writer.append(payloads, alongside)
        except _AlreadyLogged:
            return 0
        return len(payloads)

    def _dispatch_before_marking(self, writer: NumberedWriter) -> int:
        with self._connected().transaction(), self._connected().cursor() as cursor:
            outbox, commands = self._waiting(_FOR_US)
            outbox, commands = _each_subject_once(outbox, commands)
            payloads = [payload for _, payload in (*outbox, *commands)]
            if not payloads or not self._is_judged(writer):
                return 0
            self._mark(cursor, outbox, commands, writer.put(payloads))
        return len(payloads)

    def _waiting(self, how: str = "") -> tuple[list[Asked], list[Asked]]:
        """Rows of the outbox and commands, each by its key, as entries; they enter the log in this order."""
        connection = self._connected()
        commands = connection.execute(_COMMANDS + how, (self._partition, _AT_ONCE)).fetchall()
        outbox = connection.execute(_OUTBOX + how, (self._partition, _AT_ONCE), binary=True).fetchall()
        asked: list[Asked] = [(key, ResetAsked(key, alarm, step, by)) for key, alarm, step, by in commands]
        return self._readable(outbox), asked

    def _mark(
        self, cursor: psycopg.Cursor[Any], outbox: Sequence[Asked], commands: Sequence[Asked], numbers: Sequence[int]
    ) -> None:
        """Write down the number of the entry that each row became, and which packs are active by them."""
        split = len(outbox)
        for query, asked, given in (
            (_MARK_OUTBOX, outbox, numbers[:split]),
            (_MARK_COMMANDS, commands, numbers[split:]),
        ):
            keys = [key for key, _ in asked]
            if keys and len(cursor.execute(query, (keys, list(given))).fetchall()) != len(keys):
                raise _AlreadyLogged
        _keep_packs(cursor, self._partition, [payload for _, payload in (*outbox, *commands)], numbers)

    def _is_judged(self, writer: NumberedWriter) -> bool:
        """Whether the engine has judged what was in the log when this session began."""
        if self._must_be_judged is None:
            self._must_be_judged = writer.last_number()
        if self._must_be_judged > 0:
            row = self._connected().execute(_JUDGED, (self._partition,)).fetchone()
            if row is None or int(row[0]) < self._must_be_judged:
                return False
            self._must_be_judged = 0
        return True

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._must_be_judged = None

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._dsn, "tocsin-control")
            self._connection.execute("LISTEN tocsin_control")
        return self._connection

    def _readable(self, rows: Sequence[Any]) -> list[Asked]:
        """The rows that are control entries; any other is set aside with its reason, or it would hold up the rest."""
        good: list[Asked] = []
        for number, body in rows:
            try:
                payload = decode(EntryKind.CONTROL, body)
            except CorruptState as error:
                _log.error("control_refused", id=number, error=error.what)
                self._connected().execute("UPDATE control_outbox SET refused = %s WHERE id = %s", (error.what, number))
            else:
                good.append((number, payload))  # type: ignore[arg-type]  # of kind CONTROL, so a Control
        return good


def _each_subject_once(outbox: list[Asked], commands: list[Asked]) -> tuple[list[Asked], list[Asked]]:
    """As many rows, from the first, as name each pack, device and alarm once: said again, they change nothing."""
    seen: set[tuple[str, ...]] = set()
    for place, (_, payload) in enumerate((*outbox, *commands)):
        subject = _subject(payload)
        if subject in seen:
            return outbox[:place], commands[: max(0, place - len(outbox))]
        seen.add(subject)
    return outbox, commands


def _subject(payload: Control) -> tuple[str, ...]:
    if isinstance(payload, DeviceFacts):
        return payload.enterprise, payload.device
    if isinstance(payload, ResetAsked):
        return (payload.alarm,)
    return ()


def _keep_packs(
    cursor: psycopg.Cursor[Any], partition: int, payloads: Sequence[Control], numbers: Sequence[int]
) -> None:
    """Write down which of the payloads, entries of these numbers, activates a pack."""
    for payload, number in zip(payloads, numbers, strict=True):
        if isinstance(payload, PackActivated):
            cursor.execute(_KEEP_PACK, (payload.version, payload.toml))
            cursor.execute(_ACTIVATE, (partition, number, payload.version))


def active_pack_version(dsn: str, *, partition: int = 0) -> str | None:
    """Version of the pack whose activation is the newest in the log, None in a fresh one. Raises ServiceAway."""
    try:
        with connect(dsn, "tocsin-packs") as connection:
            row = connection.execute(_ACTIVE, (partition,)).fetchone()
    except psycopg.OperationalError as error:
        raise ServiceAway("PostgreSQL", str(error).strip()) from error
    return str(row[0]) if row else None


def ensure_pack(writer: LogWriter | NumberedWriter, dsn: str, pack: RulePack, *, partition: int = 0) -> bool:
    """Activate `pack` unless it is the active one; True if it was. In a fresh log, before anything else is written.

    Raises ServiceAway.
    """
    if active_pack_version(dsn, partition=partition) == pack.version:
        return False
    activated = [PackActivated(pack.version, pack.toml)]
    if not isinstance(writer, NumberedWriter):
        writer.append(activated, lambda cursor, last: _keep_packs(cursor, partition, activated, [last]))
        return True
    numbers = writer.put(activated)
    try:
        with connect(dsn, "tocsin-packs") as connection, connection.transaction(), connection.cursor() as cursor:
            _keep_packs(cursor, partition, activated, numbers)
    except psycopg.OperationalError as error:
        raise ServiceAway("PostgreSQL", str(error).strip()) from error
    return True
