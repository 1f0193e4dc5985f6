"""The database's shape."""

from __future__ import annotations

import subprocess
import sys

import psycopg
import pytest

from schemas.errors import ConfigError
from tocsin.migrate import current_version, migrate, migrations
from tocsin.numbered_sql import upgrade
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


def test_contacts_of_before_keep_their_place_as_their_id(postgres: EmbeddedPostgres) -> None:
    """What was told to `contact:shop-1:2`, and a ladder that climbs, mean the same person after the upgrade."""
    dsn = postgres.dsn("of_before")
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE of_before")
    upgrade(dsn, [one for one in migrations() if one.version < "0020"])
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO districts VALUES ('330106', '西湖区')")
        connection.execute("""
            INSERT INTO enterprises (code, name, trade, district) VALUES ('a', 'a', 'H6210', '330106'),
                                                                         ('b', 'b', 'H6210', '330106')
        """)
        connection.execute("""
            INSERT INTO contacts (enterprise, "order", name, phone)
            VALUES ('a', 2, 'Li', '+8610000000002'), ('a', 5, 'Wang', '+8610000000005'), ('b', 1, 'Zhao', '')
        """)
        # The ninth was called, and is none any more.
        connection.execute(
            "INSERT INTO registry_changes (who, what, enterprise, key) VALUES ('x', 'contact', 'a', '9')"
        )
    migrate(dsn)
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO contacts (enterprise, \"order\", name) VALUES ('a', 1, 'new'), ('b', 9, 'new')")
        found = connection.execute('SELECT enterprise, "order", id, version FROM contacts ORDER BY 1, 2').fetchall()
        assert [row[:3] for row in found] == [("a", 1, 10), ("a", 2, 2), ("a", 5, 5), ("b", 1, 1), ("b", 9, 2)]
        assert len({row[3] for row in found if row[0] == "a"}) == 3
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE of_before")


def test_a_current_database_is_known_without_alembic(dsn: str) -> None:
    """Importing Alembic costs a third of a second, which every start would pay."""
    code = "import sys; from tocsin.migrate import migrate; migrate(sys.argv[1]); sys.exit('alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code, dsn], check=False).returncode == 0
