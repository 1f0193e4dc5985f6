"""The store's process: `python -m streams.store.process`, a child of the one process or of a worker; no GIL is shared.

It is told its settings and when to end by its `streams.lifeline`; it also ends on SIGTERM and SIGINT, having written
what it had gathered.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import msgspec
import structlog

from schemas.errors import Fenced, ServiceAway
from streams import lifeline
from streams.log.one_partition import OnePartition
from streams.log.reader import PostgresLogReader
from streams.log.unreadable import unreadable_rows
from streams.ports import PartitionsReader
from streams.store.blocks import compile_kernels
from streams.store.closing import Failpoint
from streams.store.edge import session
from streams.store.editions import edition_of
from streams.store.follower import BLOCK_READINGS, GATHER_S, Follower
from streams.store.heard import Heard
from streams.store.keeper import Keeper
from streams.store.leading import SILENT_S, SignOfLife, lead
from streams.store.writer import BlockWriter

_log = structlog.get_logger(__name__)

_DAY_US = 86_400_000_000
_GATHER_BYTES = 64 << 10
"""Two thousand readings: of a busy log one answer of Kafka's then has all partitions, and blocks can wait for it."""
_MOVED = "SELECT topic FROM log_layout WHERE topic NOT IN ('', %s)"


class StoreSettings(msgspec.Struct, frozen=True):
    """What a store's process is told."""

    dsn: str
    retention_days: float = 365.0
    failpoint: str = ""
    """A name: the process kills itself there. For tests of kills."""
    gather_s: float = GATHER_S
    block_readings: int = BLOCK_READINGS
    silent_s: float = SILENT_S
    """A leader that has not been heard of for so long is ended by those who stand by."""
    kafka: str = ""
    """Servers of the log; empty: it is rows of PostgreSQL, and this process has it to itself."""
    topic: str = ""
    partitions: int = 1
    kafka_config: dict[str, str] = {}
    """For the client, on top: how it logs in."""


def spawn(settings: StoreSettings) -> subprocess.Popen[bytes]:
    """Start the process; see `streams.lifeline`."""
    return lifeline.spawn("streams.store.process", settings)


def follow(settings: StoreSettings, stop: threading.Event, failpoint: Failpoint = lambda _: None) -> None:
    """Keep the readings stored until `stop` is set; while PostgreSQL is away, try again and again.

    Raises Fenced when another store has taken over, CorruptState when the log cannot be read.
    """
    while not stop.is_set():
        try:
            _follow_once(settings, stop, failpoint)
        except ServiceAway as error:
            _log.warning("store_waits", why=error.what, mend=error.mend, retry_s=error.retry_after_s)
            stop.wait(error.retry_after_s)


def main() -> int:
    """The process: settings from standard input, then follow until told to stop. Returns the exit code."""
    settings = lifeline.read_told(StoreSettings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    lifeline.follow(stop.set)
    try:
        follow(settings, stop, _killer(settings.failpoint))
    except Fenced as error:
        _log.error("store_fenced", why=error.what, mend=error.mend)
        return lifeline.FENCED_EXIT
    return 0


def _follow_once(settings: StoreSettings, stop: threading.Event, failpoint: Failpoint) -> None:
    """One life of writer and keeper: a failure of either ends both, since both share the writer's memory."""
    retention_us = int(settings.retention_days * _DAY_US)
    # Before it leads: who takes over should go on at once.
    compile_kernels()
    with session(settings.dsn, "tocsin-store") as connection:
        if settings.kafka and not lead(connection, stop, settings.silent_s):
            return
        with _log_reader(settings) as reader:
            writer = BlockWriter(connection, reader, retention_us)
            # Behind the taking over: from here on a log that moves fences us.
            moved = connection.execute(_MOVED, (settings.topic,)).fetchone()
            if moved is not None:
                raise Fenced(f"the log has moved to {moved[0]}.", mend="Start again.")
            edition = edition_of(connection)
            keeper = Keeper(settings.dsn, writer, edition, retention_us=retention_us, failpoint=failpoint)
            follower = Follower(
                reader, writer, Heard(connection), gather_s=settings.gather_s, block_readings=settings.block_readings
            )
            sign_of_life = SignOfLife(connection, settings.silent_s)

            def check() -> None:
                keeper.check()
                sign_of_life()

            keeper.start()
            try:
                follower.run(stop, check)
            finally:
                keeper.stop()
            keeper.save_at_end(connection)


@contextmanager
def _log_reader(settings: StoreSettings) -> Iterator[PartitionsReader]:
    if not settings.kafka:
        rows = PostgresLogReader(settings.dsn)
        with closing(rows):
            yield OnePartition(rows)
        return
    from streams.log.kafka_reader import KafkaPartitionsReader  # noqa: PLC0415 - one process has no client of Kafka

    records = KafkaPartitionsReader(
        settings.kafka, settings.topic, range(settings.partitions), settings.kafka_config,
        unreadable=unreadable_rows(settings.dsn, settings.topic), gather_bytes=_GATHER_BYTES,
    )  # fmt: skip
    with closing(records):
        yield records


def _killer(setting: str) -> Failpoint:
    """A failpoint that kills this process at the COUNT-th pass of NAME, given NAME or NAME:COUNT; none when empty."""
    wanted, _, count = setting.partition(":")
    left = int(count or 1)

    def failpoint(name: str) -> None:
        nonlocal left
        if name == wanted:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return failpoint


if __name__ == "__main__":
    sys.exit(main())
