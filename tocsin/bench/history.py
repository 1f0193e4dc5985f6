"""Fills a data directory with a past, as it would have come: through log and store, without the sockets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from schemas.entries import Payload, Sensor, Sensors, Tick
from schemas.errors import ServiceAway
from schemas.identity import id_of
from schemas.readings import I64, ReadingBatch
from sensors_sim.frames import QUIET
from streams.checkpoints import PostgresCheckpoints
from streams.commands import ensure_pack
from streams.engine import Engine
from streams.judging import Judging
from streams.log.postgres import PostgresLogWriter
from streams.log.reader import PostgresLogReader
from streams.packs import load_pack, parse_pack
from streams.positions import PostgresPositions
from streams.store.edge import session
from streams.store.process import StoreSettings, follow
from streams.store.queries import status
from tocsin.migrate import migrate
from tocsin.postgres import EmbeddedPostgres, cluster_in

DAY_US = 86_400_000_000
_PATIENCE_S = 1800.0


def fill(data: Path, sensors: list[tuple[str, str]], total: int, progress: Callable[[int], None]) -> I64:
    """Store `total` readings of temperature over the last day, evenly over `sensors` (enterprise, device).

    Returns the ids, in order; a directory that was filled before is taken as it is.
    progress: called with the number of readings that are in the log.
    """
    data.mkdir(parents=True, exist_ok=True)
    mark = data / "past"
    ids = np.array([id_of(f"{e}/{d}/temperature") for e, d in sensors], np.int64)
    if mark.exists() and mark.read_text() == str(total):
        return ids
    with EmbeddedPostgres(cluster_in(data)) as postgres:
        dsn = postgres.dsn()
        migrate(dsn)
        with PostgresLogWriter(dsn) as writer:
            ensure_pack(writer, dsn, load_pack())
            _declare(writer, sensors, ids)
            stop = threading.Event()
            follower = threading.Thread(target=follow, args=(StoreSettings(dsn), stop))
            follower.start()
            try:
                _write(writer, ids, total, progress)
                _wait_for_store(dsn, writer.head)
            finally:
                stop.set()
                follower.join()
            _judge(dsn, writer)
    mark.write_text(str(total))
    return ids


def _declare(writer: PostgresLogWriter, sensors: list[tuple[str, str]], ids: I64) -> None:
    made = [Sensor(int(i), e, d, "temperature") for (e, d), i in zip(sensors, ids, strict=True)]
    for first in range(0, len(made), 4096):
        writer.append([Sensors(made[first : first + 4096])])


def _write(writer: PostgresLogWriter, ids: I64, total: int, progress: Callable[[int], None]) -> None:
    """One turn after the other over all sensors, at even times over the last day."""
    turns = max(1, total // len(ids))
    start_us = time.time_ns() // 1000 - DAY_US
    zeros = np.zeros(len(ids), np.uint8)
    row = np.arange(len(ids))
    for turn in range(turns):
        at_us = start_us + turn * DAY_US // turns
        at = np.full(len(ids), at_us, np.int64) + row % 1_000_000
        # As the load generator's values are, so that what comes later is nothing unusual.
        value = QUIET + (turn * 7 + row * 13) % 100 / 100.0
        # A tick a second: a hole would be an alarm of our own.
        ticks = [Tick(at_us + second) for second in range(0, DAY_US // turns, 1_000_000)]
        payloads: list[Payload] = [ReadingBatch(ids, at, at, value, zeros, zeros), *ticks]
        writer.append(payloads)
        progress((turn + 1) * len(ids))


def _wait_for_store(dsn: str, head: int) -> None:
    """Until the past is stored and its parts are closed and merged, as they would long be."""
    until = time.monotonic() + _PATIENCE_S
    with session(dsn, "tocsin-bench") as connection:
        while time.monotonic() < until:
            known = status(connection)
            if known.positions.get(0, 0) >= head and not (known.closing or known.merging):
                return
            time.sleep(0.5)
    raise ServiceAway("store", f"the past was not stored within {_PATIENCE_S:.0f} s")


def _judge(dsn: str, writer: PostgresLogWriter) -> None:
    """Bring the engine to the log's end and leave a checkpoint there, as a day of running would have."""
    positions = PostgresPositions(dsn, "engine")
    reader = PostgresLogReader(dsn)
    judging = Judging(Engine(None, read_pack=parse_pack), reader, positions, PostgresCheckpoints(dsn, positions))
    thread = threading.Thread(target=judging.run)
    thread.start()
    until = time.monotonic() + _PATIENCE_S
    while judging.position < writer.head and time.monotonic() < until and thread.is_alive():
        time.sleep(0.2)
    judging.stop()
    thread.join()
    reader.close()
