"""A worker process for tests that kill it: `python -m tests.worker_process SERVERS TOPIC QUARANTINE DSN FOLDER`.

It says `ready` on its standard output once it has a partition, and ends when its standard input does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import structlog

from streams.log.unreadable import unreadable_rows
from streams.ports import LogReader
from streams.worker.app import Worker
from tests.workers_world import CountingLife, World


def start(world: World, folder: Path) -> subprocess.Popen[str]:
    """A process that has a partition already."""
    words = [world.kafka.servers, world.topic, world.quarantine, world.dsn, str(folder)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.worker_process", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        kill(process)
        raise AssertionError("the worker did not come up")
    return process


def end(process: subprocess.Popen[str]) -> int:
    """A clean end; returns the exit code."""
    process.communicate(timeout=60)
    return process.returncode


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate(timeout=60)


def main() -> None:
    servers, topic, quarantine, dsn, folder = sys.argv[1:6]
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

    def live(partition: int, reader: LogReader) -> CountingLife:
        # In one piece: several partitions' threads are here at once.
        os.write(1, b"ready\n")
        return CountingLife(dsn, partition, reader)

    worker = Worker(
        servers, topic, live=live, keep=lambda run: None, unreadable=unreadable_rows(dsn, topic), data=Path(folder),
        quarantine=quarantine,
    )  # fmt: skip

    def wait() -> None:
        sys.stdin.read()
        worker.stop()

    threading.Thread(target=wait, daemon=True).start()
    worker.run()


if __name__ == "__main__":
    main()
