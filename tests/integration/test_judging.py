"""The runner of a judge: the same events whatever is killed, cut or restarted, and however often."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import psycopg
import pytest

from schemas.alarms import AlarmEvent, decode_event
from schemas.entries import Entry, Payload, ResetAsked, Tick
from schemas.errors import CorruptState, Fenced
from schemas.readings import ReadingBatch
from streams.checkpoints import PostgresCheckpoints
from streams.judging import Judging
from streams.log.postgres import PostgresLogWriter
from streams.log.reader import PostgresLogReader
from streams.positions import PostgresPositions
from tests.counting_judge import CountingJudge
from tests.cut_link import CutLink, Fate

pytestmark = pytest.mark.integration


class Killed(Exception):
    """What a kill is to a thread: it goes no further."""


def payloads(count: int, seed: int = 7) -> list[Payload]:
    rng = Random(seed)
    made: list[Payload] = []
    for n in range(count):
        if n % 5 == 4:
            made.append(Tick(n * 1_000_000))
        elif n % 23 == 11:
            made.append(ResetAsked(f"c{n}", "k", 1))
        else:
            size = rng.randrange(1, 6)
            sensors = [rng.randrange(12) for _ in range(size)]
            made.append(ReadingBatch.of(sensors, [n] * size, [n] * size, [1.0] * size, [0] * size, [0] * size))
    return made


def wanted(said: list[Payload]) -> list[AlarmEvent]:
    judge = CountingJudge()
    return [event for n, payload in enumerate(said, 1) for event in judge.apply(Entry(n, payload)).events]


def stored(dsn: str) -> list[AlarmEvent]:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT body::text FROM alarm_events ORDER BY seq").fetchall()
    return [decode_event(row[0]) for row in rows]


@dataclass
class Run:
    """One life of the runner, in a thread, until it is stopped or dies."""

    dsn: str
    failpoint: Callable[[str], None] = lambda name: None
    checkpoint_every_s: float = 0.0
    error: BaseException | None = None
    reached: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.reader = PostgresLogReader(self.dsn, poll_s=0.001)
        self.positions = PostgresPositions(self.dsn, "engine")
        self.checkpoints = PostgresCheckpoints(self.dsn, self.positions, failpoint=self.failpoint)
        self.judging = Judging(
            CountingJudge(), self.reader, self.positions, self.checkpoints,
            checkpoint_every_s=self.checkpoint_every_s, failpoint=self.failpoint,
        )  # fmt: skip
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.judging.run()
        except (Killed, Fenced, CorruptState) as error:
            self.error = error
        finally:
            self.reader.close()
            self.positions.close()
            self.checkpoints.close()

    def until(self, dsn: str, position: int) -> Run:
        """Wait until the committed position is there or the life is over."""
        with psycopg.connect(dsn, autocommit=True) as connection:
            while self.thread.is_alive():
                row = connection.execute("SELECT position FROM positions WHERE consumer = 'engine'").fetchone()
                if row and row[0] >= position:
                    break
                self.thread.join(0.005)
        return self

    def end(self) -> Run:
        self.judging.stop()
        self.thread.join(20.0)
        assert not self.thread.is_alive()
        return self


@pytest.fixture
def log(dsn: str) -> Iterator[PostgresLogWriter]:
    with PostgresLogWriter(dsn) as writer:
        yield writer


def dying(name: str, at: int) -> Callable[[str], None]:
    passed = 0

    def failpoint(here: str) -> None:
        nonlocal passed
        passed += here == name
        if here == name and passed == at:
            raise Killed(name)

    return failpoint


def test_events_are_those_of_the_log_and_are_committed_with_the_position(dsn: str, log: PostgresLogWriter) -> None:
    """The plain case."""
    said = payloads(200)
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO commands (key, action, alarm_key, seen_step) VALUES ('c11', 'reset', 'k', 1)")
    run = Run(dsn)
    for payload in said:
        log.append([payload])
    run.until(dsn, 200).end()
    assert run.error is None
    assert stored(dsn) == wanted(said)
    assert run.judging.position == run.judging.applied == 200
    assert run.judging.judged_until_us == 199_000_000
    assert run.judging.events == len(wanted(said))
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT accepted, answer FROM commands").fetchone() == (True, "number 1")


@pytest.mark.parametrize("name", ["before_engine_commit", "after_engine_commit", "in_checkpoint"])
def test_a_kill_at_any_failpoint_changes_no_event(dsn: str, log: PostgresLogWriter, name: str) -> None:
    """Killed again and again at the same place, it comes through with the same events under the same keys."""
    said = payloads(300)
    log.append(said[:100])
    kills = 0
    for life in range(1, 8):
        run = Run(dsn, dying(name, life))
        log.append(said[life * 25 + 75 : life * 25 + 100])
        run.until(dsn, life * 25 + 100).end()
        kills += isinstance(run.error, Killed)
        assert run.error is None or isinstance(run.error, Killed)
    assert kills
    log.append(said[275:])
    assert Run(dsn).until(dsn, 300).end().error is None
    assert stored(dsn) == wanted(said)


def test_a_clean_stop_leaves_nothing_to_replay(dsn: str, log: PostgresLogWriter) -> None:
    """A second start is quick, however long the first one ran."""
    log.append(payloads(50))
    Run(dsn, checkpoint_every_s=3600.0).until(dsn, 50).end()
    again = Run(dsn).until(dsn, 50).end()
    assert again.judging.replayed == 0
    assert again.judging.applied == 50


def test_memory_is_rebuilt_from_an_older_checkpoint_when_the_newest_is_damaged(
    dsn: str, log: PostgresLogWriter
) -> None:
    """The events after it are the same."""
    said = payloads(150)
    log.append(said[:50])
    Run(dsn, checkpoint_every_s=3600.0).until(dsn, 50).end()
    log.append(said[50:100])
    Run(dsn, checkpoint_every_s=3600.0).until(dsn, 100).end()
    with psycopg.connect(dsn) as connection:
        assert connection.execute("UPDATE checkpoints SET crc = 0 WHERE position = 100").rowcount == 1
    log.append(said[100:])
    run = Run(dsn).until(dsn, 150).end()
    assert run.judging.replayed == 50
    assert stored(dsn) == wanted(said)


def test_a_log_without_the_entries_that_are_needed_is_a_stop(dsn: str, log: PostgresLogWriter) -> None:
    """Judging on with a hole would give other alarms, silently."""
    log.append(payloads(50))
    Run(dsn).until(dsn, 50).end()
    with psycopg.connect(dsn) as connection:
        connection.execute("DELETE FROM log_entries WHERE number < 10")
        connection.execute("DELETE FROM checkpoints")
    run = Run(dsn)
    run.thread.join(20.0)
    assert isinstance(run.error, CorruptState)


def test_of_two_runners_the_newer_goes_on(dsn: str, log: PostgresLogWriter) -> None:
    """Every event once, from one of them."""
    said = payloads(200)
    log.append(said[:60])
    old = Run(dsn).until(dsn, 60)
    new = Run(dsn)
    assert new.judging.ready.wait(20.0)
    log.append(said[60:])
    new.until(dsn, 200)
    old.thread.join(20.0)
    new.end()
    assert isinstance(old.error, Fenced)
    assert new.error is None
    assert stored(dsn) == wanted(said)


def test_cut_connections_and_lost_answers_change_no_event(dsn: str, log: PostgresLogWriter) -> None:
    """Every tenth packet is lost in one of three ways; what was judged is told once."""
    said = payloads(250)
    rng = Random(3)

    def decide(packet: bytes) -> Fate:
        return rng.choice([Fate.SWALLOW, Fate.ANSWER_LOST, Fate.LATE]) if rng.random() < 0.1 else Fate.PASS

    with CutLink(dsn) as link:
        run = Run(link.dsn, checkpoint_every_s=0.02)
        assert run.judging.ready.wait(20.0)
        link.decide = decide
        for start in range(0, 250, 10):
            log.append(said[start : start + 10])
            run.until(dsn, start + 5)
            link.deliver_late()
        link.decide = lambda packet: Fate.PASS
        run.until(dsn, 250).end()
    assert run.error is None
    assert stored(dsn) == wanted(said)
    assert Run(dsn).until(dsn, 250).end().error is None
    assert stored(dsn) == wanted(said)


def test_ended_backends_change_no_event(dsn: str, log: PostgresLogWriter) -> None:
    """PostgreSQL ends a session at any moment; ours come back."""
    said = payloads(200)
    query: Any = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE 'tocsin-engine%'"
    )
    run = Run(dsn, checkpoint_every_s=0.01)
    with psycopg.connect(dsn, autocommit=True) as connection:
        for start in range(0, 200, 10):
            log.append(said[start : start + 10])
            connection.execute(query)
            run.until(dsn, start + 10)
    run.end()
    assert run.error is None
    assert stored(dsn) == wanted(said)
