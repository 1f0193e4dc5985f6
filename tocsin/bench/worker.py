"""A worker on a full log, the store away: readings a second of CPU, from Kafka's bytes to the committed position.

`python -m tocsin.bench.worker SERVERS TOPIC PARTITIONS DSN FOLDER` is the worker that is measured. It holds what
`tocsin worker` runs for a partition, and no reading store.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from schemas.entries import Payload, Tick
from schemas.errors import ServiceAway
from schemas.identity import partition_of
from streams.log.kafka import KafkaLog
from streams.log.kafka_topics import ends_of
from streams.log.unreadable import unreadable_rows
from streams.ports import LogReader
from streams.worker.app import Worker
from tocsin.bench import city
from tocsin.bench.report import Options, Row
from tocsin.local.cluster import LocalCluster, Plan, local_cluster
from tocsin.parts import make_judging
from tocsin.settings import Settings
from tocsin.warm_up import warm_up

READINGS = 8_000_000
SENSORS = 100_000
_A_RECORD = (100, 1000)
_STEP_US = 10_000
_AT_ONCE = 256
_PATIENCE_S = 600.0
_LOOK_S = 0.005
_FIRST = 0.1
"""Of the readings, before the clock starts: caches and pages are warm, and the client has found its pace."""


class Measured(msgspec.Struct):
    """readings: judged between first and last look.  wall_s, cpu_s: spent on them by the worker's process."""

    readings: int
    entries: int
    wall_s: float
    cpu_s: float


class _Target(NamedTuple):
    servers: str
    topic: str
    partitions: int
    dsn: str


class _Life:
    """Port `streams.worker.life.PartitionLife`: an engine under the real judging, and nothing beside it."""

    def __init__(self, settings: Settings, target: _Target, partition: int, reader: LogReader) -> None:
        _, self.judging = make_judging(
            settings,
            target.dsn,
            reader,
            topic=target.topic,
            partition=partition,
            on_events=lambda: None,
            failpoint=lambda name: None,
        )

    def run(self) -> None:
        self.judging.run()

    def stop(self) -> None:
        self.judging.stop()

    @property
    def checkpointed(self) -> int:
        return self.judging.checkpointed


def rows(options: Options) -> Iterator[Row]:
    """Fills a log and has it judged, once for each size of a record."""
    assert options.keep is not None
    count = int(READINGS * options.scale)
    for size in _A_RECORD:
        plan = Plan(doors=0, bridges=0, workers=0, desks=0, consoles=0)
        with local_cluster(options.keep / f"worker-{size}", plan) as cluster:
            target = _target(cluster)
            fill(target, count, size, options.seed)
            found = _measure(target, cluster.folder)
        note = (
            f"{size} readings in a record, {SENSORS:,} sensors, {found.readings:,} readings in {found.wall_s:.1f} s,"
            f" {found.readings / found.wall_s:,.0f}/s by the clock, {found.cpu_s:.1f} s of CPU"
        )
        yield Row(f"cluster.worker_core_{size}", found.readings / found.cpu_s, "/s", 700_000, 1_500_000, note=note)


def fill(target: _Target, count: int, size: int, seed: int) -> None:
    """Write `count` readings into the log, `size` in a record, behind the declarations of their sensors."""
    random = np.random.default_rng(seed)
    with KafkaLog(target.servers, target.topic, target.partitions, patience_s=60.0) as log:
        ids: dict[int, list[int]] = {partition: [] for partition in range(target.partitions)}
        for sensors in city.sensors(SENSORS):
            log.append([sensors])
            for sensor in sensors.sensors:
                ids[partition_of(sensor.enterprise, target.partitions)].append(sensor.id)
        for partition, known in ids.items():
            waiting: list[Payload] = []
            for number in range(count // target.partitions // size):
                at_us = city.START_US + number * _STEP_US
                waiting.append(city.readings(np.array(known, np.int64), at_us, size, random))
                if number % 100 == 99:
                    waiting.append(Tick(at_us))
                if len(waiting) >= _AT_ONCE:
                    log.append_at(partition, waiting)
                    waiting = []
            log.append_at(partition, [*waiting, Tick(city.START_US + 3_600_000_000)])


def _target(cluster: LocalCluster) -> _Target:
    partitions = cluster.plan.partitions
    return _Target(cluster.kafka.servers, f"tocsin.log.{partitions}", partitions, cluster.postgres.dsn())


def _measure(target: _Target, folder: Path) -> Measured:
    words = [target.servers, target.topic, str(target.partitions), target.dsn, str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "tocsin.bench.worker", *words],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise ServiceAway("worker", f"it ended with code {done.returncode}: {done.stderr.decode()[-1000:]}")
    return msgspec.json.Decoder(Measured).decode(done.stdout.splitlines()[-1])


def work(target: _Target, folder: Path) -> Measured:
    """Be the worker until the log is judged to its end."""
    warm_up()
    settings = Settings.told(data=folder, dsn=target.dsn)
    lives: dict[int, _Life] = {}

    def live(partition: int, reader: LogReader) -> _Life:
        lives[partition] = _Life(settings, target, partition, reader)
        return lives[partition]

    worker = Worker(
        target.servers,
        target.topic,
        live=live,
        keep=lambda run: None,
        unreadable=unreadable_rows(target.dsn, target.topic),
        data=folder,
    )
    ends = ends_of(target.servers, target.topic, range(target.partitions))
    total = sum(end.last for end in ends.values())

    def entries() -> int:
        return sum(life.judging.position for life in list(lives.values()))

    def look() -> tuple[int, int, float, float]:
        return sum(life.judging.readings for life in lives.values()), entries(), time.monotonic(), time.process_time()

    thread = threading.Thread(target=worker.run)
    thread.start()
    _until(lambda: entries() >= _FIRST * total, thread)
    first = look()
    _until(lambda: entries() >= total, thread)
    last = look()
    worker.stop()
    thread.join()
    return Measured(last[0] - first[0], last[1] - first[1], last[2] - first[2], last[3] - first[3])


def _until(holds: Callable[[], bool], thread: threading.Thread) -> None:
    until = time.monotonic() + _PATIENCE_S
    while not holds():
        if not thread.is_alive() or time.monotonic() > until:
            raise ServiceAway("worker", "it does not judge the log to its end.")
        thread.join(_LOOK_S)


if __name__ == "__main__":
    _servers, _topic, _partitions, _dsn, _folder = sys.argv[1:6]
    sys.stdout.buffer.write(
        msgspec.json.encode(work(_Target(_servers, _topic, int(_partitions), _dsn), Path(_folder))) + b"\n"
    )
