"""Row security in PostgreSQL: it hides what a query forgot to, and costs the house nothing."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from schemas.errors import ConfigError
from schemas.viewers import BECOME_VIEWER, Role, Viewer, house
from tests.recipes import ROOT
from tocsin.migrate import migrate, migrations
from tocsin.postgres import EmbeddedPostgres

pytestmark = pytest.mark.integration
OURS, OTHERS = "shop-1", "shop-2"
OWNER = Viewer("owner", Role.OWNER, enterprises=(OURS,))
SUPERVISOR = Viewer("supervisor", Role.SUPERVISOR, districts=("310101",))
NOBODY = Viewer("new", Role.SUPERVISOR, districts=("990000",))
SEES_ALL = (Viewer("operator", Role.OPERATOR), house())

WITHOUT_AN_ENTERPRISE = {
    "districts", "rule_packs", "rule_pack_activations", "last_values", "log_layout", "logins_version",
}  # fmt: skip
"""What viewers may read whole: codes and names of districts, rules, and values by ids that must be known."""


def row_of(enterprise: str) -> dict[str, Any]:
    """What a row of an enterprise has in columns of these names."""
    key, district = {OURS: ("a" * 32, "310101"), OTHERS: ("b" * 32, "310102")}[enterprise]
    return {
        "enterprise": enterprise, "code": enterprise, "alarm": key, "alarm_key": key, "key": key,
        "notification": f"m-{enterprise}", "id": f"{enterprise}/d", "district": district,
        "device": "d", "login": f"{enterprise}/d", "order": 1, "verdict": "real", "action": "reset", "what": "contact",
        "role": "devices",
    }  # fmt: skip


COLUMNS = """
    SELECT attname, typname, format_type(atttypid, NULL) FROM pg_attribute JOIN pg_type t ON t.oid = atttypid
     WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attidentity = '' AND attgenerated = ''
       AND attnotnull AND NOT atthasdef
"""
SECURED = """
    SELECT relname::text FROM pg_class WHERE relrowsecurity AND relnamespace = 'public'::regnamespace ORDER BY relname
"""
BEFORE = ("enterprises", "alarms", "notifications", "logins")
"""Others refer to them."""


def fill(connection: psycopg.Connection[Any]) -> list[str]:
    """Into every table with row security a row of each enterprise; the tables' names."""
    connection.execute("INSERT INTO districts VALUES ('310101', 'one'), ('310102', 'two')")
    tables = [name for (name,) in connection.execute(SECURED).fetchall()]
    values = {
        "text": "x", "int2": 1, "int4": 1, "int8": 1, "float8": 1.0, "bool": True, "jsonb": "{}", "bytea": bytes(32),
        "_text": [], "_float4": [], "timestamptz": "2026-01-01T00:00Z",
    }  # fmt: skip
    for table in sorted(tables, key=lambda name: (name not in BEFORE, name)):
        columns = connection.execute(COLUMNS, (table,)).fetchall()
        optional = {"enterprises": ("district",), "grants": ("enterprise",), "registry_changes": ("enterprise",)}
        for number, enterprise in enumerate((OURS, OTHERS)):
            named = row_of(enterprise)
            named |= {"id": named["notification"]} if table == "notifications" else {}
            named |= {"id": number} if table == "devices" else {}
            row = {
                name: named.get(
                    name, f"x-{enterprise}" if type_ == "text" else number if type_ == "int8" else values[type_]
                )
                for name, type_, _ in columns
            }
            row |= {name: named[name] for name in optional.get(table, ())}
            names = ", ".join(f'"{name}"' for name in row)
            places = ", ".join("%s" for _ in row)
            connection.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", list(row.values()))  # type: ignore[arg-type]
    return tables


@pytest.fixture
def world(dsn: str) -> Iterator[tuple[psycopg.Connection[Any], list[str]]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection, fill(connection)


def count(connection: psycopg.Connection[Any], viewer: Viewer | None, table: str) -> int:
    with connection.transaction():
        if viewer is not None:
            connection.execute(BECOME_VIEWER, viewer.parameters())
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # type: ignore[arg-type]
        assert row is not None
        return int(row[0])


def test_a_query_that_forgot_its_filter_shows_a_viewers_rows_alone(
    world: tuple[psycopg.Connection[Any], list[str]],
) -> None:
    connection, tables = world
    assert {"alarms", "contacts", "devices", "comments", "quarantine", "receipts", "risk"} <= set(tables)
    for table in tables:
        assert count(connection, None, table) >= 2, table
        for viewer, seen in ((OWNER, 1), (SUPERVISOR, 1), (NOBODY, 0), *((one, 2) for one in SEES_ALL)):
            assert count(connection, viewer, table) == seen, (table, viewer)


def test_what_viewers_read_whole_is_listed_here(dsn: str) -> None:
    """A table that somebody adds for viewers has row security, or its reason above."""
    query = """
        SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
           AND relkind IN ('r', 'p', 'v', 'm') AND NOT relrowsecurity
           AND has_any_column_privilege('tocsin_viewer', oid, 'SELECT')
    """
    with psycopg.connect(dsn) as connection:
        assert {name for (name,) in connection.execute(query).fetchall()} == WITHOUT_AN_ENTERPRISE


def test_no_viewer_reads_accounts_sessions_or_secrets(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for table in ("accounts", "sessions", "login_links", "api_keys", "audit_log", "house_secrets"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                count(connection, house(), table)


def test_nobody_writes_outside_of_a_scope(world: tuple[psycopg.Connection[Any], list[str]]) -> None:
    connection, _ = world
    ours, others = row_of(OURS)["key"], row_of(OTHERS)["key"]
    add: LiteralString = """
        INSERT INTO acknowledgements (alarm, step, by, at_us, idempotency_key) VALUES (%s, 1, 'me', 0, %s)
    """
    take: LiteralString = "UPDATE alarms SET acked_step = 1, acked_by = 'me' WHERE key = %s"
    with connection.transaction():
        connection.execute(BECOME_VIEWER, OWNER.parameters())
        connection.execute(add, (ours, "one"))
        assert connection.execute(take, (ours,)).rowcount == 1
        assert connection.execute(take, (others,)).rowcount == 0
    told = connection.execute("SELECT who, act, subject, enterprise FROM audit_log WHERE who = 'me'").fetchall()
    assert told == [("me", "acknowledge", ours, OURS)], "what is done stands in the log of acts, whichever way it came"
    for statement, row in (
        (add, (others, "two")),
        ("UPDATE alarms SET enterprise = %s", (OTHERS,)),
        ("DELETE FROM alarms WHERE key = %s", (ours,)),
        ("UPDATE contacts SET enterprise = %s", (OTHERS,)),
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute(BECOME_VIEWER, OWNER.parameters())
            connection.execute(statement, row)


def test_the_role_and_the_scope_end_with_the_transaction(world: tuple[psycopg.Connection[Any], list[str]]) -> None:
    """The connection goes to somebody else next."""
    connection, _ = world
    assert count(connection, OWNER, "alarms") == 1
    assert count(connection, None, "alarms") == 2
    with pytest.raises(ZeroDivisionError), connection.transaction():
        connection.execute(BECOME_VIEWER, OWNER.parameters())
        raise ZeroDivisionError
    assert count(connection, None, "alarms") == 2
    with connection.transaction():
        connection.execute("SET LOCAL ROLE tocsin_viewer")
        assert connection.execute("SELECT count(*) FROM alarms").fetchone() == (0,), "no scope is an empty scope"


def test_the_list_of_alarms_is_found_by_its_index(dsn: str) -> None:
    """200,000 alarms of 3,000 enterprises: neither is read whole for a page, whoever asks for it."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("INSERT INTO districts SELECT i::text, '' FROM generate_series(310100, 310196) i")
        connection.execute("""
            INSERT INTO enterprises (code, name, trade, district)
            SELECT 'e' || i, '', 'H62', (310100 + i % 97)::text FROM generate_series(0, 2999) i
        """)
        connection.execute("""
            INSERT INTO alarms (key, partition, enterprise, device, kind, state, grade, peak, step, raised_step,
                                raised_us, active, latched, body)
            SELECT md5(i::text), 0, 'e' || i % 3001, 'd', 'fire', 'raised', i % 4 + 1, 4, 1, 1, i, i % 200 = 0, false,
                   '{}' FROM generate_series(1, 200000) i
        """)
        connection.execute("ANALYZE alarms; ANALYZE enterprises")
        page = """
            EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT key FROM alarms
             WHERE tocsin_sees(enterprise, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)
             ORDER BY open DESC, grade DESC, raised_us DESC, key DESC LIMIT 101
        """
        for viewer in (*SEES_ALL, SUPERVISOR):
            with connection.transaction():
                connection.execute(BECOME_VIEWER, viewer.parameters())
                row = connection.execute(page, viewer.parameters()).fetchone()
            assert row is not None
            plan = row[0][0]["Plan"]
            assert '"Index Name": "alarms_worst_first"' in str(plan).replace("'", '"'), plan
            assert "Sort" not in str(plan) and "'Node Type': 'Seq Scan', 'Relation Name': 'alarms'" not in str(plan)
            assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 10_000, "the table has some 40,000"


def test_the_house_pays_nothing(dsn: str) -> None:
    """The desk writes a thousand alarms a second."""
    with psycopg.connect(dsn) as connection:
        plan = connection.execute("EXPLAIN SELECT * FROM alarms WHERE key = 'x'").fetchall()
    assert len(plan) == 2, plan


# --- the role itself belongs to the server ---


@pytest.fixture(scope="module")
def fresh() -> Iterator[EmbeddedPostgres]:
    """A server on which nothing was ever migrated."""
    with tempfile.TemporaryDirectory(prefix="tocsin-") as folder:
        server = EmbeddedPostgres(Path(folder) / "pg", settings={"shared_buffers": "32MB", "max_wal_size": "1GB"})
        with server:
            yield server


def databases(server: EmbeddedPostgres, *names: str, owner: str = "") -> list[str]:
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        for name in names:
            connection.execute(f"CREATE DATABASE {name}" + (f" OWNER {owner}" if owner else ""))  # type: ignore[arg-type]
    return [make_conninfo(server.dsn(name), **({"user": owner} if owner else {})) for name in names]


def test_databases_of_one_server_may_be_migrated_at_once(fresh: EmbeddedPostgres) -> None:
    """The role is made by one of them, the other finds it."""
    code = "import sys; from tocsin.migrate import migrate; print(len(migrate(sys.argv[1])))"
    runs = [
        subprocess.Popen([sys.executable, "-c", code, dsn], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for dsn in databases(fresh, "left_one", "right_one")
    ]
    assert [run.communicate()[0].strip() for run in runs] == [str(len(migrations()))] * 2


def test_an_owner_that_may_not_make_roles_is_told_what_to_do(fresh: EmbeddedPostgres) -> None:
    """And once a superuser has done it, the same command goes on."""
    with psycopg.connect(fresh.dsn("postgres"), autocommit=True) as admin:
        admin.execute("CREATE ROLE plain LOGIN")
        admin.execute("DROP DATABASE IF EXISTS left_one")
        admin.execute("DROP DATABASE IF EXISTS right_one")
        admin.execute("DROP ROLE IF EXISTS tocsin_viewer")
        (dsn,) = databases(fresh, "plain_one", owner="plain")
        with pytest.raises(ConfigError, match="role tocsin_viewer is missing") as caught:
            migrate(dsn)
        assert "CREATE ROLE tocsin_viewer NOLOGIN; GRANT tocsin_viewer TO plain" in caught.value.mend
        admin.execute("CREATE ROLE tocsin_viewer NOLOGIN")
        with pytest.raises(ConfigError, match="plain may not become tocsin_viewer") as caught:
            migrate(dsn)
        admin.execute("GRANT tocsin_viewer TO plain")
        assert len(migrate(dsn)) == len(migrations())
    with psycopg.connect(dsn, autocommit=True) as connection:
        fill(connection)
        assert count(connection, None, "alarms") == 2, "it inherits, and is still the house"
        assert count(connection, OWNER, "alarms") == 1


def test_an_owner_that_may_make_roles_needs_nobody(fresh: EmbeddedPostgres) -> None:
    with psycopg.connect(fresh.dsn("postgres"), autocommit=True) as admin:
        admin.execute("CREATE ROLE maker LOGIN CREATEROLE")
        admin.execute("DROP DATABASE IF EXISTS plain_one")
        admin.execute("DROP DATABASE IF EXISTS left_one")
        admin.execute("DROP DATABASE IF EXISTS right_one")
        admin.execute("DROP ROLE IF EXISTS tocsin_viewer")
    (dsn,) = databases(fresh, "makers_one", owner="maker")
    assert len(migrate(dsn)) == len(migrations())
    with psycopg.connect(dsn, autocommit=True) as connection:
        fill(connection)
        assert count(connection, OWNER, "alarms") == 1
