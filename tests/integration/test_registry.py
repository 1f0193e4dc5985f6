"""Devices, logins and facts on PostgreSQL, by the functions and by the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from registry.logins import Grant, KnownLogins
from registry.store import (
    LoginFollower,
    add_device,
    add_login,
    facts_of,
    list_devices,
    open_registry,
    renew_secret,
    set_facts,
)
from schemas.entries import DeviceFacts, EntryKind, decode
from schemas.errors import ConfigError, ServiceAway
from tocsin.commands.devices import app

pytestmark = pytest.mark.integration

PANEL = DeviceFacts("shop", "panel", rated_current_a=32.0, period_s=60.0, supply="mains", profiles=("co.us",))


def told(dsn: str) -> list[Any]:
    """What waits on its way into the log."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT body FROM control_outbox ORDER BY id").fetchall()
    return [decode(EntryKind.CONTROL, body) for (body,) in rows]


def test_a_device_logs_in_with_the_secret_that_was_shown_once(dsn: str) -> None:
    """Only its hash is in the database."""
    logins = KnownLogins()
    follower = LoginFollower(dsn, logins)
    with open_registry(dsn) as connection:
        secret = add_device(connection, PANEL)
    assert follower.refresh()
    principal = logins.check("shop/panel", secret.encode())
    assert principal is not None
    assert principal.id == "shop/panel"
    assert principal.owns("shop", "panel")
    assert not principal.owns("shop", "kitchen")
    assert not principal.reads_alarms("shop")
    assert logins.check("shop/panel", b"guess") is None
    assert logins.check("shop/other", secret.encode()) is None
    with psycopg.connect(dsn) as connection:
        everything = connection.execute(
            "SELECT l::text || d::text || c::text FROM logins l, devices d, control_outbox c"
        )
        assert secret not in str(everything.fetchall())
    follower.close()


def test_an_integrator_owns_several_devices_or_an_enterprise(dsn: str) -> None:
    """One gateway may speak for many, and an enterprise may read its alarms."""
    logins = KnownLogins()
    follower = LoginFollower(dsn, logins)
    grants = [Grant("devices", "shop", "a"), Grant("devices", "mall"), Grant("alarms", "shop")]
    with open_registry(dsn) as connection:
        secret = add_login(connection, "acme", grants)
    follower.refresh()
    principal = logins.check("acme", secret.encode())
    assert principal is not None
    assert principal.owns("shop", "a")
    assert not principal.owns("shop", "b")
    assert principal.owns("mall", "anything")
    assert principal.reads_alarms("shop")
    assert not principal.reads_alarms("mall")
    follower.close()


def test_logins_are_read_again_only_when_they_have_changed(dsn: str) -> None:
    """The follower asks every second; two thousand devices that return cost no query."""
    logins = KnownLogins()
    follower = LoginFollower(dsn, logins)
    with pytest.raises(ServiceAway):
        logins.check("shop/panel", b"")
    assert follower.refresh()
    assert logins.check("shop/panel", b"") is None
    assert not follower.refresh()
    with open_registry(dsn) as connection:
        old = add_device(connection, PANEL)
        new = renew_secret(connection, "shop/panel")
    assert follower.refresh()
    assert not follower.refresh()
    assert logins.check("shop/panel", old.encode()) is None
    assert logins.check("shop/panel", new.encode()) is not None
    follower.close()


def test_facts_reach_the_engine_by_the_log(dsn: str) -> None:
    """Whatever changes the engine's answer is an entry; unchanged facts are none."""
    with open_registry(dsn) as connection:
        add_device(connection, PANEL)
        set_facts(connection, PANEL)
        changed = DeviceFacts("shop", "panel", rated_current_a=63.0)
        set_facts(connection, changed)
        assert facts_of(connection, "shop", "panel") == changed
        assert [device.facts for device in list_devices(connection)] == [changed]
        assert list_devices(connection, "another") == []
    assert told(dsn) == [PANEL, changed]


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        (DeviceFacts("shop", "panel", rated_current_a=-1.0), "rated current"),
        (DeviceFacts("shop", "panel", period_s=float("nan")), "period"),
        (DeviceFacts("shop", "panel", supply="sun"), "supply"),
        (DeviceFacts("shop", "panel", heat_class="Z9"), "heat class"),
        (DeviceFacts("shop", "panel", profiles=("a b",)), "profile"),
        (DeviceFacts("shop", "panel", gateway="shop/gateway"), "gateway"),
        (DeviceFacts("shop", "panel", gateway="panel"), "gateway"),
        (DeviceFacts("shop", "p a"), "not a device"),
    ],
)
def test_facts_that_cannot_be_true_are_refused(dsn: str, facts: DeviceFacts, field: str) -> None:
    """They would enter the log for good."""
    with open_registry(dsn) as connection, pytest.raises(ConfigError, match=field):
        add_device(connection, facts)
    assert told(dsn) == []


def test_what_is_there_already_or_not_there_is_refused_with_the_way_on(dsn: str) -> None:
    """The refusal names the command that does what was probably meant."""
    with open_registry(dsn) as connection:
        add_device(connection, PANEL)
        with pytest.raises(ConfigError, match="devices set"):
            add_device(connection, PANEL)
        with pytest.raises(ConfigError, match="devices renew"):
            add_login(connection, "shop/panel", [Grant("alarms", "shop")])
        with pytest.raises(ConfigError, match="devices list"):
            set_facts(connection, DeviceFacts("shop", "other"))
        with pytest.raises(ConfigError, match="no login"):
            renew_secret(connection, "nobody")
        with pytest.raises(ConfigError, match="not a device"):
            add_login(connection, "x", [Grant("devices", "sh/op")])
        with pytest.raises(ConfigError, match="name of a login"):
            add_login(connection, "$anonymous", [Grant("alarms", "shop")])
        assert len(list_devices(connection)) == 1


def test_an_absent_database_is_a_service_away() -> None:
    """The caller decides whether to try again."""
    nowhere = "host=127.0.0.1 port=1 dbname=x"
    with pytest.raises(ServiceAway), open_registry(nowhere):
        pass
    with pytest.raises(ServiceAway):
        LoginFollower(nowhere, KnownLogins()).refresh()


def test_the_command_adds_and_lists_and_never_shows_a_secret_twice(
    dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A person copies the password from one place, once."""
    monkeypatch.setenv("TOCSIN_DSN", dsn)
    runner = CliRunner()

    def run(*arguments: str) -> str:
        result = runner.invoke(app, arguments)
        assert result.exit_code == 0, result.output
        return result.output

    facts = [
        "--rated-current",
        "32",
        "--period",
        "60",
        "--supply",
        "mains",
        "--profile",
        "co.us",
        "--trade",
        "workshop",
    ]
    shown = json.loads(run("add", "shop/panel", *facts, "--heat-class", "A2S", "--json"))
    assert shown["username"] == "shop/panel"
    assert len(shown["password"]) >= 22, "at least 128 bits in base64"
    assert shown["password"] not in run("list") + run("list", "--json")
    run("set", "shop/panel", "--rated-current", "63", "--out-of-service")
    (listed,) = json.loads(run("list", "--json", "--enterprise", "shop"))
    assert (listed["rated_current_a"], listed["period_s"], listed["out_of_service"]) == (63.0, 60.0, True)
    assert (listed["heat_class"], listed["profiles"], listed["trade"]) == ("A2S", ["co.us"], "workshop")
    renewed = json.loads(run("renew", "shop/panel", "--json"))
    assert renewed["password"] != shown["password"]
    assert "password" in run("login", "acme", "--device", "shop/panel", "--alarms", "shop")
    assert told(dsn)[-1].out_of_service
    refused = runner.invoke(app, ["login", "nobody"])
    assert isinstance(refused.exception, ConfigError)
