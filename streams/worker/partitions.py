"""The partitions that a worker has: for each a thread, a feed, and one life after the other while it is ours."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

import structlog

from schemas.errors import Fenced
from streams.worker.feed import Feed
from streams.worker.life import MakeLife, PartitionLife

_AGAIN_S = 0.2
_log = structlog.get_logger(__name__)


class Partitions:
    """Starts and ends lives as partitions come and go; every method from any thread."""

    def __init__(
        self,
        make_life: MakeLife,
        make_feed: Callable[[int], Feed],
        drop_feed: Callable[[Feed], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """make_feed: of a partition; the new feed takes the place of the one before.

        drop_feed: told of each feed that nobody reads any more.  failed: told what ended a life for good.
        """
        self._make_life = make_life
        self._make_feed = make_feed
        self._drop_feed = drop_feed
        self._failed = failed
        self._lock = threading.Lock()
        self._seats: dict[int, _Seat] = {}
        self.lives = 0
        self.overtaken = 0
        """Counts of this process: lives begun, and those that ended because another had the partition."""

    def have(self, partitions: Iterable[int]) -> None:
        """These are ours: begin with the new ones, end those that are none of them, and let the others be."""
        wanted = set(partitions)
        with self._lock:
            for partition in wanted:
                if partition not in self._seats:
                    self._seats[partition] = _Seat(partition, self)
                self._seats[partition].take()
            for partition, seat in self._seats.items():
                if partition not in wanted:
                    seat.give_up()

    def stop(self, timeout_s: float) -> bool:
        """End all lives; returns whether they have ended."""
        self.have(())
        until = time.monotonic() + timeout_s
        return all(seat.ended.wait(max(0.0, until - time.monotonic())) for seat in list(self._seats.values()))

    def owned(self) -> list[int]:
        with self._lock:
            return sorted(partition for partition, seat in self._seats.items() if seat.is_wanted)

    def checkpointed(self) -> dict[int, int]:
        """Number of the last entry that a checkpoint is known to cover, for the partitions that were ever ours."""
        with self._lock:
            seats = dict(self._seats)
        covered = {partition: seat.checkpointed() for partition, seat in seats.items()}
        return {partition: number for partition, number in covered.items() if number}


class _Seat:
    """One partition; its thread runs as long as the partition is wanted."""

    def __init__(self, partition: int, owner: Partitions) -> None:
        self._partition = partition
        self._owner = owner
        self._lock = threading.Lock()
        self._again = threading.Event()
        self._feed: Feed | None = None
        self._life: PartitionLife | None = None
        self._covered = 0
        """By the last checkpoint of an earlier life."""
        self.is_wanted = False
        self.ended = threading.Event()
        self.ended.set()

    def take(self) -> None:
        with self._lock:
            if self.is_wanted:
                return
            self.is_wanted = True
            self._again.clear()
            if self.ended.is_set():
                self.ended.clear()
                threading.Thread(target=self._run, name=f"partition-{self._partition}", daemon=True).start()

    def give_up(self) -> None:
        with self._lock:
            self.is_wanted = False
            self._again.set()
            life, feed = self._life, self._feed
        if life is not None:
            life.stop()
        if feed is not None:
            feed.interrupt()

    def checkpointed(self) -> int:
        life = self._life
        return max(self._covered, life.checkpointed if life is not None else 0)

    def _run(self) -> None:
        while self._begin():
            life, feed = self._life, self._feed
            assert life is not None
            assert feed is not None
            pause_s: float | None = 0.0
            try:
                life.run()
            except Fenced as error:
                self._owner.overtaken += 1
                _log.warning("partition_overtaken", partition=self._partition, error=error.what)
                pause_s = _AGAIN_S
            except BaseException as error:  # noqa: BLE001 - handed on
                self._owner._failed(error)
                pause_s = None
            # An engine's memory and the records that it did not read: nothing of it stays.
            self._covered = self.checkpointed()
            self._life = self._feed = None
            del life
            self._owner._drop_feed(feed)
            self._again.wait(pause_s)
        _log.info("partition_given_up", partition=self._partition)

    def _begin(self) -> bool:
        """Make the next life, or end the thread."""
        with self._lock:
            if not self.is_wanted:
                self.ended.set()
                return False
            try:
                self._feed = self._owner._make_feed(self._partition)
                self._life = self._owner._make_life(self._partition, self._feed)
            except BaseException as error:  # noqa: BLE001 - handed on
                self._owner._failed(error)
                self.ended.set()
                return False
            self._owner.lives += 1
        _log.info("partition_taken", partition=self._partition)
        return True
