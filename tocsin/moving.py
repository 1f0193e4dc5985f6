"""Moves a cluster's log to another number of partitions: `tocsin migrate --move-to-partitions N`.

Nothing of the log itself is copied. When all of it is judged, stored and told, what the consumers know is all that
matters: the engines' memories are dealt out by the enterprises' new partitions, and everybody goes on behind the end of
a new topic. The log of one process moves into Kafka in the same way.

The old log is closed first, so that nothing is acknowledged that nobody will read; then all rows change in one
transaction. A move that was killed before it is done again from its beginning, or undone by `tocsin migrate`, which
opens the log as it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import psycopg
import structlog

from alerting import moving as alerting
from schemas.entries import ClockStepped, DeviceFacts, PackActivated, ResetAsked, Sensors, Tick
from schemas.errors import ConfigError, CorruptState, ServiceAway
from schemas.identity import partition_of
from schemas.kafka import log_topic, topics, workers_group
from schemas.readings import ReadingBatch
from streams import moving as streams
from streams import risk_moving as risk
from streams.checkpoints import PostgresCheckpoints
from streams.engine import Engine
from streams.engine_moving import deal_out
from streams.log.kafka import KafkaLog
from streams.log.kafka_reader import KafkaLogReader
from streams.log.kafka_topics import close_topic, ends_of, make_topics, members_of
from streams.log.postgres import PostgresLogWriter
from streams.log.reader import PostgresLogReader
from streams.log.session import connect
from streams.packs import parse_pack
from streams.ports import LogReader, Snapshot
from streams.positions import PostgresPositions
from streams.ticking import last_logged_us
from tocsin.cluster_log import PATIENCE_S, retention_ms
from tocsin.failpoints import Failpoint, none
from tocsin.layout import kafka_config, written_layout
from tocsin.settings import Settings

QUIET_S = 3.0
"""Every door and bridge writes a tick a second: a log that has not grown for so long has no writer."""
_READ = 256
_STORE = ("store", "store.last_values")
_STREAMS = ("engine", *_STORE)
_JUDGED = (ReadingBatch, Sensors, PackActivated, DeviceFacts, ResetAsked, ClockStepped)
"""All but ticks."""
_WAIT = "Stop doors and bridges, leave workers and desks running for a minute, stop them, and move then."
_log = structlog.get_logger(__name__)


class ClosableReader(LogReader, Protocol):
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Source:
    """The log as it is: a topic, or the rows of one process (topic "")."""

    topic: str
    partitions: int
    ends: Callable[[], dict[int, tuple[int, int]]]
    """Partition → numbers of its first and last entries."""
    reader: Callable[[int], ClosableReader]
    judges: Callable[[], int]
    """How many processes judge it now, as far as that can be seen."""
    close: Callable[[], None]
    """From here on whoever writes into it is refused, and told to start again."""
    open: Callable[[], object]
    """Undoes `close`."""


def move_log(settings: Settings, partitions: int, failpoint: Failpoint = none) -> str:
    """Move the log to `partitions` partitions, in some seconds and more; returns the name of its topic.

    Harmless when it is there already. Doors, bridges, workers and desks must be stopped. Raises ConfigError naming what
    is not as it must be, and CorruptState; nothing has changed then, but that the new topics may be there. Raises
    ServiceAway: then the log may be closed, until the move is done again or undone.
    """
    source, topic = _source(settings), log_topic(partitions)
    if source.topic == topic:
        return topic
    before = source.ends()
    positions = _positions(settings.dsn)
    _check_consumers(positions)
    if source.judges():
        raise ConfigError("a worker is at work.", mend="Stop all of them, wait some seconds, and move then.")
    time.sleep(QUIET_S)
    _check_quiet(source, before)
    config = kafka_config(settings.kafka_config)
    make_topics(settings.kafka, topics(partitions, retention_ms(settings)), config)
    failpoint("move_made_topics")
    source.close()
    failpoint("move_closed_log")
    try:
        targets = _deal_out(settings.dsn, source, positions, partitions)
        now_us = _last_us(source, before)
        if now_us:
            # The new log's time goes on where the old one's stands; nobody judges this tick again.
            with KafkaLog(settings.kafka, topic, partitions, config, patience_s=PATIENCE_S) as log:
                log.append([Tick(now_us)])
        failpoint("move_wrote_time")
        places = {p: ends.last for p, ends in ends_of(settings.kafka, topic, range(partitions), config).items()}
        _commit(settings.dsn, source, before, positions, targets, places, failpoint)
    except (ConfigError, CorruptState):
        source.open()
        raise
    failpoint("after_move")
    _log.info("log_moved", of=source.topic, to=topic, partitions=partitions)
    return topic


def _source(settings: Settings) -> Source:
    written = written_layout(settings.dsn)
    if not written.topic:
        return Source(
            "",
            1,
            partial(_ends_of_rows, settings.dsn),
            lambda _: PostgresLogReader(settings.dsn),
            judges=lambda: 0,
            # Its writer is fenced by one that comes later; whoever starts after us, after the rows have moved, is told.
            close=lambda: PostgresLogWriter(settings.dsn).close(),
            open=lambda: None,
        )
    config = kafka_config(settings.kafka_config)

    def ends() -> dict[int, tuple[int, int]]:
        return {
            p: (e.first, e.last)
            for p, e in ends_of(settings.kafka, written.topic, range(written.partitions), config).items()
        }

    def reader(partition: int) -> ClosableReader:
        return KafkaLogReader(settings.kafka, written.topic, partition, config, unreadable=_passed_over)

    return Source(
        written.topic,
        written.partitions,
        ends,
        reader,
        judges=lambda: members_of(settings.kafka, workers_group(written.topic), config),
        close=lambda: close_topic(settings.kafka, written.topic, config),
        open=lambda: make_topics(settings.kafka, topics(written.partitions, retention_ms(settings)), config),
    )


def _ends_of_rows(dsn: str) -> dict[int, tuple[int, int]]:
    row = _ask(dsn, "SELECT coalesce(min(number), 1), coalesce(max(number), 0) FROM log_entries WHERE partition = 0")[0]
    return {0: (int(row[0]), int(row[1]))}


def _passed_over(partition: int, number: int, key: bytes, value: bytes, why: str) -> None:
    """The consumers of the log have kept it."""


def _ask(dsn: str, query: str) -> list[Any]:
    try:
        with connect(dsn, "tocsin-move") as connection:
            return connection.execute(query).fetchall()
    except psycopg.OperationalError as error:
        raise ServiceAway("PostgreSQL", str(error).strip()) from error


def _positions(dsn: str) -> dict[tuple[str, int], int]:
    rows = _ask(dsn, "SELECT consumer, partition, position FROM positions")
    return {(consumer, partition): position for consumer, partition, position in rows}


def _check_consumers(positions: Mapping[tuple[str, int], int]) -> None:
    strange = {consumer for consumer, _ in positions} - {*_STREAMS, *alerting.CONSUMERS, *risk.CONSUMERS}
    if strange:
        raise ConfigError(f"nobody here knows how to move {', '.join(sorted(strange))}.", mend="Upgrade Tocsin.")


def _check_quiet(source: Source, before: Mapping[int, tuple[int, int]]) -> None:
    now = source.ends()
    if any(now[partition][1] != last for partition, (_, last) in before.items()):
        raise ConfigError(
            "somebody writes into the log.",
            mend=_WAIT,
        )


def _check_taken(source: Source, partition: int, positions: Mapping[tuple[str, int], int]) -> None:
    """Everything must be judged, and every reading stored; ticks that came while all ended are no matter."""
    for consumer in _STREAMS:
        position = positions.get((consumer, partition), 0)
        with closing(source.reader(partition)) as reader:
            left = _first_left(reader, position, ReadingBatch if consumer in _STORE else _JUDGED)
        if left is not None:
            raise ConfigError(
                f"{consumer} stands at entry {position} of partition {partition}, and entry {left} waits for it.",
                mend=_WAIT,
            )


def _first_left(reader: LogReader, position: int, kinds: type | tuple[type, ...]) -> int | None:
    """Number of the first entry of these kinds that a consumer has not taken; None when it has all."""
    at = position
    while entries := reader.read(at, _READ):
        for entry in entries:
            if isinstance(entry.payload, kinds):
                return entry.number
        at = entries[-1].number
    return None


def _deal_out(dsn: str, source: Source, positions: Mapping[tuple[str, int], int], partitions: int) -> list[Engine]:
    """The engines of the new number of partitions. Raises ConfigError when something in the log waits for somebody."""
    for partition in range(source.partitions):
        _check_taken(source, partition, positions)
    engines = [_engine(dsn, source, partition, positions) for partition in range(source.partitions)]
    targets = [_fresh(partition) for partition in range(partitions)]
    deal_out(engines, targets)
    return targets


def _fresh(partition: int) -> Engine:
    return Engine(None, partition=partition, read_pack=parse_pack)


def _engine(dsn: str, source: Source, partition: int, positions: Mapping[tuple[str, int], int]) -> Engine:
    """A partition's engine at the end of its log: from its checkpoint on the entries once more, and the last ticks.

    Raises ConfigError when those ticks, which nobody judged before, have something to say.
    """
    engine = _fresh(partition)
    with closing(PostgresCheckpoints(dsn, PostgresPositions(dsn, "engine", partition=partition))) as checkpoints:
        snapshot = checkpoints.load()
    at = 0
    if snapshot is not None:
        engine.restore(snapshot)
        at = snapshot.position
    position = positions.get(("engine", partition), 0)
    with closing(source.reader(partition)) as reader:
        while entries := reader.read(at, _READ):
            for entry in entries:
                verdict = engine.apply(entry)
                if entry.number > position and verdict.events:
                    raise ConfigError(f"entry {entry.number} of partition {partition} gives an alarm.", mend=_WAIT)
            at = entries[-1].number
    if at < position:
        raise CorruptState(f"partition {partition} ends at {at}, before the engine's position {position}.")
    return engine


def _last_us(source: Source, ends: Mapping[int, tuple[int, int]]) -> int:
    latest = 0
    for partition, (first, last) in ends.items():
        with closing(source.reader(partition)) as reader:
            latest = max(latest, last_logged_us(reader, last, first))
    return latest


def _commit(
    dsn: str,
    source: Source,
    before: Mapping[int, tuple[int, int]],
    positions: Mapping[tuple[str, int], int],
    targets: Sequence[Engine],
    places: Mapping[int, int],
    failpoint: Failpoint,
) -> None:
    partitions = len(targets)
    where = partial(partition_of, partitions=partitions)
    try:
        with psycopg.connect(dsn, application_name="tocsin-move") as connection:
            streams.hold(connection)
            alerting.check_idle(connection, source.partitions)
            risk.check_taken(connection, source.partitions)
            seq = max(alerting.last_seq(connection), *(engine.book.seq for engine in targets))
            _check_unmoved(connection, source, before, positions)
            snapshots: dict[int, Snapshot] = {}
            for partition, engine in enumerate(targets):
                engine.book.seq = seq
                snapshots[partition] = engine.snapshot(places[partition])
            streams.place_engines(connection, snapshots, targets[0].roster.plans.version)
            streams.place_consumers(connection, _STREAMS, places)
            streams.place_waiting(connection, where)
            alerting.move_alarms(connection, where, partitions, seq)
            risk.move_risk(connection, where, partitions, seq)
            streams.write_layout(connection, log_topic(partitions), partitions)
            failpoint("in_move")
    except psycopg.OperationalError as error:
        raise ServiceAway(
            "PostgreSQL", str(error).strip(), mend="Call it again, or undo it by `tocsin migrate`."
        ) from error


def _check_unmoved(
    connection: psycopg.Connection[Any],
    source: Source,
    before: Mapping[int, tuple[int, int]],
    positions: Mapping[tuple[str, int], int],
) -> None:
    """From here on nobody can move a position; that nobody has done so, and that nobody writes, is seen now."""
    layout = connection.execute("SELECT topic, partitions FROM log_layout").fetchone()
    rows = connection.execute("SELECT consumer, partition, position FROM positions").fetchall()
    now = {(consumer, partition): position for consumer, partition, position in rows}
    if layout != (source.topic, source.partitions) or now != dict(positions):
        raise ConfigError("somebody reads on in the log, or moves it.", mend="Stop workers, or `tocsin up`.")
    _check_quiet(source, before)
