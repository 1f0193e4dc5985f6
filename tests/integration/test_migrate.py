"""The database's shape."""

from __future__ import annotations

import subprocess
import sys

import psycopg
import pytest

from schemas.errors import ConfigError
from tocsin.migrate import current_version, migrate, migrations
from tocsin.postgres import EmbeddedPostgres

pytestmark = pytest.mark.integration


def test_a_second_migration_finds_nothing_to_do(dsn: str) -> None:
    """Every start calls it."""
    assert migrate(dsn) == []
    with psycopg.connect(dsn) as connection:
        assert current_version(connection) == migrations()[-1].version


def test_a_database_of_a_newer_tocsin_is_refused(dsn: str) -> None:
    """An old program must not write into a shape it does not know."""
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigError, match="9999"):
        migrate(dsn)


def test_an_empty_database_gets_every_file_in_order(postgres: EmbeddedPostgres) -> None:
    """The numbered files are the only source of the shape."""
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE empty_one")
    assert [m.version for m in migrate(postgres.dsn("empty_one"))] == [m.version for m in migrations()]
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE empty_one")


def test_a_current_database_is_known_without_alembic(dsn: str) -> None:
    """Importing Alembic costs a third of a second, which every start would pay."""
    code = "import sys; from tocsin.migrate import migrate; migrate(sys.argv[1]); sys.exit('alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code, dsn], check=False).returncode == 0
