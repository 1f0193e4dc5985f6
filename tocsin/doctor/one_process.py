"""Looks at the one process of a data directory, and at its PostgreSQL."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg

from schemas.errors import TocsinError
from tocsin.data_directory import DataDirectory, Running
from tocsin.doctor import database
from tocsin.doctor.findings import MOST_CHECKPOINT_AGE_S, MOST_LAG_S, Finding, fine, warning, wrong
from tocsin.postgres_machine import binaries
from tocsin.settings import Settings, connect_dsn

LEAST_DISK = 5 << 30


def examine_one_process(settings: Settings) -> Iterator[Finding]:
    yield _embedded(settings)
    yield _disk(settings.data)
    running = DataDirectory(settings.data).running()
    if running is None and not settings.dsn:
        yield wrong("process", f"nothing runs in {settings.data}", "Start it with `tocsin up`.")
        return
    if running is not None:
        yield from process(running)
    try:
        with psycopg.connect(connect_dsn(settings.data), autocommit=True, connect_timeout=5) as connection:
            yield from database.server(connection)
            for look in (database.schema, _positions, _checkpoint, database.clock, database.quarantine,
                         database.asked, database.notifications):  # fmt: skip
                yield look(connection)
    except (psycopg.Error, TocsinError) as error:
        yield wrong("postgresql", str(error).strip(), "See server.log in the data directory.")


def process(running: Running) -> Iterator[Finding]:
    """A process of ours that runs on this machine, by what it has written down."""
    if not Path(f"/proc/{running.pid}").exists():
        yield wrong("process", f"{running.pid} has died", "Start it again.")
        return
    yield fine("process", f"runs as {running.pid}")
    if running.mqtt_port:
        yield _door(running)
    yield _ready(running)


def _embedded(settings: Settings) -> Finding:
    if settings.dsn:
        return fine("postgresql", "a server of your own is named")
    try:
        return fine("postgresql", f"embedded programs are in {binaries().parent.name}")
    except TocsinError as error:
        return wrong("postgresql", error.what, error.mend)


def _disk(data: Path) -> Finding:
    place = data if data.exists() else data.absolute().parent
    free = shutil.disk_usage(place).free
    words = f"{free / 2**30:.1f} GiB free"
    if free < LEAST_DISK:
        need = (LEAST_DISK - free) / 2**30
        return wrong("disk", words, f"Free {need:.1f} GiB, or keep readings for fewer days.")
    return fine("disk", words)


def _door(running: Running) -> Finding:
    try:
        with socket.create_connection(("127.0.0.1", running.mqtt_port), timeout=2.0):
            return fine("door", f"listens on port {running.mqtt_port}")
    except OSError as error:
        return wrong("door", f"port {running.mqtt_port}: {error.strerror or error}", "See the log.")


def _ready(running: Running) -> Finding:
    try:
        answer = httpx.get(f"http://127.0.0.1:{running.http_port}/readyz", timeout=5.0, trust_env=False)
        parts: dict[str, str] = answer.json().get("parts", {})
    except (httpx.HTTPError, ValueError) as error:
        return wrong("http", f"no answer: {type(error).__name__}", "See the log.")
    amiss = [f"{name}: {state}" for name, state in parts.items() if state != "ok"]
    if amiss:
        return wrong("http", "; ".join(amiss), "Wait a minute; then see the log of the part named.")
    return fine("http", f"port {running.http_port}, every part is ready")


def _positions(connection: psycopg.Connection[Any]) -> Finding:
    rows = connection.execute(
        """
        SELECT consumer, extract(epoch FROM now() - (SELECT min(written_at) FROM log_entries
                                                      WHERE number = position + 1 AND partition = p.partition))
          FROM positions AS p WHERE consumer IN ('engine', 'store')
        """
    ).fetchall()
    behind = {name: float(lag) for name, lag in rows if lag is not None and lag > MOST_LAG_S}
    if behind:
        words = ", ".join(f"{name} is {lag:.0f} s behind" for name, lag in behind.items())
        return wrong("lag", words, "Look at the load, and at the log of that part.")
    return fine("lag", f"{len(rows)} consumers are up to date")


def _checkpoint(connection: psycopg.Connection[Any]) -> Finding:
    row = connection.execute("SELECT extract(epoch FROM now() - max(saved_at)) FROM checkpoints").fetchone()
    age = row[0] if row else None
    if age is None:
        return warning("checkpoint", "none yet", "The first comes half a minute after the start.")
    if age > MOST_CHECKPOINT_AGE_S:
        return warning("checkpoint", f"{age:.0f} s old", "A restart will replay what came since.")
    return fine("checkpoint", f"{age:.0f} s old")
