"""deploy/postgres: the roles, and the one that faces the outside can change rows and nothing else."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from schemas.viewers import BECOME_VIEWER, Role, Viewer
from tests.deployed import make_secrets, postgres_of_the_recipe
from tests.recipes import ROOT
from tocsin.doctor import Verdict
from tocsin.doctor.database import server
from tocsin.migrate import migrate, migrations

pytestmark = pytest.mark.integration
OURS = "relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'"


@pytest.fixture(scope="module")
def dsns() -> Iterator[dict[str, str]]:
    """By role, after `migrate` as the owner."""
    with tempfile.TemporaryDirectory(prefix="tocsin-") as folder:
        secrets = make_secrets(Path(folder) / "secrets")
        with postgres_of_the_recipe(Path(folder) / "pg", secrets) as roles:
            assert len(migrate(roles["tocsin"])) == len(migrations())
            yield roles


def ask(dsn: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(query).fetchall()


def test_the_owner_migrates_without_being_a_superuser(dsns: dict[str, str]) -> None:
    """A superuser could read other databases and run programs on the server."""
    wanted = [(name, False, False, False) for name in ("tocsin", "tocsin_app", "tocsin_viewer")]
    columns = "rolname::text, rolsuper, rolcreatedb, rolcreaterole"
    assert ask(dsns["tocsin"], f"SELECT {columns} FROM pg_roles WHERE rolname LIKE 'tocsin%' ORDER BY 1") == wanted
    owners = f"SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE {OURS} AND relkind IN ('r', 'p', 'v')"
    assert ask(dsns["tocsin"], owners) == [("tocsin",)]


def test_passwords_are_kept_as_scram(dsns: dict[str, str]) -> None:
    """Not as they are, and not as MD5."""
    query = "SELECT DISTINCT left(rolpassword, 13) FROM pg_authid WHERE rolname LIKE 'tocsin%' AND rolcanlogin"
    assert ask(dsns["postgres"], query) == [("SCRAM-SHA-256",)]


def test_the_other_role_reads_and_writes_every_table(dsns: dict[str, str]) -> None:
    """A table that a later migration adds is met by a right that was given beforehand."""
    missing = f"""
        SELECT relname::text, privilege FROM pg_class, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) privilege
        WHERE {OURS} AND relkind IN ('r', 'p', 'v') AND NOT has_table_privilege(oid, privilege)
        UNION ALL SELECT relname::text, 'USAGE' FROM pg_class
        WHERE {OURS} AND CASE relkind WHEN 'S' THEN NOT has_sequence_privilege(oid, 'USAGE') ELSE false END
    """
    assert ask(dsns["tocsin_app"], missing) == []


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE positions",
        "ALTER TABLE positions ADD COLUMN x int",
        "TRUNCATE positions",
        "CREATE TABLE mine (x int)",
        "CREATE SCHEMA mine",
        "CREATE ROLE mine",
        "CREATE DATABASE mine",
        "SET ROLE tocsin",
        "COPY positions TO PROGRAM 'id'",
    ],
)
def test_the_other_role_changes_no_table(dsns: dict[str, str], statement: str) -> None:
    """Whoever takes over a door or a console must not be able to take the history away."""
    with (
        psycopg.connect(dsns["tocsin_app"], autocommit=True) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)


@pytest.mark.parametrize("role", ["tocsin", "tocsin_app"])
def test_both_become_the_viewer_and_only_then_see_its_rows_alone(dsns: dict[str, str], role: str) -> None:
    """Row security must not hide from the desk what a viewer does not see."""
    with psycopg.connect(dsns["tocsin"]) as connection:
        connection.execute("INSERT INTO journal (notification, at_us, enterprise, grade, en, zh)"
                           " VALUES ('m-1', 0, 'shop-1', 4, '', '') ON CONFLICT DO NOTHING")  # fmt: skip
    viewer = Viewer("li", Role.OWNER, enterprises=("shop-2",))
    with psycopg.connect(dsns[role]) as connection:
        assert connection.execute("SELECT count(*) FROM journal").fetchone() == (1,)
        connection.execute(BECOME_VIEWER, viewer.parameters())
        assert connection.execute("SELECT count(*) FROM journal").fetchone() == (0,)
    plan = ask(dsns[role], "EXPLAIN SELECT count(*) FROM journal")
    assert not any("Filter" in str(line) for line in plan), "and costs it nothing"


def test_what_the_store_makes_later_is_read_by_the_other_role(dsns: dict[str, str]) -> None:
    """Parts of time are tables that workers make while consoles ask for history."""
    with psycopg.connect(dsns["tocsin"], autocommit=True) as connection:
        connection.execute("CREATE TABLE made_later (LIKE timely_readings)")
    assert ask(dsns["tocsin_app"], "SELECT count(*) FROM made_later") == [(0,)]


def test_strangers_do_not_enter_the_database(dsns: dict[str, str]) -> None:
    """Other databases of the server have roles of their own."""
    with psycopg.connect(dsns["postgres"], autocommit=True) as connection:
        connection.execute("CREATE ROLE stranger LOGIN")
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(make_conninfo(dsns["postgres"], user="stranger"))


def test_only_store_log_and_migrations_change_tables() -> None:
    """Doors, bridges, desks and consoles run as the role that cannot: a statement there would fail in use only."""
    owners = ("schemas/sql/", "streams/store/", "streams/log/segments.py", "tocsin/")
    tables = r"\b(?:CREATE|ALTER|DROP)\s+(?:UNLOGGED\s+)?(?:TABLE|INDEX|VIEW|SCHEMA)\b(?! IF EXISTS pg_temp)"
    wanted = re.compile(rf"{tables}|\bTRUNCATE\s+[a-z]")
    packages = sorted({file.parent for file in ROOT.glob("*/py.typed")})
    found = {
        str(file.relative_to(ROOT))
        for package in packages
        for file in package.rglob("*")
        if file.suffix in {".py", ".sql"} and wanted.search(file.read_text())
    }
    assert {name for name in found if not name.startswith(owners)} == set()


def test_the_doctor_says_when_a_role_cannot_become_the_viewer(dsns: dict[str, str]) -> None:
    """Else every page and every endpoint fails, and nobody knows why."""

    def found() -> tuple[Verdict, str]:
        with psycopg.connect(dsns["tocsin_app"]) as connection:
            return next((one.verdict, one.mend) for one in server(connection) if one.part == "row security")

    assert found() == (Verdict.OK, "")
    with psycopg.connect(dsns["postgres"], autocommit=True) as admin:
        admin.execute("REVOKE tocsin_viewer FROM tocsin_app")
        assert found() == (Verdict.WRONG, "Let a superuser run: GRANT tocsin_viewer TO tocsin_app.")
        admin.execute("GRANT tocsin_viewer TO tocsin_app")
        assert found() == (Verdict.OK, "")
