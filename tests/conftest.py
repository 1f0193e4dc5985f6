"""What every test may ask for: a PostgreSQL of its own, and a fresh, migrated database in it."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tocsin.migrate import migrate
from tocsin.postgres import EmbeddedPostgres

_names = (f"test_{number}" for number in itertools.count(1))


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A server for the whole session; its database `tocsin` is migrated and is the template of all others."""
    with tempfile.TemporaryDirectory(prefix="tocsin-") as folder:
        server = EmbeddedPostgres(Path(folder) / "pg", settings={"shared_buffers": "64MB", "max_wal_size": "1GB"})
        with server:
            migrate(server.dsn())
            yield server


@pytest.fixture
def dsn(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A fresh database with every migration applied, gone after the test."""
    name = next(_names)
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE tocsin")
    yield postgres.dsn(name)
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
