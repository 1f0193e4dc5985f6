"""Two generations of memory on disk, damaged in every way that a hand can."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from schemas.errors import CorruptState, Fenced, ServiceAway
from streams.checkpoints import PostgresCheckpoints
from streams.ports import Chunk, Snapshot
from streams.positions import PostgresPositions
from tests.cut_link import CutLink, Fate

pytestmark = pytest.mark.integration


@contextmanager
def consumer(dsn: str) -> Iterator[tuple[PostgresPositions, PostgresCheckpoints]]:
    positions = PostgresPositions(dsn, "engine")
    checkpoints = PostgresCheckpoints(dsn, positions)
    try:
        yield positions, checkpoints
    finally:
        positions.close()
        checkpoints.close()


def snapshot(position: int, **bodies: bytes) -> Snapshot:
    """`a0=b"x"` is chunk 0 of "a"."""
    return Snapshot(position, [Chunk(name[0], int(name[1:]), body) for name, body in bodies.items()])


def as_dict(found: Snapshot | None) -> tuple[int, dict[str, bytes]]:
    assert found is not None
    return found.position, {f"{chunk.name}{chunk.index}": chunk.body for chunk in found.chunks}


def three_generations(dsn: str) -> None:
    with consumer(dsn) as (positions, checkpoints):
        positions.load()
        positions.commit(0, 30)
        checkpoints.save(snapshot(10, a0=b"one", a1=b"one", b0=b"one"))
        checkpoints.save(snapshot(20, a0=b"two"))
        checkpoints.save(snapshot(30, a1=b"three"))


def load(dsn: str) -> tuple[int, dict[str, bytes]]:
    with consumer(dsn) as (positions, checkpoints):
        positions.load()
        return as_dict(checkpoints.load())


def execute(dsn: str, statement: str) -> int:
    with psycopg.connect(dsn) as connection:
        return connection.execute(statement).rowcount  # type: ignore[arg-type]


NEWEST = (30, {"a0": b"two", "a1": b"three", "b0": b"one"})
OLDER = (20, {"a0": b"two", "a1": b"one", "b0": b"one"})


def test_there_is_none_at_the_start(dsn: str) -> None:
    """Only a log from its first entry may be judged without one."""
    with consumer(dsn) as (positions, checkpoints):
        positions.load()
        assert checkpoints.load() is None


def test_a_load_gives_every_chunk_as_it_was_last_written(dsn: str) -> None:
    """A save holds only what changed; what is loaded is whole."""
    three_generations(dsn)
    assert load(dsn) == NEWEST


def test_two_generations_are_kept_and_no_chunk_more_than_they_need(dsn: str) -> None:
    """A week of checkpoints must not fill the disk."""
    three_generations(dsn)
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT position FROM checkpoints ORDER BY 1").fetchall() == [(20,), (30,)]
        assert connection.execute("SELECT count(*) FROM checkpoint_chunks").fetchone() == (4,)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE checkpoint_chunks SET body = 'thrae' WHERE generation = 3",
        "DELETE FROM checkpoint_chunks WHERE generation = 3",
        "UPDATE checkpoints SET manifest = 'x' WHERE generation = 3",
        "UPDATE checkpoints SET manifest = substr(manifest, 1, length(manifest) - 1) WHERE generation = 3",
        "UPDATE checkpoints SET crc = crc + 1 WHERE generation = 3",
    ],
)
def test_a_damaged_generation_falls_back_to_the_older(dsn: str, damage: str) -> None:
    """The older one and a little more of the log give the same memory; and it is told."""
    three_generations(dsn)
    assert execute(dsn, damage) == 1
    assert load(dsn) == OLDER


def test_after_a_fall_back_the_next_save_builds_on_what_was_loaded(dsn: str) -> None:
    """Nothing of the damaged generation may come back."""
    three_generations(dsn)
    execute(dsn, "UPDATE checkpoint_chunks SET body = 'thrae' WHERE generation = 3")
    with consumer(dsn) as (positions, checkpoints):
        positions.load()
        checkpoints.load()
        positions.commit(30, 40)
        checkpoints.save(snapshot(40, b0=b"four"))
    assert load(dsn) == (40, {"a0": b"two", "a1": b"one", "b0": b"four"})
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT position FROM checkpoints ORDER BY 1").fetchall() == [(20,), (40,)]
    execute(dsn, "UPDATE checkpoints SET crc = 0 WHERE position = 40")
    assert load(dsn) == OLDER


def test_no_readable_generation_is_a_stop(dsn: str) -> None:
    """A silent fresh start would forget alarms that stand and baselines of a week."""
    three_generations(dsn)
    execute(dsn, "UPDATE checkpoint_chunks SET body = 'xxx' WHERE name = 'b'")
    with consumer(dsn) as (positions, checkpoints), pytest.raises(CorruptState):
        positions.load()
        checkpoints.load()


def test_whoever_lost_the_position_saves_nothing(dsn: str) -> None:
    """Memory of an engine that was replaced may be of another log by now."""
    with consumer(dsn) as (old, old_checkpoints), consumer(dsn) as (new, new_checkpoints):
        old.load()
        old.commit(0, 10)
        new.load()
        with pytest.raises(Fenced):
            old_checkpoints.save(snapshot(10, a0=b"old"))
        new_checkpoints.save(snapshot(10, a0=b"new"))
    assert load(dsn) == (10, {"a0": b"new"})


def test_a_checkpoint_is_never_ahead_of_the_position(dsn: str) -> None:
    """It would hold the effect of entries whose events were never committed."""
    with consumer(dsn) as (positions, checkpoints):
        positions.load()
        with pytest.raises(ValueError, match="ahead"):
            checkpoints.save(snapshot(1, a0=b"x"))
        assert checkpoints.load() is None


@pytest.mark.parametrize("fate", [Fate.SWALLOW, Fate.ANSWER_LOST])
def test_a_save_whose_answer_was_lost_is_made_again(dsn: str, fate: Fate) -> None:
    """The same snapshot twice is one memory."""
    three_generations(dsn)
    with CutLink(dsn) as link, consumer(link.dsn) as (positions, checkpoints):
        positions.load()
        checkpoints.load()
        positions.commit(30, 40)
        link.decide = lambda packet: fate if b"COMMIT" in packet else Fate.PASS
        with pytest.raises(ServiceAway):
            checkpoints.save(snapshot(40, a0=b"four"))
        link.decide = lambda packet: Fate.PASS
        checkpoints.save(snapshot(40, a0=b"four"))
        checkpoints.save(snapshot(40, b0=b"five"))
    assert load(dsn) == (40, {"a0": b"four", "a1": b"three", "b0": b"five"})
    execute(dsn, "DELETE FROM checkpoints WHERE generation = (SELECT max(generation) FROM checkpoints)")
    assert load(dsn) == (40, {"a0": b"four", "a1": b"three", "b0": b"one"})
