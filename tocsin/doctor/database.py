"""Looks at PostgreSQL and at what stands in it; the same in one process and in a cluster."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import psycopg

from schemas.errors import TocsinError
from streams.store.editions import edition_of
from tocsin.doctor.findings import MOST_SKEW_S, Finding, fine, warning, wrong
from tocsin.migrate import current_version, migrations, missing

LEAST_VERSION = 15
_MOST_USED = 0.8
_AWAKE_S = 10.0
_MOVES_S = 1.0
_WAITING = """
    SELECT (SELECT count(*) FROM commands WHERE logged_number IS NULL AND asked_at < now() - %s * interval '1 s')
         + (SELECT count(*) FROM control_outbox
             WHERE logged_number IS NULL AND refused IS NULL AND asked_at < now() - %s * interval '1 s')
"""
Connection = psycopg.Connection[Any]


def server(connection: Connection) -> Iterator[Finding]:
    """Is it one that Tocsin can stand on: version, what a commit means there, room for sessions, TimescaleDB."""
    major = connection.info.server_version // 10_000
    if major < LEAST_VERSION:
        yield wrong("postgresql", f"version {major}", f"Tocsin needs {LEAST_VERSION} or newer.")
    else:
        yield fine("postgresql", f"version {major}, {_edition(connection)}")
    yield _durability(connection)
    yield _sessions(connection)
    yield from _viewers(connection)


def schema(connection: Connection) -> Finding:
    try:
        left = missing(migrations(), current_version(connection))
    except TocsinError as error:
        return wrong("schema", error.what, error.mend or "Run the version of Tocsin that made it.")
    if left:
        return wrong("schema", f"{len(left)} migrations are missing", "Run `tocsin migrate`.")
    return fine("schema", "current")


def clock(connection: Connection) -> Finding:
    asked = time.time()
    row = connection.execute("SELECT extract(epoch FROM clock_timestamp())").fetchone()
    answered = time.time()
    # Somewhere between question and answer: a slow answer is no skew.
    theirs = float(row[0]) if row else answered
    skew = max(theirs - answered, asked - theirs, 0.0)
    if skew > MOST_SKEW_S:
        return wrong("clock", f"{skew:.1f} s from PostgreSQL's", "Run NTP on both machines.")
    return fine("clock", "agrees with PostgreSQL's")


def quarantine(connection: Connection) -> Finding:
    count = _count(connection, "SELECT count(*) FROM quarantine WHERE replayed_at IS NULL")
    if count:
        mend = "Their senders were told on their `errors` topics what to mend."
        return warning("quarantine", f"{count} refused messages wait", mend)
    return fine("quarantine", "empty")


def notifications(connection: Connection) -> Finding:
    failed = _count(connection, "SELECT count(*) FROM notifications WHERE status = 'failed'")
    if failed:
        return warning("messages", f"{failed} were given up", "See `tocsin alarms show KEY`.")
    late = _count(
        connection, "SELECT count(*) FROM notifications WHERE overdue AND status IN ('planned', 'queued', 'sending')"
    )
    if late:
        return warning("messages", f"{late} wait longer than they should", "Are their receivers up?")
    return fine("messages", "none was given up")


def asked(connection: Connection) -> Finding:
    """What people and the registry have asked of the engine: does it enter the log?"""
    waiting = _count(connection, _WAITING, _AWAKE_S, _AWAKE_S)
    if waiting:
        time.sleep(_MOVES_S)
        left = _count(connection, _WAITING, _AWAKE_S + _MOVES_S, _AWAKE_S + _MOVES_S)
        if left < waiting:
            return fine("commands", f"{left} wait to enter the log, some hundreds do each second, as after an import")
        return wrong(
            "commands", f"{waiting} wait to enter the log", "Whoever judges the partition takes them: see judging."
        )
    refused = _count(connection, "SELECT count(*) FROM control_outbox WHERE refused IS NOT NULL")
    if refused:
        mend = "They were written by another version: SELECT id, refused FROM control_outbox WHERE refused IS NOT NULL."
        return warning("commands", f"{refused} can never enter the log", mend)
    return fine("commands", "none waits")


def _edition(connection: Connection) -> str:
    row = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'").fetchone()
    if row is None:
        return "without TimescaleDB: partitions and roll-ups are Tocsin's own"
    if connection.execute("SELECT to_regclass('timely_readings')").fetchone() == (None,):
        return f"TimescaleDB {row[0]}"
    edition = edition_of(connection)
    if edition.native:
        return f"TimescaleDB {row[0]}, which came after the tables were made: partitions and roll-ups are Tocsin's own"
    return f"TimescaleDB {row[0]}, " + (
        "full edition" if edition.aggregates else "Apache edition: no compression of its own"
    )


def _viewers(connection: Connection) -> Iterator[Finding]:
    """May this role become the one that sees a viewer's rows alone? Before `migrate` there is none."""
    kind = "SET" if connection.info.server_version >= 160_000 else "MEMBER"
    row = connection.execute(
        "SELECT current_user::text, pg_has_role(oid, %s) FROM pg_roles WHERE rolname = 'tocsin_viewer'", (kind,)
    ).fetchone()
    if row is not None and not row[1]:
        mend = f"Let a superuser run: GRANT tocsin_viewer TO {row[0]}."
        yield wrong("row security", f"{row[0]} may not become tocsin_viewer, so the console can show nothing", mend)
    elif row is not None:
        yield fine("row security", "stands behind every query of a person")


def _durability(connection: Connection) -> Finding:
    names = ("fsync", "full_page_writes", "synchronous_commit")
    off = [name for name in names if _setting(connection, name) == "off"]
    serious = [name for name in off if name != "synchronous_commit"]
    if serious:
        return wrong(
            "durability", f"{' and '.join(serious)} off: a power cut loses what was acknowledged",
            f"Set {serious[0]} = on in postgresql.conf.",
        )  # fmt: skip
    if off:
        # Our own sessions set it; others that write, a restore for example, do not.
        return warning(
            "durability", "synchronous_commit is off but in Tocsin's own sessions", "Set synchronous_commit = on."
        )
    return fine("durability", "a commit is on disk")


def _sessions(connection: Connection) -> Finding:
    most = int(_setting(connection, "max_connections"))
    used = _count(connection, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
    if used > _MOST_USED * most:
        return warning("sessions", f"{used} of {most} are in use", "Raise max_connections in postgresql.conf.")
    return fine("sessions", f"{used} of {most} are in use")


def _setting(connection: Connection, name: str) -> str:
    row = connection.execute(
        "SELECT coalesce(reset_val, setting) FROM pg_settings WHERE name = %s", [name]
    ).fetchone()  # fmt: skip
    return "" if row is None else str(row[0])


def _count(connection: Connection, query: str, *values: object) -> int:
    row = connection.execute(query.encode(), values or None).fetchone()
    return 0 if row is None else int(row[0])
