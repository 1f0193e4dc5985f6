"""A partition's feed: every record once and in order, wherever the consumer was when it fetched them."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from random import Random
from typing import NamedTuple

import pytest

from schemas.entries import EntryKind, Tick, encode
from schemas.errors import CorruptState, ServiceAway
from streams.worker.feed import Feed, Run, Steering


class Stored(NamedTuple):
    """A record as Kafka's client gives it."""

    offset: int
    key: bytes | None
    value: bytes | None


def stored(offset: int) -> Stored:
    return Stored(offset, bytes([EntryKind.TICK]), encode(Tick(offset)))


class Consumer:
    """A consumer of one partition that is steered as a feed asks, and does what consumers do: it is late, or astray."""

    def __init__(self, log: list[Stored], *, limit_bytes: int = 1 << 20, turns: itertools.count[int] | None = None):
        self.log = log
        self.kept: list[int] = []
        self.changes = 0
        self.feed = Feed(
            3, turns or itertools.count(1), unreadable=self._keep, changed=self._changed, limit_bytes=limit_bytes
        )
        self.at = 0
        self.turn = 0
        self.flows = False
        self.late: deque[Run] = deque()

    def _keep(self, partition: int, number: int, key: bytes, value: bytes, why: str) -> None:
        self.kept.append(number)

    def _changed(self) -> None:
        self.changes += 1
        self.steer()

    def steer(self, *, afresh: bool = False) -> Steering:
        steering = self.feed.steer(afresh=afresh)
        self.flows = steering.flows
        if steering.seek is not None:
            self.turn, self.at = steering.seek
        return steering

    def fetch(self, most: int) -> None:
        """Put on its way what is next, if it may flow."""
        records = [record for record in self.log if record.offset >= self.at][:most]
        if self.flows and records:
            self.at = records[-1].offset + 1
            self.late.append(Run(3, self.turn, records))

    def deliver(self) -> None:
        if self.late and self.feed.put(self.late.popleft()):
            self.steer()

    def bring(self, most: int = 100) -> None:
        self.fetch(most)
        while self.late:
            self.deliver()


def numbers(feed: Feed, after: int, limit: int = 64) -> list[int]:
    return [entry.number for entry in feed.read(after, limit)]


def test_nothing_flows_before_the_reader_says_where() -> None:
    """Kafka's own place for the group is not ours."""
    consumer = Consumer([stored(n) for n in range(10)])
    assert consumer.steer() == Steering(False, None)
    assert not consumer.feed.wait(4, 0.0)
    assert consumer.flows
    consumer.bring()
    assert numbers(consumer.feed, 4) == [5, 6, 7, 8, 9, 10]


def test_what_a_rebalance_fetched_from_elsewhere_is_dropped() -> None:
    """Records of an earlier turn may repeat or skip others."""
    consumer = Consumer([stored(n) for n in range(10)])
    consumer.feed.wait(0, 0.0)
    consumer.fetch(4)
    consumer.steer(afresh=True)
    consumer.bring()
    assert numbers(consumer.feed, 0) == list(range(1, 11))


def test_feeds_of_one_consumer_never_share_a_turn() -> None:
    """A partition that comes back to a worker is not read by the seeks of the time before."""
    turns = itertools.count(1)
    first = Consumer([stored(0)], turns=turns)
    first.feed.wait(0, 0.0)
    for _ in range(3):
        first.steer(afresh=True)
    second = Consumer([stored(0)], turns=turns)
    second.feed.wait(0, 0.0)
    assert second.turn > first.turn


def test_a_hole_is_fetched_again_and_believed_the_second_time() -> None:
    """A hole may be a bad moment of the client's, or what Kafka holds: transactions and compaction leave some."""
    consumer = Consumer([stored(n) for n in (0, 1, 5, 6)])
    consumer.feed.wait(0, 0.0)
    consumer.bring(2)
    consumer.bring()
    assert numbers(consumer.feed, 0) == [1, 2]
    consumer.bring()
    assert numbers(consumer.feed, 2) == [6, 7]


def test_a_full_feed_stops_the_flow_until_half_is_read() -> None:
    """PostgreSQL that is away must not fill our memory."""
    consumer = Consumer([stored(n) for n in range(100)], limit_bytes=2000)
    consumer.feed.wait(0, 0.0)
    consumer.bring(20)
    assert not consumer.flows
    assert numbers(consumer.feed, 0, 2) == [1, 2]
    assert not consumer.flows
    assert numbers(consumer.feed, 2, 18) == list(range(3, 21))
    assert consumer.flows
    consumer.bring(1)
    assert numbers(consumer.feed, 20) == [21]


def test_a_record_that_is_no_entry_is_kept_and_passed_over() -> None:
    """One bad record must not end a partition."""
    bad = [Stored(1, None, b"x"), Stored(2, b"\x63", b"x"), Stored(3, bytes([EntryKind.TICK]), None)]
    consumer = Consumer([stored(0), *bad, stored(4)])
    consumer.feed.wait(0, 0.0)
    consumer.bring()
    assert numbers(consumer.feed, 0) == [1, 5]
    assert consumer.kept == [2, 3, 4]
    assert consumer.feed.unreadable == 3
    assert not consumer.feed.wait(5, 0.0)
    assert numbers(consumer.feed, 5) == []


def test_an_entry_that_must_be_there_is_read_behind_a_bad_record() -> None:
    """A replay takes an empty answer for the end of the log, and a bad record may have come alone."""
    consumer = Consumer([Stored(0, None, b"x"), stored(1)])
    late = threading.Timer(0.05, consumer.bring)

    def keep(*_: object) -> None:
        late.start()

    consumer.feed._unreadable = keep
    consumer.feed.wait(0, 0.0)
    assert numbers(consumer.feed, 0) == []
    consumer.bring(1)
    assert numbers(consumer.feed, 0) == [2]
    late.join()


def test_a_bad_record_waits_while_its_keeper_is_away() -> None:
    """It is taken out once it is kept, and not before."""
    consumer = Consumer([Stored(0, None, b"x"), stored(1)])
    away = [ServiceAway("PostgreSQL", "gone")]

    def keep(*_: object) -> None:
        if away:
            raise away.pop()

    consumer.feed._unreadable = keep
    consumer.feed.wait(0, 0.0)
    consumer.bring()
    with pytest.raises(ServiceAway):
        consumer.feed.read(0)
    assert numbers(consumer.feed, 0) == [2]


def test_what_kafka_no_longer_holds_is_a_stop() -> None:
    """Judging on behind a gap would be a silent wrong answer."""
    consumer = Consumer([])
    consumer.feed.wait(7, 0.0)
    consumer.feed.not_there(3)
    assert not consumer.feed.wait(7, 0.0)
    consumer.feed.not_there(7)
    with pytest.raises(CorruptState, match="entry 8 of partition 3"):
        consumer.feed.read(7)


def test_interrupt_ends_a_wait() -> None:
    """A clean stop does not wait for a record that may never come."""
    consumer = Consumer([])
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(consumer.feed.wait(0, 60.0)))
    thread.start()
    consumer.feed.interrupt()
    thread.join(30.0)
    assert found == [False]


@pytest.mark.parametrize("seed", range(20))
def test_every_entry_comes_once_and_in_order(seed: int) -> None:
    """Late runs, rebalances, full feeds and readers that go back: the reader is given what follows what it has."""
    rng = Random(seed)
    consumer = Consumer([stored(n) for n in range(200)], limit_bytes=rng.choice((600, 5000, 1 << 20)))
    after = 0
    for _ in range(20_000):
        match rng.randrange(10):
            case 0 | 1 | 2:
                consumer.fetch(rng.randrange(1, 20))
            case 3 | 4 | 5:
                consumer.deliver()
            case 6 if rng.random() < 0.1:
                consumer.at = rng.randrange(200)
                consumer.steer(afresh=True)
            case 7 if rng.random() < 0.05:
                after = max(0, after - rng.randrange(20))
            case _:
                if consumer.feed.wait(after, 0.0):
                    got = numbers(consumer.feed, after, rng.randrange(1, 30))
                    assert got == list(range(after + 1, after + 1 + len(got)))
                    after += len(got)
        if after == 200:
            break
    assert after == 200
