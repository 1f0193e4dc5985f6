"""Fills a data directory with a past, as it would have come: through log and store, without the sockets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from schemas.entries import Payload, Sensor, Sensors, Tick
from schemas.identity import id_of
from schemas.readings import I64, ReadingBatch
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
_PATIENCE_S = 600.0


def fill(data: Path, sensors: list[tuple[str, str]], total: int, progress: Callable[[int], None]) -> I64:
    """Store `total` readings of temperature over the last day, evenly over `sensors` (enterprise, device).

    Returns the sensors' ids, in order. progress: called with the number of readings that are in the log.
    """
    data.mkdir(parents=True, exist_ok=True)
    ids = np.array([id_of(f"{e}/{d}/temperature") for e, d in sensors], np.int64)
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
    value = 21.0 + (np.arange(len(ids)) % 50) / 10.0
    for turn in range(turns):
        at_us = start_us + turn * DAY_US // turns
        at = np.full(len(ids), at_us, np.int64) + np.arange(len(ids)) % 1_000_000
        payloads: list[Payload] = [ReadingBatch(ids, at, at, value + turn % 7 / 10.0, zeros, zeros), Tick(at_us)]
        writer.append(payloads)
        progress((turn + 1) * len(ids))


def _wait_for_store(dsn: str, head: int) -> None:
    until = time.monotonic() + _PATIENCE_S
    with session(dsn, "tocsin-bench") as connection:
        while status(connection).position < head and time.monotonic() < until:
            time.sleep(0.5)


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
