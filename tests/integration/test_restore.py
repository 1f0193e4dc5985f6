"""A backup of PostgreSQL, made while all runs and restored later: the log in Kafka brings it up to date again."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.workers_world import World, positions, stored, wanted
from tocsin.local.kafka import Kafka
from tocsin.postgres_machine import binaries

pytestmark = [pytest.mark.integration, pytest.mark.kafka]
P = 3


@pytest.fixture
def world(kafka: Kafka, dsn: str, tmp_path: Path) -> Iterator[World]:
    made = World(kafka, dsn, tmp_path, P)
    yield made
    made.end()


@pytest.fixture
def restored(dsn: str) -> Iterator[str]:
    """An empty database beside the one that is backed up."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE DATABASE restored TEMPLATE template0")
    yield make_conninfo(dsn, dbname="restored")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DROP DATABASE restored WITH (FORCE)")


def postgres(program: str, *words: str) -> None:
    subprocess.run([str(binaries() / program), *words], check=True, capture_output=True)


def test_workers_judge_again_what_came_after_the_backup(world: World, restored: str, tmp_path: Path) -> None:
    """Kafka's own record of how far they were is ahead of the backup, and must not count."""
    dump = str(tmp_path / "tocsin.dump")
    before = world.worker()
    world.say(100)
    world.until_judged()
    world.say(100, seed=8)
    postgres("pg_dump", "--format", "custom", "--file", dump, world.dsn)
    world.say(100, seed=9)
    world.until_judged()
    before.end()
    world.check()

    postgres("pg_restore", "--dbname", restored, dump)
    behind = positions(restored)
    assert all(100 <= behind[partition] < 300 for partition in range(P)), behind
    ahead = positions(world.dsn)
    world.dsn = restored
    after = world.worker()
    world.until_judged()
    after.end()
    assert positions(restored) == ahead
    for partition, said in world.said.items():
        assert stored(restored, partition) == wanted(partition, said), "each alarm once, under its own key"
        judged = [number for life in after.lives if life.partition == partition for number in life.judge.numbers]
        assert judged == list(range(judged[0], 301)) and judged[0] <= behind[partition] + 1
