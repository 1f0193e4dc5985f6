"""A rule pack on its way from the command into a running Tocsin's log."""

from __future__ import annotations

import threading
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from schemas.entries import DeviceFacts, PackActivated, encode
from schemas.errors import ServiceAway
from streams.activation import active_pack, ahead_of, ask_to_activate, entries_of
from streams.commands import ControlDispatcher
from streams.log.postgres import PostgresLogWriter
from streams.log.reader import PostgresLogReader
from streams.packs import load_pack, parse_pack
from tocsin.commands import rules
from tocsin.commands.rules import app

GOOD = """\
[[rule]]
id = "hot"
measure = "temperature"
family = "heat"
kind = "fire"
grade = "yellow"
raise = { at_or_above = 40.0 }
clear = { below = 35.0 }
"""

pytestmark = pytest.mark.integration


def test_a_pack_asked_for_becomes_an_entry_and_the_active_one(dsn: str) -> None:
    pack = parse_pack(GOOD, "mine")
    assert active_pack(dsn) is None
    asking = ask_to_activate(dsn, pack)
    assert entries_of(dsn, asking) is None
    writer = PostgresLogWriter(dsn)
    dispatcher = ControlDispatcher(dsn, writer)
    try:
        assert dispatcher.dispatch() == 1
    finally:
        dispatcher.close()
        writer.close()
    numbers = entries_of(dsn, asking)
    assert numbers is not None
    reader = PostgresLogReader(dsn)
    (entry,) = reader.read(numbers[0] - 1)
    reader.close()
    assert entry.payload == PackActivated(pack.version, GOOD)
    found = active_pack(dsn)
    assert found is not None and found.rules == pack.rules


def test_a_pack_behind_an_import_is_waited_for_and_one_that_nobody_takes_is_not(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some thousand devices in the way are no fault; a Tocsin that does not run is one."""
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    monkeypatch.setenv("TOCSIN_DSN", dsn)
    monkeypatch.setattr(rules, "LOGGED_WITHIN_S", 0.5)
    with psycopg.connect(dsn) as connection:
        for number in range(200):
            facts = encode(DeviceFacts("shop-1", f"d{number:03}"))
            connection.execute("INSERT INTO control_outbox (body) VALUES (%s)", (facts,))
    unheard = CliRunner().invoke(app, ["activate", str(path)]).exception
    assert isinstance(unheard, ServiceAway) and "Is `tocsin up` running?" in str(unheard)
    asking = ask_to_activate(dsn, load_pack(path))
    assert ahead_of(dsn, asking) == 201
    with PostgresLogWriter(dsn) as writer:
        dispatcher, ended = ControlDispatcher(dsn, writer), threading.Event()
        thread = threading.Thread(target=dispatcher.run, args=(ended,))
        thread.start()
        try:
            said = CliRunner().invoke(app, ["activate", str(path)])
        finally:
            ended.set()
            thread.join(20.0)
    assert "is active" in said.stdout, said.exception
    assert ahead_of(dsn, asking) == 0


def test_a_database_that_is_away_is_told(unused_dsn: str = "host=127.0.0.1 port=1 dbname=x") -> None:
    with pytest.raises(ServiceAway):
        active_pack(unused_dsn)


def test_the_command_checks_and_lists(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    said = CliRunner().invoke(app, ["check", str(path)]).stdout
    assert said.startswith(f"{path} is good: 1 rules"), "in one line, however long the path is"
    listed = CliRunner().invoke(app, ["list", "--json"]).stdout
    assert all(f'"{rule.id}"' in listed for rule in load_pack().rules)
    path.write_text(GOOD.replace("at_or_above", "at_or_abov"))
    error = CliRunner().invoke(app, ["check", str(path)]).exception
    assert "line 7" in str(error) and "Did you mean `at_or_above`?" in str(error)
