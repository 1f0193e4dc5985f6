"""Brings a database to the shape this version needs: numbered SQL files, applied in order with Alembic.

The schema's language is SQL, so there are no revision files beside it: each `schemas/sql/NNNN_name.sql` is one
revision, made in memory. A database that is current is told so by one query, without importing Alembic.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import psycopg

from schemas.errors import ConfigError, ServiceAway


@dataclass(frozen=True, slots=True)
class Migration:
    version: str
    name: str
    sql: str


def migrations() -> list[Migration]:
    """All of them, in order."""
    found = sorted((e for e in files("schemas.sql").iterdir() if e.name.endswith(".sql")), key=lambda e: e.name)
    numbered = [Migration(e.name[:4], e.name[5:-4], e.read_text(encoding="utf-8")) for e in found]
    versions = [migration.version for migration in numbered]
    if len(set(versions)) != len(versions) or not all(version.isdigit() for version in versions):
        raise ConfigError(f"the SQL files are not numbered one by one: {', '.join(versions)}")
    return numbered


def current_version(connection: psycopg.Connection[Any]) -> str | None:
    """The version of the database's shape, None when it is empty."""
    if connection.execute("SELECT to_regclass('alembic_version')::text").fetchone() == (None,):
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return row[0] if row else None


def migrate(dsn: str) -> list[Migration]:
    """Apply what is missing and return it; all of it in one transaction, so a failure changes nothing.

    Raises ServiceAway when the database does not answer, ConfigError when it is newer than this Tocsin or does not let
    us.
    """
    wanted = migrations()
    try:
        with psycopg.connect(dsn) as connection:
            if not missing(wanted, current_version(connection)):
                return []
        from tocsin.numbered_sql import upgrade  # noqa: PLC0415 - Alembic costs 0.3 s, which a usual start saves

        return upgrade(dsn, wanted)
    except psycopg.OperationalError as error:
        raise ServiceAway("PostgreSQL", str(error).strip()) from error
    except psycopg.errors.InsufficientPrivilege as error:
        mend = error.diag.message_hint or "Migrate as the role that owns the tables."
        raise ConfigError(f"{error.diag.message_primary}.", field="TOCSIN_DSN", mend=mend) from error


def missing(wanted: list[Migration], version: str | None) -> list[Migration]:
    """Those that a database of `version` lacks. Raises ConfigError when it is newer than this Tocsin."""
    versions = [migration.version for migration in wanted]
    if version is None:
        return wanted
    if version not in versions:
        raise ConfigError(
            f"the database has shape {version}, which this Tocsin does not know (its newest is {versions[-1]}).",
            mend="Upgrade Tocsin, or use another database.",
        )
    return wanted[versions.index(version) + 1 :]
