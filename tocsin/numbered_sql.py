"""Alembic over the numbered SQL files: each file is one revision, made in memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from tocsin.migrate import Migration, current_version, missing

_LOCK = 7_090_441_932_001
"""Advisory lock: one migration at a time in a database."""


def upgrade(dsn: str, wanted: list[Migration]) -> list[Migration]:
    """Walk from the database's version to the newest, in one transaction; returns what was applied.

    Raises ConfigError when the database is newer than `wanted`, psycopg.Error when a file fails.
    """
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), poolclass=NullPool)
    with engine.begin() as bind:
        connection: psycopg.Connection[Any] = bind.connection.driver_connection  # type: ignore[assignment]
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        to_do = missing(wanted, current_version(connection))
        script = NumberedSql(connection, wanted)
        steps = partial(script._upgrade_revs, "head")
        with EnvironmentContext(Config(), script, fn=lambda version, _: steps(version)) as environment:
            environment.configure(connection=bind)
            environment.run_migrations()
    return to_do


class NumberedSql(ScriptDirectory):
    """The files as a line of revisions that run on one connection."""

    def __init__(self, connection: psycopg.Connection[Any], wanted: list[Migration]) -> None:
        super().__init__(Path(__file__).parent)
        self._connection = connection
        self._wanted = wanted

    def _load_revisions(self) -> Iterator[Script]:
        before: str | None = None
        for migration in self._wanted:
            module = ModuleType(f"{migration.version}_{migration.name}")
            module.__dict__.update(
                revision=migration.version,
                down_revision=before,
                # Without parameters the file goes to the server whole, however many statements it has.
                upgrade=partial(self._connection.execute, migration.sql.encode()),
            )
            yield Script(module, migration.version, migration.name)
            before = migration.version
