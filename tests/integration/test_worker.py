"""A cluster's workers: each partition judged once and in order, whoever comes and goes."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from ingest.ports import Kept
from ingest.quarantine import encode_kept
from schemas.entries import EntryKind, Tick, encode
from schemas.errors import Reject
from streams.log.kafka import Record
from streams.worker.feed import Run
from tests import worker_process
from tests.waiting import until
from tests.workers_world import CountingLife, World, checkpointed, group_offsets, times
from tocsin.cluster.worker import refused_rows
from tocsin.local.kafka import Kafka

pytestmark = [pytest.mark.integration, pytest.mark.kafka]

MakeWorld = Callable[[int], World]


@pytest.fixture
def make_world(kafka: Kafka, dsn: str, tmp_path: Path) -> Iterator[MakeWorld]:
    made: list[World] = []

    def make(partitions: int) -> World:
        made.append(World(kafka, dsn, tmp_path, partitions))
        return made[-1]

    yield make
    for world in made:
        world.end()


def test_every_entry_is_judged_once_and_in_order(make_world: MakeWorld) -> None:
    """What stood in the log before the worker came, and what comes while it works."""
    world = make_world(3)
    world.say(200)
    one = world.worker()
    world.until_judged()
    world.say(200, seed=8)
    world.until_judged()
    world.check()
    for partition in range(3):
        assert [life.judge.numbers for life in one.lives if life.partition == partition] == [list(range(1, 401))]


def test_kafka_hears_only_of_what_a_checkpoint_covers(make_world: MakeWorld) -> None:
    """Whoever watches the lag must not believe that an entry is done with while a kill would have it judged again."""
    world = make_world(2)
    one = world.worker(checkpoint_every_s=1e9)
    world.say(100)
    world.until_judged()
    refuse(world, range(1))
    until(lambda: group_offsets(world, world.quarantine) == {0: 1}, "places are told to Kafka")
    assert group_offsets(world, world.topic) == {}
    one.end()
    assert checkpointed(world.dsn) == {0: 100, 1: 100}
    assert group_offsets(world, world.topic) == {0: 100, 1: 100}


def test_kafka_hears_of_each_checkpoint(make_world: MakeWorld) -> None:
    """Also of those that are saved while it works."""
    world = make_world(2)
    world.worker(checkpoint_every_s=0.05)
    for seed in range(3):
        world.say(50, seed)
        told, saved = group_offsets(world, world.topic), checkpointed(world.dsn)
        assert all(offset <= saved[partition] for partition, offset in told.items())
    world.until_judged()
    until(lambda: group_offsets(world, world.topic) == {0: 150, 1: 150}, "Kafka has heard of the last checkpoint")


def test_a_kafka_that_wants_longer_sessions_gets_them(make_world: MakeWorld) -> None:
    """Its usual shortest is 6 s, and a worker must come into the group there, too."""
    world = make_world(2)
    world.say(20)
    one = world.worker(session_s=0.01)
    world.until_judged()
    assert one.error is None


def test_a_worker_that_joins_takes_its_share_and_leaves_it_again(make_world: MakeWorld) -> None:
    """Alarms are those of the log however the partitions move: none wrong, none lost, none twice."""
    world = make_world(4)
    world.say(100)
    first = world.worker()
    world.until_judged()
    second = world.worker()
    seed = 10
    while not (first.owned() and second.owned()):
        world.say(5, seed)
        seed += 1
    world.until_shared(first, second)
    world.say(100, seed=8)
    world.until_judged()
    assert all(life.judge.numbers for life in second.lives)
    second.end()
    world.until_shared(first)
    world.say(100, seed=9)
    world.until_judged()
    world.check()


def test_what_stays_is_not_begun_anew(make_world: MakeWorld) -> None:
    """A rebalance names every partition; those that stay where they are go on without a stop."""
    world = make_world(4)
    first = world.worker()
    world.until_shared(first)
    world.say(50)
    world.until_judged()
    second = world.worker()
    world.until_shared(first, second)
    stayed = first.owned()
    world.say(50, seed=8)
    world.until_judged()
    for partition in stayed:
        assert times(first.lives, partition) == dict.fromkeys(range(1, 101), 1)


def test_memory_of_a_lost_partition_is_freed(make_world: MakeWorld) -> None:
    """An engine is most of a worker's memory, and its partition's records come next."""
    world = make_world(2)
    first = world.worker()
    world.say(50)
    world.until_judged()
    lives: dict[int, weakref.ref[CountingLife]] = {life.partition: weakref.ref(life) for life in first.lives}
    first.lives.clear()
    second = world.worker()
    world.until_shared(first, second)
    (lost,) = second.owned()

    def is_freed() -> bool:
        gc.collect()
        return lives[lost]() is None

    until(is_freed, "the lost partition's life is freed")
    (kept,) = first.owned()
    assert lives[kept]() is not None


def test_two_that_believe_they_have_a_partition_say_each_alarm_once(make_world: MakeWorld) -> None:
    """A worker that was held up learns late that its partition is another's; the fenced position holds until then."""
    world = make_world(1)
    one = world.worker()
    world.say(100)
    world.until_judged()
    stranger = world.stranger(0)
    world.say(100, seed=8)
    world.until_judged()
    stranger.end()
    world.say(100, seed=9)
    world.until_judged()
    world.check()
    assert one.worker.partitions.overtaken >= 1


def test_a_record_that_is_no_entry_is_kept_and_passed_over(make_world: MakeWorld) -> None:
    """One bad record must not end the judging of a partition, and a person must find it."""
    world = make_world(1)
    one = world.worker()
    world.say(10)
    world.log.produce_many(
        [
            Record(world.topic, b"\x01", b"no batch at all", 0),
            Record(world.topic, b"\x63", encode(Tick(1)), 0),
            Record(world.topic, bytes([EntryKind.TICK]), b"\xc1", 0),
            Record(world.topic, bytes([EntryKind.TICK]), encode(Tick(5)), 0),
        ]
    )
    until(lambda: bool(one.lives) and one.lives[0].judging.applied == 14, "what follows is judged")
    assert one.lives[0].judge.numbers == [*range(1, 11), 14]
    with psycopg.connect(world.dsn) as connection:
        rows = connection.execute("SELECT topic, partition, number, body FROM unreadable_entries ORDER BY 3").fetchall()
    assert rows == [
        (world.topic, 0, 11, b"no batch at all"), (world.topic, 0, 12, encode(Tick(1))), (world.topic, 0, 13, b"\xc1"),
    ]  # fmt: skip
    assert one.worker.unreadable == 3


def test_refused_messages_become_rows(make_world: MakeWorld) -> None:
    """What doors refuse reaches the table that people read, through whichever worker has the quarantine."""
    world = make_world(1)
    refuse(world, range(20))
    world.worker()
    until(lambda: refused(world.dsn) == list(range(20)), "all refused messages are rows")
    refuse(world, range(20, 40))
    until(lambda: refused(world.dsn) == list(range(40)), "all refused messages are rows")


def test_a_refused_message_that_cannot_be_read_is_kept_and_passed_over(make_world: MakeWorld) -> None:
    """A stranger's record on the quarantine's topic, or one of a newer door: nothing behind it may wait, or be lost."""
    world = make_world(1)
    refuse(world, range(1))
    newer = encode_kept(Kept(1, "e", "d", "t", "c", b"{", (), "door")).replace(b":1,", b":9,", 1)
    world.log.produce_many(Record(world.quarantine, b"e/d", body) for body in (b"no record", newer))
    refuse(world, range(2, 3))
    keep = refused_rows(world.dsn, world.quarantine)

    def keep_twice(run: Run) -> None:
        for _ in range(2):
            keep(run)

    one = world.worker(keep=keep_twice)
    until(lambda: refused(world.dsn) == [0, 2], "what can be read is in the quarantine")
    until(lambda: one.worker.quarantined == 4, "the worker is through")
    with psycopg.connect(world.dsn) as connection:
        rows = connection.execute(
            "SELECT topic, partition, number, kind, body, why FROM unreadable_entries ORDER BY number"
        ).fetchall()
    assert [row[:5] for row in rows] == [
        (world.quarantine, 0, 2, b"e/d", b"no record"), (world.quarantine, 0, 3, b"e/d", newer),
    ]  # fmt: skip
    assert "cannot be read" in rows[0][5]
    assert "version 9" in rows[1][5]


def test_partitions_are_judged_again_soon_after_a_clean_stop(make_world: MakeWorld, tmp_path: Path) -> None:
    """A rolling restart is no gap in the judging: 3 s are promised, and the stop itself has a part in them."""
    world = make_world(4)
    process = worker_process.start(world, tmp_path)
    rest = world.worker()
    world.say(20)
    world.until_judged()
    until(lambda: len(rest.owned()) == 2, "the partitions are shared")
    begun = time.monotonic()
    assert worker_process.end(process) == 0
    world.say(20, seed=8)
    world.until_judged()
    print(f"judged again {time.monotonic() - begun:.2f} s after a clean stop was asked for")
    world.check()


def test_partitions_are_judged_again_after_a_kill(make_world: MakeWorld, tmp_path: Path) -> None:
    """10 s are promised."""
    world = make_world(4)
    process = worker_process.start(world, tmp_path)
    rest = world.worker()
    world.say(20)
    world.until_judged()
    until(lambda: len(rest.owned()) == 2, "the partitions are shared")
    begun = time.monotonic()
    worker_process.kill(process)
    world.say(20, seed=8)
    world.until_judged()
    print(f"judged again {time.monotonic() - begun:.2f} s after a kill")
    world.check()


def refuse(world: World, numbers: range) -> None:
    why = (Reject("not_json", "", "It is no JSON.", ""),)
    kept = [Kept(number, "e", "d", "t", "c", b"{", why, "door") for number in numbers]
    world.log.produce_many(Record(world.quarantine, b"e/d", encode_kept(one)) for one in kept)


def refused(dsn: str) -> list[int]:
    with psycopg.connect(dsn) as connection:
        return [row[0] for row in connection.execute("SELECT arrival_us FROM quarantine ORDER BY 1").fetchall()]
