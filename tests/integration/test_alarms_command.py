"""`tocsin alarms` on a real PostgreSQL."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import psycopg
import pytest
from typer.testing import CliRunner

from alerting.people import NotPossible, UnknownAlarm
from alerting.routes import Recipient, Routes
from schemas.alarms import Grade, State
from schemas.errors import ConfigError
from tests.alerting_world import HandClock, HeldChannel, Story, event, make_desk
from tocsin.commands.alarms import app


@pytest.fixture
def keys(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A red latched alarm, a yellow one, and one that has ended."""
    monkeypatch.setenv("TOCSIN_DSN", dsn)
    desk = make_desk(dsn, Routes((Recipient("ops", "held"),)), HandClock(), HeldChannel("held"))
    told = Story(dsn).tell(
        event(State.RAISED, Grade.YELLOW, device="b", enterprise="shop-2"),
        event(State.RAISED, Grade.RED, device="a", latched=True),
        event(State.RAISED, Grade.RED, device="c"),
        event(State.CLEARED, Grade.RED, device="c", step=2),
    )
    desk.serve_once()
    desk.wait_for_ledger(10.0)
    yield [told[1].key, told[0].key, told[2].key]
    desk.stop()
    desk.run()


def tocsin_alarms(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False, standalone_mode=False)
    return result.stdout


def unwrapped(text: str) -> str:
    """What a person reads, however wide the terminal is."""
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ([], [0, 1]),
        (["--all"], [0, 1, 2]),
        (["--enterprise", "shop-2"], [1]),
        (["--grade", "red", "--all"], [0, 2]),
        (["--kind", "gas"], []),
        (["--limit", "1"], [0]),
    ],
)
def test_the_list_is_worst_first_and_can_be_narrowed(keys: list[str], arguments: list[str], wanted: list[int]) -> None:
    listed = json.loads(tocsin_alarms("list", "--json", *arguments))
    assert [alarm["key"] for alarm in listed] == [keys[n] for n in wanted]


def test_the_list_and_one_alarm_can_be_read_by_a_person(keys: list[str]) -> None:
    assert keys[0] in tocsin_alarms("list")
    shown = unwrapped(tocsin_alarms("show", keys[0]))
    assert "step 1 raised red, heat.fire: 95 Cel (limit 56)" in shown and "first red" in shown


def test_an_alarm_is_acknowledged(keys: list[str]) -> None:
    acknowledged = json.loads(tocsin_alarms("ack", keys[0], "--by", "Li Wei", "--note", "on my way", "--json"))
    assert acknowledged["standing"] == "active_acknowledged"
    assert "acknowledged by Li Wei: on my way" in unwrapped(tocsin_alarms("show", keys[0]))


@pytest.mark.parametrize("accepted", [True, False])
def test_a_reset_waits_for_the_engines_answer(keys: list[str], dsn: str, accepted: bool) -> None:
    asked = threading.Event()

    def engine() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("LISTEN tocsin_control")
            asked.set()
            list(connection.notifies(timeout=10, stop_after=1))
            connection.execute("UPDATE commands SET accepted = %s, answer = 'still active'", [accepted])

    thread = threading.Thread(target=engine, daemon=True)
    thread.start()
    asked.wait(10)
    try:
        if accepted:
            assert tocsin_alarms("reset", keys[0], "--by", "Li Wei") == "reset.\n"
        else:
            with pytest.raises(NotPossible, match="still active"):
                tocsin_alarms("reset", keys[0], "--by", "Li Wei")
    finally:
        thread.join(10)


def test_a_reset_without_an_answer_says_that_it_is_asked(keys: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin.commands.alarms.ANSWER_WITHIN_S", 0.1)
    assert tocsin_alarms("reset", keys[0], "--by", "Li Wei").startswith("asked;")


def test_what_is_wrong_is_said(keys: list[str]) -> None:
    with pytest.raises(UnknownAlarm):
        tocsin_alarms("show", "0" * 32)
    with pytest.raises(ConfigError, match="green"):
        tocsin_alarms("list", "--grade", "green")
    with pytest.raises(ConfigError, match="nobody"):
        tocsin_alarms("ack", keys[0], "--by", " ")
    with pytest.raises(NotPossible, match="no step 9"):
        tocsin_alarms("ack", keys[0], "--by", "Li Wei", "--step", "9")
