"""Looks at a cluster from wherever it runs: PostgreSQL, Kafka, the broker, and what each part has left in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
from psycopg import sql

from alerting.desks import look_round
from schemas.errors import TocsinError
from tocsin.data_directory import DataDirectory
from tocsin.doctor import database, kafka
from tocsin.doctor.broker import broker
from tocsin.doctor.findings import MOST_CHECKPOINT_AGE_S, Finding, fine, listed, warning, wrong
from tocsin.doctor.one_process import process
from tocsin.layout import Layout, layout_of
from tocsin.settings import Settings
from tocsin.standing import STORE_SILENT_S

_ALIVE_S = 10.0
"""Doors and bridges beat every second or so."""
_ENGINE = "See the logs of the workers. With all of them up for minutes, add a worker."
_STORE = "See the log of the worker whose store is active, and PostgreSQL's disk."
Connection = psycopg.Connection[Any]


def examine_cluster(settings: Settings) -> Iterator[Finding]:
    running = DataDirectory(settings.data).running()
    if running is not None:
        yield from process(running)
    if settings.broker:
        yield broker(settings)
    if not settings.dsn:
        yield wrong("postgresql", "TOCSIN_DSN is not set", "Name the cluster's PostgreSQL.")
        return
    try:
        with psycopg.connect(settings.dsn, autocommit=True, connect_timeout=5) as connection:
            yield from _examine(settings, connection)
    except psycopg.Error as error:
        yield wrong("postgresql", str(error).strip(), "Is it up, and does TOCSIN_DSN name it?")


def _examine(settings: Settings, connection: Connection) -> Iterator[Finding]:
    yield from database.server(connection)
    found = database.schema(connection)
    yield found
    if found.mend:
        return
    try:
        layout = layout_of(settings)
    except TocsinError as error:
        yield wrong("log", error.what, error.mend)
        return
    yield from _log(connection, layout)
    yield _checkpoints(connection, layout.partitions)
    yield _store(connection)
    yield from _desks(connection, layout.partitions)
    yield from _beating(connection)
    for look in (database.clock, database.asked, _unreadable, database.quarantine, database.notifications):
        yield look(connection)


def _log(connection: Connection, layout: Layout) -> Iterator[Finding]:
    try:
        yield from kafka.declared(layout)
        ends = kafka.log_ends(layout)
        yield kafka.ticks(layout, ends)
        yield kafka.workers(layout)
    except TocsinError as error:
        yield wrong("kafka", error.what, error.mend or f"Is it up, and does TOCSIN_KAFKA ({layout.servers}) name it?")
        return
    for consumer, mend in (("engine", _ENGINE), ("store", _STORE)):
        yield kafka.lag(consumer, ends, _positions(connection, consumer), mend)


def _positions(connection: Connection, consumer: str) -> Mapping[int, int]:
    query = "SELECT partition, position FROM positions WHERE consumer = %s"
    return dict(connection.execute(query, [consumer]).fetchall())


def _checkpoints(connection: Connection, partitions: int) -> Finding:
    ages: dict[int, float] = dict(
        connection.execute(
            "SELECT partition, extract(epoch FROM now() - max(saved_at))::float8 FROM checkpoints"
            " WHERE consumer = 'engine' AND partition < %s GROUP BY partition",
            [partitions],
        ).fetchall()
    )
    none = sorted(set(range(partitions)) - ages.keys())
    old = {partition: age for partition, age in ages.items() if age > MOST_CHECKPOINT_AGE_S}
    if old:
        words = ", ".join(f"{partition}: {age:.0f} s" for partition, age in sorted(old.items()))
        return warning("checkpoint", f"old in {words}", "A worker that takes the partition replays what came since.")
    if none:
        return warning("checkpoint", f"none yet of {listed(none)}", "The first comes half a minute after the start.")
    return fine("checkpoint", f"the oldest is {max(ages.values()):.0f} s old")


def _store(connection: Connection) -> Finding:
    row = connection.execute(
        "SELECT extract(epoch FROM clock_timestamp() - written_at)::float8 FROM store_status"
    ).fetchone()
    silent_s = float(row[0]) if row else float("inf")
    if silent_s > STORE_SILENT_S:
        return wrong("store", f"nothing stored for {silent_s:.0f} s", "Is a worker up? Each keeps a store beside it.")
    return fine("store", f"stored {silent_s:.0f} s ago")


def _desks(connection: Connection, partitions: int) -> Iterator[Finding]:
    seen = look_round(connection)
    unserved = sorted(set(range(partitions)) - seen.served)
    if not seen.living:
        yield wrong("desk", "none is alive: nobody is told of any alarm", "Start `tocsin desk`.")
    elif unserved:
        mend = "Look again in ten seconds; then see the logs of the desks."
        yield wrong("desk", f"{len(seen.living)} alive, and nobody serves {listed(unserved)}", mend)
    else:
        yield fine("desk", f"{len(seen.living)} alive, all {partitions} partitions are served")
    waiting = dict(
        connection.execute(
            """
            SELECT n, (SELECT extract(epoch FROM clock_timestamp() - min(e.judged_at))::float8 FROM alarm_events e
                        WHERE e.partition = n AND e.seq > coalesce((SELECT position FROM positions p
                              WHERE p.consumer = 'desk' AND p.partition = n), 0))
              FROM generate_series(0, %s - 1) AS n
            """,
            [partitions],
        ).fetchall()
    )
    late = {partition: age for partition, age in waiting.items() if age is not None and age > _ALIVE_S}
    if late:
        words = ", ".join(f"{partition}: {age:.0f} s" for partition, age in sorted(late.items()))
        yield wrong("desk", f"alarms wait to be told in {words}", "See the logs of the desks.")


def _beating(connection: Connection) -> Iterator[Finding]:
    """Doors and bridges write down that they live; without either nothing comes in."""
    beats = {part: _ages(connection, f"{part}s") for part in ("door", "bridge")}
    alive = {part: [name for name, age in ages.items() if age <= _ALIVE_S] for part, ages in beats.items()}
    if not any(alive.values()):
        yield wrong("doors", "no door and no bridge is alive: no reading comes in", "Start `tocsin door`.")
    for part, ages in beats.items():
        gone = {name: age for name, age in ages.items() if age > _ALIVE_S}
        if gone:
            words = ", ".join(f"{name} for {age:.0f} s" for name, age in sorted(gone.items()))
            yield warning(part, f"not heard of: {words}", f"Start it again, or another {part} takes up what was its.")
        elif ages:
            yield fine(part, f"{len(ages)} alive: {', '.join(sorted(ages))}")


def _ages(connection: Connection, table: str) -> dict[str, float]:
    """Name → seconds since it beat; empty where there is no such table."""
    if connection.execute("SELECT to_regclass(%s)", [table]).fetchone() == (None,):
        return {}
    query = sql.SQL("SELECT name, extract(epoch FROM clock_timestamp() - seen_at)::float8 FROM {}")
    return dict(connection.execute(query.format(sql.Identifier(table))).fetchall())


def _unreadable(connection: Connection) -> Finding:
    row = connection.execute("SELECT count(*) FROM unreadable_entries").fetchone()
    if row and row[0]:
        mend = "SELECT topic, partition, number, why FROM unreadable_entries; their bytes are kept there."
        return warning("entries", f"{row[0]} of the log could not be read and were passed over", mend)
    return fine("entries", "all could be read")
