"""`tocsin accounts` against a real PostgreSQL: what it changes, what it prints, and what it never prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from schemas.errors import ConfigError
from schemas.viewers import MAY, Role
from tests.accounts_world import PASSWORD
from tocsin.cli import app

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _running(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_DSN", dsn)
    monkeypatch.setenv("TOCSIN_DATA", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")


def run(*words: str, given: str = "") -> Result:
    result = CliRunner().invoke(app, ["accounts", *words], input=given)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def test_an_account_is_added_changed_and_disabled() -> None:
    added = json.loads(run("add", "li", "--role", "supervisor", "--district", "310101", "--json").stdout)
    assert added["districts"] == ["310101"] and added["link"].startswith("/login/link/")
    run("change", "li", "--role", "operator", "--sees-all", "--name", "Li Wei", "--password", given=f"{PASSWORD}\n")
    (shown,) = json.loads(run("list", "--json").stdout)
    assert (shown["role"], shown["districts"], shown["name"], shown["has_password"]) == ("operator", [], "Li Wei", True)
    run("disable", "li")
    assert "disabled" in run("list").stdout
    run("change", "li", "--enable")
    assert "disabled" not in run("list").stdout


def test_what_it_prints_holds_no_secret_but_the_one_that_was_asked_for() -> None:
    run("add", "li", "--role", "owner", "--enterprise", "shop-1", "--password", given=f"{PASSWORD}\n")
    made = json.loads(run("key", "li", "till", "--json").stdout)
    link = json.loads(run("link", "li", "--json").stdout)["link"]
    run("revoke", made["id"])
    told = "".join(run(word, *more).stdout for word in ("list", "keys", "audit") for more in ([], ["--json"]))
    assert made["id"] in told
    for secret in (PASSWORD, made["key"], made["key"].split("_", 2)[2], link.split("/")[-1], "argon2"):
        assert secret not in told


def test_a_role_that_would_see_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="enterprises"):
        run("add", "wang", "--role", "owner")


def test_the_table_is_that_of_the_roles() -> None:
    assert json.loads(run("table", "--json").stdout) == {r.value: sorted(a.value for a in MAY[r]) for r in Role}
    lines = [line for line in run("table").stdout.splitlines() if "change accounts" in line]
    assert len(lines) == 1 and lines[0].count("yes") == 1
