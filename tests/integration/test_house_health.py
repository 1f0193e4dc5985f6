"""How the parts of the house stand: what is wrong is named, with what to do, in both languages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from console.house_health import Health, HouseHealth
from console.words import LANGUAGES, words_of
from schemas.alarms import Grade, State
from schemas.viewers import NotAllowed, house
from tests.alerting_world import Story, event
from tests.watching_world import DUTY, NORTH, OWNER

pytestmark = pytest.mark.integration
SAYS = ("house.say.", "house.mend.")
GRUMBLE = "store: nothing stored for 70 s {braces}"


class Clock:
    """Each look is a minute after the one before."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(dsn: str, clock: Clock, tmp_path: Path) -> Iterator[HouseHealth]:
    made = HouseHealth(dsn, ask=lambda: {"door": "", "store": GRUMBLE}, folder=tmp_path, now=clock)
    yield made
    made.close()


def standing(found: Health) -> dict[str, str]:
    return {part.part: part.standing for part in found.parts}


def test_what_is_wrong_is_named_and_what_to_do(health: HouseHealth, clock: Clock, dsn: str) -> None:
    """At three in the morning nobody looks for a manual."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("INSERT INTO positions VALUES ('engine', 0, 5, 0), ('desk', 0, 0, 0)")
        connection.execute("UPDATE store_status SET written_at = now()")
        connection.execute(
            "INSERT INTO notifications (id, partition, enterprise, recipient, channel, at_once, status, planned_us,"
            " due_us, deadline_us, overdue) VALUES ('n', 0, 'shop-1', 'ops', 'sms', true, 'queued', 1, 1, 1, true)"
        )
        connection.execute(
            "INSERT INTO bridges (name, run, seen_at) VALUES ('south', 'r', now() - interval '1 minute')"
        )
        connection.execute("INSERT INTO doors (name, run) VALUES ('east', 'r')")
        connection.execute(
            "INSERT INTO commands (key, action, alarm_key, seen_step, asked_at)"
            " VALUES ('c', 'reset', 'k', 1, now() - interval '1 minute')"
        )
        Story(dsn).tell(event(State.RAISED, Grade.RED))
        connection.execute("UPDATE alarm_events SET judged_at = now() - interval '1 minute'")
    first = health.look(house())
    assert {part: stands for part, stands in standing(first).items() if part != "disk"} == {
        "postgresql": "ok", "log": "unknown", "engine": "ok", "desk": "wrong", "outbox": "wrong", "commands": "warning",
        "store": "ok", "doors": "ok", "bridges": "wrong", "quarantine": "ok", "process": "wrong",
    }  # fmt: skip
    assert first.standing == "wrong"
    parts = {part.part: part for part in first.parts}
    assert parts["desk"].figures["events_waiting"] == 1 and "call by telephone" in parts["desk"].mend["en"].lower()
    assert parts["bridges"].said["en"].startswith("south has not been heard")
    assert GRUMBLE in parts["process"].said["zh"]
    for part in first.parts:
        assert all(part.name[language] and part.said[language] for language in LANGUAGES)
        if part.standing in ("warning", "wrong"):
            assert all(part.mend[language] for language in LANGUAGES), part.part
    clock.now_s += 60
    assert standing(health.look(house()))["engine"] == "wrong", "its position has not moved for a minute"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("UPDATE positions SET position = 6 WHERE consumer = 'engine'")
    clock.now_s += 60
    assert standing(health.look(house()))["engine"] == "ok"


def test_a_database_that_is_away_is_an_answer(tmp_path: Path) -> None:
    """The page that tells what to do must not fail with what has failed."""

    def silent() -> dict[str, str]:
        raise OSError

    health = HouseHealth(f"host={tmp_path} dbname=none password=hush", ask=silent)
    found = health.look(DUTY)
    assert standing(found) == {"postgresql": "wrong", "process": "wrong"}
    assert "hush" not in str(found) and str(tmp_path) not in str(found)
    for viewer in (OWNER, NORTH):
        with pytest.raises(NotAllowed):
            health.look(viewer)
    health.close()


def test_every_part_is_said_in_both_languages() -> None:
    """A key that is missing in one is found by whoever reads it, at night."""
    keys = {language: set(words_of(language).of("house")) for language in LANGUAGES}
    assert keys["zh"] == keys["en"]
    said, mend = ({key.split(".", 2)[2] for key in keys["zh"] if key.startswith(head)} for head in SAYS)
    assert mend == said - {"ok", "unknown"}
