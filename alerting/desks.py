"""The desks of one process: it serves its fair share of the partitions, and takes over those of a process that dies.

Every desk process holds a shared advisory lock, and every desk the lock of its partition, so who lives and what is
served stands in `pg_locks` and goes with the sessions: nothing is leased. Each process looks round twice a second and
computes the same shares from what it sees. One that has too many stops the desks it took last; one that has too few
takes partitions that nobody serves. The lock of a partition decides, whatever anybody saw. A process that hangs keeps
its sessions: the others end them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

import structlog
from structlog.contextvars import bound_contextvars

from alerting.database import Connection, Database, session_name
from alerting.desk import Desk
from alerting.sql import load_queries
from alerting.store import announce
from schemas.errors import ServiceAway

SEATS = "tocsin_desks"
"""Channel of NOTIFY: a desk process came or went, or a partition was given up."""
_LOOK_S = 0.5
_UNSERVED_S = 5.0
_STOP_S = 3.0
_SILENT_S = 10.0
"""A desk asks PostgreSQL something every second; one that has not for so long hangs, and nobody else gets its lock."""
_Q = load_queries("alerting")
_log = structlog.get_logger("alerting.desks")


class Round(NamedTuple):
    """What a look round sees: the session that looks, those of all living desk processes, the partitions served."""

    mine: int
    living: Sequence[int]
    served: frozenset[int]


def look_round(connection: Connection) -> Round:
    """Who lives and what is served; raises nothing of its own."""
    row = connection.execute(_Q["look_round"]).fetchone()
    assert row is not None
    return Round(row[0], row[1], frozenset(row[2]))


def share_of(partitions: int, living: Sequence[int], mine: int) -> int:
    """How many partitions the process of session `mine` should serve; over all of `living` they add up. Pure."""
    rank = sorted(living).index(mine)
    each, left = divmod(partitions, len(living))
    return each + (rank < left)


def wanted_of(partitions: int, seen: Round, share: int, have: int) -> list[int]:
    """Partitions to take now: some that nobody serves. Pure.

    Each process begins at another place, so that two who look at once seldom want the same.
    """
    begin = sorted(seen.living).index(seen.mine) * partitions // len(seen.living)
    order = [(begin + step) % partitions for step in range(partitions)]
    return [partition for partition in order if partition not in seen.served][: max(share - have, 0)]


class Desks:
    """`run` blocks until `stop`. make_desk: a new desk of a partition, made with `shares`.  instance: our name."""

    def __init__(self, dsn: str, partitions: int, make_desk: Callable[[int], Desk], instance: str = "") -> None:
        self._partitions = partitions
        self._make_desk = make_desk
        self._database = Database(dsn, session_name("desks", instance), self._sit_down)
        self._condition = threading.Condition()
        self._woken = False
        self._stopping = False
        self._desks: dict[int, Desk] = {}
        """By partition, in the order in which they were taken."""
        self._threads: dict[int, threading.Thread] = {}
        self._leaving: set[int] = set()
        self._gave_up = False
        """Somebody waits for a partition that was ours: to be told."""
        self._failure: BaseException | None = None
        self._trouble = "starting"
        self._all_served_at = time.monotonic()
        self.taken = 0
        self.given_up = 0
        """Counts of this process: partitions taken, and given up while it went on."""

    # Called from outside.

    def wake(self, partition: int) -> None:
        """There are new alarm events in the partition."""
        desk = self._desks.get(partition)
        if desk is not None:
            desk.wake()

    def look_again(self, partition: int = 0) -> None:
        """A desk process came or went, or gave something up."""
        with self._condition:
            self._woken = True
            self._condition.notify()

    def stop(self) -> None:
        """End `run`."""
        with self._condition:
            self._stopping = True
            self._condition.notify()

    def trouble(self) -> str:
        """Empty when all is well, else what is wrong, for a person."""
        said = {partition: desk.trouble() for partition, desk in sorted(self.held().items())}
        troubles = [f"partition {partition}: {trouble}" for partition, trouble in said.items() if trouble]
        return "; ".join([self._trouble, *troubles] if self._trouble else troubles)

    def held(self) -> dict[int, Desk]:
        """The partitions that this process serves."""
        with self._condition:
            return dict(self._desks)

    # The process.

    def run(self) -> None:
        """Serve until `stop`; PostgreSQL away is waited for. Raises what ended a desk, if it was not told to end."""
        try:
            while not self._stopping:
                if self._failure is not None:
                    raise self._failure
                try:
                    self._look_round()
                except ServiceAway as error:
                    self._trouble = f"{error.service} is away"
                self._wait()
        finally:
            self._stop_all()

    def _look_round(self) -> None:
        with self._database.transaction() as connection:
            if self._gave_up:
                announce(connection, SEATS, 0)
            connection.execute(_Q["end_silent"], {"silent_s": _SILENT_S})
            seen = look_round(connection)
        self._gave_up = False
        share = share_of(self._partitions, seen.living, seen.mine)
        with self._condition:
            held = [partition for partition in self._desks if partition not in self._leaving]
        for partition in reversed(held[share:]):
            self._give_up(partition)
        mine = frozenset(held) | self._leaving
        seen = seen._replace(served=seen.served | mine)
        for partition in wanted_of(self._partitions, seen, share, len(held)):
            self._take(partition)
        self._judge(seen)

    def _judge(self, seen: Round) -> None:
        unserved = sorted(set(range(self._partitions)) - seen.served - self._desks.keys())
        now = time.monotonic()
        if not unserved:
            self._all_served_at = now
        late = now - self._all_served_at > _UNSERVED_S
        self._trouble = f"nobody serves partitions {unserved}" if late else ""

    def _take(self, partition: int) -> None:
        desk = self._make_desk(partition)
        thread = threading.Thread(
            target=self._serve, args=(partition, desk), name=f"tocsin-desk-{partition}", daemon=True
        )
        with self._condition:
            self._desks[partition] = desk
            self._threads[partition] = thread
        self.taken += 1
        _log.info("partition_taken", partition=partition)
        thread.start()

    def _give_up(self, partition: int) -> None:
        with self._condition:
            desk = self._desks.get(partition)
            if desk is None:
                return  # it has ended by itself meanwhile
            self._leaving.add(partition)
        self.given_up += 1
        _log.info("partition_given_up", partition=partition)
        desk.stop()

    def _serve(self, partition: int, desk: Desk) -> None:
        try:
            with bound_contextvars(partition=partition):
                desk.run(_STOP_S)
        except BaseException as error:  # noqa: BLE001  raised again by `run`, in whose thread somebody looks
            self._failure = error
        finally:
            with self._condition:
                self._desks.pop(partition, None)
                self._threads.pop(partition, None)
                self._gave_up = self._gave_up or partition in self._leaving
                self._leaving.discard(partition)
                self._woken = True
                self._condition.notify()

    def _wait(self) -> None:
        with self._condition:
            if not (self._woken or self._stopping):
                self._condition.wait(_LOOK_S)
            self._woken = False

    def _sit_down(self, connection: Connection) -> None:
        connection.execute(_Q["sit_down"])
        announce(connection, SEATS, 0)

    def _stop_all(self) -> None:
        with suppress(ServiceAway), self._database.transaction() as connection:
            connection.execute(_Q["stand_up"])
        with self._condition:
            left = list(self._threads.items())
            for desk in self._desks.values():
                desk.stop()
        until = time.monotonic() + _STOP_S + 1.0
        for partition, thread in left:
            thread.join(max(0.05, until - time.monotonic()))
            if thread.is_alive():
                _log.warning("desk_ends_late", partition=partition)
        with suppress(ServiceAway), self._database.transaction() as connection:
            announce(connection, SEATS, 0)
        self._database.close()
