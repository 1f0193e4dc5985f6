"""A backup of all that a house has in PostgreSQL, made while it runs, and its way back into an empty one.

One file in PostgreSQL's own form (`pg_dump -Fc`), one snapshot of alarms, people, registry, checkpoints and the log.
Stored readings are as large as all else together many times over, and the log alone gives back the last day of them: so
they are in it only where that is asked for. A log in Kafka is Kafka's own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from registry import audit
from schemas.errors import ConfigError, ServiceAway
from schemas.viewers import house
from tocsin.migrate import current_version, migrate, migrations, missing
from tocsin.postgres_machine import binaries

_READINGS_TABLES = ("readings_2*", "open_blocks_*", "hourly_rows_*", "daily_rows_*")
"""Partitions of stored readings: left out whole. The tables that they belong to stay, empty."""
_READINGS_ROWS = ("late_readings", "reading_partitions", "open_parts", "roll_ups", "store_status")
_HAS_READINGS = "SELECT EXISTS (SELECT FROM store_status)"
# Without readings the store begins anew at the log's beginning. What it knows of sensors that have been silent for
# longer stays.
_STORE_ANEW: tuple[sql.SQL, ...] = (
    sql.SQL("INSERT INTO store_status DEFAULT VALUES"),
    sql.SQL("DELETE FROM positions WHERE consumer IN ('store', 'store.last_values')"),
    sql.SQL(
        "DELETE FROM last_values WHERE event_time >= coalesce("
        "(SELECT written_at FROM log_entries ORDER BY partition, number LIMIT 1), now() - interval '25 hours')"
    ),
)
_ENDED = ("sessions", "login_links", "house_secrets")
"""What opened something when the backup was made, and must not again: it may have been ended since, and whoever has the
file has it. Secrets of the house are made anew, and with them the links in messages."""
_COUNTED = ("alarms", "accounts", "enterprises", "devices", "notifications", "quarantine", "checkpoints", "log_entries")
_ROLE = re.compile(r'^(?:GRANT [^;]* TO|ALTER DEFAULT PRIVILEGES FOR ROLE) "?(\w+)"?', re.MULTILINE)
_VIEWER = "tocsin_viewer"


class Backup(msgspec.Struct, frozen=True):
    file: str
    bytes: int
    readings: bool
    rows: dict[str, int]
    """Table → rows, of those that people ask about."""


def make_backup(dsn: str, file: Path, *, readings: bool) -> Backup:
    """Write a backup of the database, which may be in use, to a file that is not there yet.

    Raises ConfigError when the file cannot be written or the database is one that this cannot do, ServiceAway when
    PostgreSQL does not answer or ends meanwhile; then there is no file.
    """
    if file.exists():
        raise ConfigError(f"{file} is there already.", field="FILE", mend="Nothing is overwritten: name another.")
    with _connected(dsn) as connection:
        _check_edition(connection)
        major = connection.info.server_version // 10_000
        rows = _count(connection)
    words = ["--format", "custom", "--no-owner"]
    if not readings:
        words += [f"--exclude-table={pattern}" for pattern in _READINGS_TABLES]
        words += [f"--exclude-table-data={table}" for table in _READINGS_ROWS]
    half = file.with_name(f"{file.name}.part")
    try:
        # It holds phone numbers and the secret that signs links: for its owner only, from its first byte on.
        os.close(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise ConfigError(f"{half} cannot be written: {error.strerror}", field="FILE") from error
    try:
        _run("pg_dump", major, dsn, [*words, "--file", str(half)])
        with half.open("rb") as written:
            os.fsync(written.fileno())
        half.rename(file)
    finally:
        half.unlink(missing_ok=True)
    return Backup(str(file), file.stat().st_size, readings, rows)


def restore(dsn: str, file: Path) -> Backup:
    """Bring a backup into an empty database, and that to the shape of this version; all of it or nothing.

    Nobody is logged in by it: sessions, login links and links of messages that were good then open nothing.

    Raises ConfigError when the database is not empty, the file is no backup, or one of a newer Tocsin.
    """
    if not file.is_file():
        raise ConfigError(f"there is no file {file}.", field="FILE")
    with _connected(dsn) as connection:
        major = connection.info.server_version // 10_000
        if connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() != (0,):
            raise ConfigError("the database is not empty.", mend="Name a new one, or a new data directory with --data.")
        _make_roles(connection, _roles_in(file, major))
    words = ["--no-owner", "--single-transaction", "--exit-on-error"]
    _run("pg_restore", major, dsn, [*words, "--dbname", _without_password(dsn), str(file)], names_dsn=True)
    with _connected(dsn) as connection:
        version = current_version(connection)
        if version is None:
            raise ConfigError(f"{file} is no backup of a Tocsin.", field="FILE", mend="Drop what it has left there.")
        missing(migrations(), version)
        row = connection.execute(_HAS_READINGS).fetchone()
        readings = bool(row and row[0])
        with connection.transaction():
            for table in _ENDED:
                _empty(connection, table)
            if not readings:
                for statement in _STORE_ANEW:
                    connection.execute(statement)
        connection.execute("ANALYZE")
    migrate(dsn)
    with _connected(dsn) as connection:
        audit.record(connection, house(), "restore")
        return Backup(str(file), file.stat().st_size, readings, _count(connection))


def _empty(connection: psycopg.Connection[Any], table: str) -> None:
    """A backup of an older Tocsin may not have it."""
    if connection.execute("SELECT to_regclass(%s)", (table,)).fetchone() != (None,):
        connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))


def _count(connection: psycopg.Connection[Any]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for table in _COUNTED:
        query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
        row = connection.execute(query).fetchone()
        counted[table] = int(row[0]) if row else 0
    return counted


def _check_edition(connection: psycopg.Connection[Any]) -> None:
    if current_version(connection) is None:
        raise ConfigError("the database is not one of Tocsin's.", field="TOCSIN_DSN", mend="Name that of Tocsin.")
    if connection.execute("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')").fetchone() == (
        True,
    ):
        raise ConfigError(
            "the database has TimescaleDB, whose backups have steps of their own.", field="TOCSIN_DSN",
            mend="Use pg_dump and pg_restore as TimescaleDB's manual says, or its own tools.",
        )  # fmt: skip


def _roles_in(file: Path, major: int) -> set[str]:
    """Roles that the backup gives rights to."""
    done = subprocess.run(
        [str(_program("pg_restore", major)), "--schema-only", "--file", "-", str(file)],
        capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise ConfigError(f"{file} is no backup: {_last_line(done.stderr)}", field="FILE")
    return {*_ROLE.findall(done.stdout.decode(errors="replace")), _VIEWER} - {"PUBLIC"}


def _make_roles(connection: psycopg.Connection[Any], roles: set[str]) -> None:
    """Have the roles that rights are given to; nobody can log in as one that is made here."""
    modern = connection.info.server_version >= 160_000
    for role in sorted(roles):
        if connection.execute("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", (role,)).fetchone() == (True,):
            continue
        try:
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
        except psycopg.errors.InsufficientPrivilege as error:
            raise ConfigError(
                f"the role {role} is missing, and this one may not make it.", field="TOCSIN_DSN",
                mend="Let a superuser run deploy/postgres/roles.sql first.",
            ) from error  # fmt: skip
    may_become = connection.execute(
        "SELECT pg_has_role(current_user, %s, %s)", (_VIEWER, "SET" if modern else "MEMBER")
    ).fetchone()
    if may_become != (True,):
        how = sql.SQL(" WITH INHERIT FALSE, SET TRUE" if modern else "")
        try:
            connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(_VIEWER)) + how)
        except psycopg.errors.InsufficientPrivilege as error:
            mend = "Let a superuser run deploy/postgres/roles.sql first."
            raise ConfigError(f"this role may not become {_VIEWER}.", field="TOCSIN_DSN", mend=mend) from error


def _run(name: str, major: int, dsn: str, words: Sequence[str], *, names_dsn: bool = False) -> None:
    where = [] if names_dsn else ["--dbname", _without_password(dsn)]
    password = conninfo_to_dict(dsn).get("password")
    # Not among the words: everybody on the machine may read those.
    environment = os.environ | ({"PGPASSWORD": str(password)} if password else {})
    done = subprocess.run(
        [str(_program(name, major)), *where, *words], capture_output=True, check=False, env=environment
    )  # fmt: skip
    if done.returncode != 0:
        raise ServiceAway("PostgreSQL", f"{name} failed: {_last_line(done.stderr)}", mend="Mend that and try again.")


def _program(name: str, major: int) -> Path:
    """PostgreSQL's own program, at least as new as the server. Raises ConfigError."""
    candidates: list[Path] = []
    with suppress(ConfigError):
        candidates.append(binaries() / name)
    found = shutil.which(name)
    candidates += [Path(found)] if found else []
    for candidate in candidates:
        if candidate.exists() and _major_of(candidate) >= major:
            return candidate
    raise ConfigError(
        f"there is no {name} for PostgreSQL {major}.", mend=f"Install its client programs: postgresql-client-{major}."
    )


def _major_of(program: Path) -> int:
    said = subprocess.run([str(program), "--version"], capture_output=True, check=False, text=True).stdout
    number = re.search(r"(\d+)(?:\.\d+)?", said)
    return int(number[1]) if number else 0


def _without_password(dsn: str) -> str:
    parts = {name: part for name, part in conninfo_to_dict(dsn).items() if name != "password" and part is not None}
    return make_conninfo("", **parts)


def _last_line(said: bytes) -> str:
    lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"


def _connected(dsn: str) -> psycopg.Connection[Any]:
    try:
        return psycopg.connect(dsn, autocommit=True, application_name="tocsin-backup", connect_timeout=10)
    except psycopg.OperationalError as error:
        raise ServiceAway("PostgreSQL", str(error).strip() or type(error).__name__) from error
