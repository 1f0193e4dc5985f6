"""docs/how-to/back-up-and-restore.md, followed to the letter; and what must not happen."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from alerting.secret import LINKS, house_secret
from registry.accounts import Accounts, LinkRefused
from schemas.errors import ConfigError, ServiceAway
from schemas.viewers import Role, house
from tests.accounts_world import CHEAP, PASSWORD, SetClock
from tests.waiting import until
from tocsin.backups import make_backup, restore
from tocsin.bench.service import Service, tocsin_up
from tocsin.settings import connect_dsn

pytestmark = pytest.mark.integration
PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "back-up-and-restore.md").read_text()
ALONE = {"TOCSIN_CONSOLE": "false", "TOCSIN_CHECKPOINT_S": "1"}


def words_of(heading: str, having: str, folder: Path) -> list[str]:
    """A command of the page, in a folder of ours."""
    part = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for block in re.findall(r"```sh\n(.*?)```", part, re.S) for line in block.splitlines()]
    (line,) = [line for line in lines if having in line]
    return shlex.split(line.replace("/var/lib/", f"{folder}/").replace("/var/backups/", f"{folder}/"))


def run(words: list[str], *more: str, **environment: str) -> str:
    assert words[0] == "tocsin"
    done = subprocess.run(
        [sys.executable, "-m", "tocsin", *words[1:], *more], capture_output=True, text=True, timeout=120,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def publish(service: Service, *values: float) -> None:
    for value in values:
        subprocess.run(
            ["mosquitto_pub", "-p", str(service.running.mqtt_port), "-q", "1", "-t",
             "tocsin/v1/shop-1/kitchen/telemetry", "-m", json.dumps({"temperature": value})],
            check=True, timeout=30,
        )  # fmt: skip


def alarms(service: Service) -> list[dict[str, object]]:
    """Of the shop: the house tells of its own pause, too."""
    listed: list[dict[str, object]] = json.loads(
        run(["tocsin", "alarms", "list", "--all", "--json", "--data", str(service.data)])
    )
    return [one for one in listed if str(one["subject"]).startswith("shop-1/")]


def ask(dsn: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(query).fetchall()  # type: ignore[arg-type]


def test_a_backup_of_a_running_tocsin_goes_on_in_a_fresh_directory(tmp_path: Path) -> None:
    """Alarms, people, registry and the engine's memory are there, and the readings of the last day come back."""
    with tocsin_up(tmp_path / "tocsin", environment=ALONE) as first:
        dsn = connect_dsn(first.data)
        run(["tocsin", "devices", "add", "shop-1/kitchen", "--data", str(first.data)])
        accounts = Accounts(dsn, SetClock(), CHEAP)
        accounts.add(house(), "li", Role.OPERATOR, password=PASSWORD)
        accounts.close()
        publish(first, 95.0, 95.5)
        fires = "SELECT count(*) FROM alarms WHERE enterprise = 'shop-1'"
        until(lambda: ask(dsn, fires)[0][0] == 1, "the fire is an alarm")
        until(lambda: ask(dsn, "SELECT stored FROM store_status")[0][0] == 2, "its readings are stored")
        until(
            lambda: ask(dsn, "SELECT count(*) FROM checkpoints WHERE position > 2")[0][0] != 0, "a checkpoint is there"
        )
        said = run(words_of("Make one", "tocsin backup", tmp_path))
        assert "1 alarms" in said
        before = alarms(first)
        assert len(before) == 1
    run(words_of("Bring it back", "tocsin restore", tmp_path))
    with tocsin_up(tmp_path / "tocsin-restored", environment=ALONE) as second:
        assert alarms(second) == before
        dsn = connect_dsn(second.data)
        accounts = Accounts(dsn, SetClock(), CHEAP)
        assert accounts.log_in("li", PASSWORD)
        accounts.close()
        assert ask(dsn, "SELECT enterprise || '/' || device FROM devices") == [("shop-1/kitchen",)]
        until(lambda: ask(dsn, "SELECT count(*) FROM readings")[0][0] == 2, "the readings come back from the log")
        publish(second, 20.0, 20.5)
        until(lambda: ask(dsn, "SELECT count(*) FROM readings")[0][0] == 4, "new ones are stored beside them")
        events = ask(dsn, "SELECT key, step, state FROM alarm_events WHERE enterprise = 'shop-1' ORDER BY seq")
        assert [state for _, _, state in events].count("raised") == 1, "no alarm is raised a second time"


@pytest.fixture
def empty(dsn: str) -> Iterator[str]:
    """An empty database beside the one that is backed up."""
    name = f"{psycopg.conninfo.conninfo_to_dict(dsn)['dbname']}_restored"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")  # type: ignore[arg-type]
    yield make_conninfo(dsn, dbname=name)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]


def test_a_named_database_is_backed_up_and_restored_by_the_same_words(dsn: str, empty: str, tmp_path: Path) -> None:
    """Rights and row security with it: a viewer sees no more than before."""
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO districts VALUES ('1', '区')")
        connection.execute("INSERT INTO enterprises (code, name, trade, district) VALUES ('shop', '店', 'H62', '1')")
    words = words_of("A PostgreSQL of yours", "tocsin backup", tmp_path)
    run(words[1:], TOCSIN_DSN=dsn)
    run(words_of("A PostgreSQL of yours", "tocsin restore /", tmp_path)[1:], TOCSIN_DSN=empty)
    assert ask(empty, "SELECT code FROM enterprises") == [("shop",)]
    assert ask(empty, "SELECT version_num FROM alembic_version") == ask(dsn, "SELECT version_num FROM alembic_version")
    rights = "SELECT relname, relacl::text, relrowsecurity FROM pg_class WHERE relname = 'alarms'"
    assert ask(empty, rights) == ask(dsn, rights)
    policies = "SELECT tablename, policyname, qual FROM pg_policies ORDER BY 1, 2"
    assert ask(empty, policies) == ask(dsn, policies)
    assert ask(empty, "SELECT stored FROM store_status") == [(0,)]


def test_what_opened_something_before_opens_nothing_afterwards(dsn: str, empty: str, tmp_path: Path) -> None:
    """A session that was ended, a link that was used, after the backup: restoring it made both good again."""
    clock = SetClock()
    accounts = Accounts(dsn, clock, CHEAP)
    accounts.add(house(), "li", Role.OPERATOR, password=PASSWORD)
    session, link = accounts.log_in("li", PASSWORD), accounts.make_link("li")
    key = accounts.make_key(house(), "till", "li")
    accounts.close()
    secret = house_secret(dsn, LINKS)
    make_backup(dsn, tmp_path / "one.dump", readings=False)
    restore(empty, tmp_path / "one.dump")
    restored = Accounts(empty, clock, CHEAP)
    assert restored.viewer_of(session) is None
    with pytest.raises(LinkRefused):
        restored.follow_link(link)
    assert house_secret(empty, LINKS) != secret, "links in messages are signed with it"
    assert restored.log_in("li", PASSWORD) and restored.viewer_of_key(key.key)
    restored.close()
    assert ask(empty, "SELECT who, act FROM audit_log WHERE act = 'restore'") == [("house", "restore")]


def test_readings_are_in_it_where_they_are_asked_for(dsn: str, empty: str, tmp_path: Path) -> None:
    """Then the store goes on where it was."""
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE store_status SET stored = 7")
        connection.execute("INSERT INTO late_readings VALUES (1, now(), now(), 2.5, 0, 0)")
        connection.execute("INSERT INTO positions (consumer, position) VALUES ('store', 5)")
    made = make_backup(dsn, tmp_path / "all.dump", readings=True)
    assert made.readings
    assert restore(empty, tmp_path / "all.dump").readings
    assert ask(empty, "SELECT value FROM readings") == [(2.5,)]
    assert ask(empty, "SELECT position FROM positions WHERE consumer = 'store'") == [(5,)]


def test_nothing_is_overwritten_and_a_failure_leaves_nothing(dsn: str, empty: str, tmp_path: Path) -> None:
    """The one backup that one has must not be lost by making another, nor a house by restoring it."""
    file = tmp_path / "one.dump"
    make_backup(dsn, file, readings=False)
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigError, match="there already"):
        make_backup(dsn, file, readings=False)
    with pytest.raises(ConfigError, match="not empty"):
        restore(dsn, file)
    with pytest.raises(ConfigError, match="not one of Tocsin's"):
        make_backup(empty, tmp_path / "two.dump", readings=False)
    with pytest.raises(ServiceAway):
        make_backup(make_conninfo(dsn, dbname="nowhere"), tmp_path / "two.dump", readings=False)
    (tmp_path / "torn.dump").write_bytes(file.read_bytes()[:2000])
    (tmp_path / "other.dump").write_text("not a backup")
    for name in ("torn.dump", "other.dump"):
        with pytest.raises((ConfigError, ServiceAway)):
            restore(empty, tmp_path / name)
        assert ask(empty, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    with pytest.raises(ConfigError, match="no file"):
        restore(empty, tmp_path / "none.dump")
    assert not list(tmp_path.glob("*.part"))


def test_a_backup_of_a_newer_tocsin_is_refused(dsn: str, empty: str, tmp_path: Path) -> None:
    """It would be read as what it is not."""
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    make_backup(dsn, tmp_path / "newer.dump", readings=False)
    with pytest.raises(ConfigError, match="9999"):
        restore(empty, tmp_path / "newer.dump")


def test_a_data_directory_that_has_data_is_refused(tmp_path: Path) -> None:
    """Restoring over a house would end it."""
    (tmp_path / "data" / "postgres").mkdir(parents=True)
    (tmp_path / "b.dump").write_text("x")
    done = subprocess.run(
        [sys.executable, "-m", "tocsin", "restore", str(tmp_path / "b.dump"), "--data", str(tmp_path / "data")],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "has data already" in done.stderr
