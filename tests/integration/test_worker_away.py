"""A worker whose services go away and come back: it waits, says so, and nothing is lost or said twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.quarantine import keep_records
from schemas.errors import ServiceAway
from streams.store.edge import session
from streams.worker.feed import Run
from tests.cut_link import CutLink, Fate
from tests.integration.test_worker import MakeWorld, make_world, refuse, refused
from tests.waiting import until
from tests.workers_world import World
from tocsin.local.kafka import Kafka

__all__ = ["make_world"]
pytestmark = [pytest.mark.integration, pytest.mark.kafka]


@pytest.fixture
def link(dsn: str) -> Iterator[CutLink]:
    with CutLink(dsn) as made:
        yield made


def test_postgres_away_and_back(link: CutLink, make_world: MakeWorld) -> None:
    """What was judged and not committed is committed once, what comes meanwhile is judged after."""
    world = make_world(2)
    world.worker(dsn=link.dsn)
    world.say(50)
    world.until_judged()
    link.decide = lambda packet: Fate.SWALLOW
    link.cut()
    world.say(200, seed=8)
    link.until_cut()
    link.decide = lambda packet: Fate.PASS
    world.until_judged()
    world.check()


def test_refused_messages_wait_for_postgres(make_world: MakeWorld) -> None:
    """Doors go on refusing while PostgreSQL is away; the records stand in Kafka until there is a table again."""
    world = make_world(1)
    is_away, was_asked = threading.Event(), threading.Event()

    def keep(run: Run) -> None:
        if is_away.is_set():
            was_asked.set()
            raise ServiceAway("PostgreSQL", "gone")
        with session(world.dsn, "test") as connection:
            keep_records(connection, [record.value or b"" for record in run.records])

    one = world.worker(keep=keep)
    refuse(world, range(5))
    until(lambda: refused(world.dsn) == list(range(5)), "the first are rows")
    is_away.set()
    refuse(world, range(5, 40))
    assert was_asked.wait(30.0)
    assert refused(world.dsn) == list(range(5))
    is_away.clear()
    until(lambda: refused(world.dsn) == list(range(40)), "all are rows")
    assert one.worker.quarantined == 40


def test_refused_messages_are_kept_by_the_next_worker(make_world: MakeWorld) -> None:
    """A worker that ends while PostgreSQL is away leaves them where they are."""
    world = make_world(1)
    was_asked = threading.Event()

    def keep(run: Run) -> None:
        was_asked.set()
        raise ServiceAway("PostgreSQL", "gone")

    first = world.worker(keep=keep)
    refuse(world, range(10))
    assert was_asked.wait(30.0)
    first.end()
    world.worker()
    until(lambda: refused(world.dsn) == list(range(10)), "all are rows")


def test_kafka_away_and_back(dsn: str, tmp_path: Path) -> None:
    """Partitions are judged on from where they were, by the worker that had them or by another."""
    with Kafka(tmp_path / "kafka") as kafka:
        world = World(kafka, dsn, tmp_path, 2)
        try:
            one = world.worker()
            world.say(100)
            world.until_judged()
            kafka.kill()
            kafka.start()
            world.say(100, seed=8)
            world.until_judged()
            world.check()
            assert one.error is None
        finally:
            world.end()
