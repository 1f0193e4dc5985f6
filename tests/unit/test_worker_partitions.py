"""The partitions of a worker: none is held that nobody judges."""

from __future__ import annotations

import itertools
import threading
from queue import SimpleQueue
from typing import Never

from streams.ports import LogReader
from streams.worker.feed import Feed
from streams.worker.partitions import Partitions


def test_a_life_that_cannot_be_made_ends_the_worker() -> None:
    """Kafka would believe the partition in good hands, and nobody would hear that it is not judged."""
    failures: SimpleQueue[BaseException] = SimpleQueue()

    def make_life(partition: int, reader: LogReader) -> Never:
        raise MemoryError("no address space")

    def make_feed(partition: int) -> Feed:
        return Feed(partition, itertools.count(1), unreadable=lambda *_: None, changed=lambda: None)

    partitions = Partitions(make_life, make_feed, lambda feed: None, failures.put)
    partitions.have([3])
    assert str(failures.get(timeout=10.0)) == "no address space"
    assert partitions.stop(10.0)
    for thread in threading.enumerate():
        if thread.name == "partition-3":
            thread.join(10.0)
    assert partitions.lives == 0
