"""The fenced place of a consumer."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from schemas.alarms import AlarmEvent, Answer, decode_event
from schemas.entries import Entry
from schemas.errors import CorruptState, Fenced, ServiceAway
from schemas.readings import ReadingBatch
from streams.positions import PostgresPositions
from tests.counting_judge import CountingJudge
from tests.cut_link import CutLink, Fate

pytestmark = pytest.mark.integration


def events(count: int = 1, *, start: int = 0) -> list[AlarmEvent]:
    made: list[AlarmEvent] = []
    judge = CountingJudge()
    for n in range(start, start + count):
        entry = Entry(n + 1, ReadingBatch.of([7] * 3, [n] * 3, [n] * 3, [1] * 3, [0] * 3, [0] * 3))
        made.extend(judge.apply(entry).events)
    return made


def rows(dsn: str, query: str) -> list[Any]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(query).fetchall()  # type: ignore[arg-type]


def test_a_position_starts_at_zero_and_moves_only_from_where_it_is_expected(dsn: str) -> None:
    """A consumer that lost count must not overwrite one that did not."""
    positions = PostgresPositions(dsn, "engine")
    assert positions.load() == 0
    positions.commit(0, 5)
    with pytest.raises(Fenced):
        positions.commit(0, 6)
    assert positions.committed() == 5
    positions.close()


def test_the_one_who_loaded_last_goes_on_and_the_other_is_fenced(dsn: str) -> None:
    """Two engines on one log would tell every alarm twice."""
    old, new = PostgresPositions(dsn, "engine"), PostgresPositions(dsn, "engine")
    old.load()
    old.commit(0, 1)
    assert new.load() == 1
    with pytest.raises(Fenced):
        old.commit(1, 2, events())
    with pytest.raises(Fenced):
        old.committed()
    new.commit(1, 2)
    assert rows(dsn, "SELECT count(*) FROM alarm_events") == [(0,)]
    old.close()
    new.close()


def test_events_answers_and_position_are_one_commit(dsn: str) -> None:
    """A position that stands for an event that is not there would lose it for ever."""
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO commands (key, action, alarm_key, seen_step) VALUES ('c', 'reset', 'k', 1)")
    positions = PostgresPositions(dsn, "engine")
    positions.load()
    said = events(2)
    positions.commit(0, 9, said, [Answer("c", False, "raised again at step 3")])
    with pytest.raises(CorruptState, match="twice"):
        positions.commit(9, 10, said)
    assert positions.committed() == 9
    stored = rows(dsn, "SELECT key, step, seq, kind, grade, active, body::text FROM alarm_events ORDER BY seq")
    assert [decode_event(row[6]) for row in stored] == said
    assert stored[0][:6] == (said[0].key, 1, 1, "fire", 4, True)
    assert rows(dsn, "SELECT accepted, answer FROM commands") == [(False, "raised again at step 3")]
    positions.close()


@pytest.mark.parametrize("fate", [Fate.SWALLOW, Fate.ANSWER_LOST, Fate.LATE])
@pytest.mark.parametrize("count", [0, 3])
def test_a_lost_answer_is_settled_whatever_became_of_the_request(dsn: str, fate: Fate, count: int) -> None:
    """The commit is there once, and one that arrives after it was asked about comes too late."""
    said = events(count)
    with CutLink(dsn) as link:
        positions = PostgresPositions(link.dsn, "engine")
        positions.load()
        # The statement's first run is prepared and sent in two packets; afterwards it is one.
        positions.commit(0, 1, events(1, start=50)[:0])
        link.decide = lambda packet: fate if b"engine" in packet else Fate.PASS
        with pytest.raises(ServiceAway):
            positions.commit(1, 4, said)
        link.decide = lambda packet: Fate.PASS
        assert positions.committed() == (4 if fate is Fate.ANSWER_LOST else 1)
        link.deliver_late()
        if positions.committed() == 1:
            positions.commit(1, 4, said)
        assert positions.committed() == 4
        positions.close()
    assert rows(dsn, "SELECT count(*) FROM alarm_events") == [(count,)]
