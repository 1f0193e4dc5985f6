"""Looks at every part and says what is wrong and how to mend it. Changes nothing."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import httpx
import psycopg

from schemas.errors import TocsinError
from tocsin.data_directory import DataDirectory, Running
from tocsin.migrate import current_version, migrations, missing
from tocsin.postgres_machine import binaries
from tocsin.settings import Settings, connect_dsn

LEAST_DISK = 5 << 30
MOST_CHECKPOINT_AGE_S = 300.0
MOST_LAG_S = 10.0
MOST_SKEW_S = 2.0


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    part: str
    verdict: Verdict
    words: str
    mend: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """One finding after the other, cheap parts first."""
    yield _embedded(settings)
    yield _disk(settings.data)
    running = DataDirectory(settings.data).running()
    if running is None and not settings.dsn:
        yield Finding("process", Verdict.WRONG, f"nothing runs in {settings.data}", "Start it with `tocsin up`.")
        return
    if running is not None:
        yield _process(running)
        yield _door(running)
        yield _ready(running)
    try:
        with psycopg.connect(connect_dsn(settings.data), autocommit=True, connect_timeout=5) as connection:
            for look in (_schema, _positions, _checkpoint, _clock, _quarantine, _notifications):
                yield look(connection)
    except (psycopg.OperationalError, TocsinError) as error:
        yield Finding("postgresql", Verdict.WRONG, str(error).strip(), "See server.log in the data directory.")


def _embedded(settings: Settings) -> Finding:
    if settings.dsn:
        return Finding("postgresql", Verdict.OK, "a server of your own is named")
    try:
        return Finding("postgresql", Verdict.OK, f"embedded programs are in {binaries().parent.name}")
    except TocsinError as error:
        return Finding("postgresql", Verdict.WRONG, error.what, error.mend)


def _disk(data: Path) -> Finding:
    place = data if data.exists() else data.absolute().parent
    free = shutil.disk_usage(place).free
    words = f"{free / 2**30:.1f} GiB free"
    if free < LEAST_DISK:
        need = (LEAST_DISK - free) / 2**30
        return Finding("disk", Verdict.WRONG, words, f"Free {need:.1f} GiB, or keep readings for fewer days.")
    return Finding("disk", Verdict.OK, words)


def _process(running: Running) -> Finding:
    if Path(f"/proc/{running.pid}").exists():
        return Finding("process", Verdict.OK, f"runs as {running.pid}")
    return Finding("process", Verdict.WRONG, f"{running.pid} has died", "Start it again with `tocsin up`.")


def _door(running: Running) -> Finding:
    try:
        with socket.create_connection(("127.0.0.1", running.mqtt_port), timeout=2.0):
            return Finding("door", Verdict.OK, f"listens on port {running.mqtt_port}")
    except OSError as error:
        return Finding("door", Verdict.WRONG, f"port {running.mqtt_port}: {error.strerror or error}", "See the log.")


def _ready(running: Running) -> Finding:
    try:
        answer = httpx.get(f"http://127.0.0.1:{running.http_port}/readyz", timeout=5.0, trust_env=False)
        parts: dict[str, str] = answer.json().get("parts", {})
    except (httpx.HTTPError, ValueError) as error:
        return Finding("api", Verdict.WRONG, f"no answer: {type(error).__name__}", "See the log.")
    wrong = [f"{name}: {state}" for name, state in parts.items() if state != "ok"]
    if wrong:
        return Finding("api", Verdict.WRONG, "; ".join(wrong), "Wait a minute; then see the log of the part named.")
    return Finding("api", Verdict.OK, f"port {running.http_port}, every part is ready")


def _schema(connection: psycopg.Connection[Any]) -> Finding:
    left = missing(migrations(), current_version(connection))
    if left:
        return Finding("schema", Verdict.WRONG, f"{len(left)} migrations are missing", "Run `tocsin migrate`.")
    return Finding("schema", Verdict.OK, "current")


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
        return Finding("lag", Verdict.WRONG, words, "Look at the load, and at the log of that part.")
    return Finding("lag", Verdict.OK, f"{len(rows)} consumers are up to date")


def _checkpoint(connection: psycopg.Connection[Any]) -> Finding:
    row = connection.execute("SELECT extract(epoch FROM now() - max(saved_at)) FROM checkpoints").fetchone()
    age = row[0] if row else None
    if age is None:
        return Finding("checkpoint", Verdict.WARNING, "none yet", "The first comes half a minute after the start.")
    if age > MOST_CHECKPOINT_AGE_S:
        return Finding("checkpoint", Verdict.WARNING, f"{age:.0f} s old", "A restart will replay what came since.")
    return Finding("checkpoint", Verdict.OK, f"{age:.0f} s old")


def _clock(connection: psycopg.Connection[Any]) -> Finding:
    row = connection.execute("SELECT extract(epoch FROM clock_timestamp())").fetchone()
    skew = abs(float(row[0]) - time.time()) if row else 0.0
    if skew > MOST_SKEW_S:
        return Finding("clock", Verdict.WRONG, f"{skew:.1f} s from PostgreSQL's", "Run NTP on both machines.")
    return Finding("clock", Verdict.OK, "agrees with PostgreSQL's")


def _quarantine(connection: psycopg.Connection[Any]) -> Finding:
    row = connection.execute("SELECT count(*) FROM quarantine WHERE replayed_at IS NULL").fetchone()
    count = int(row[0]) if row else 0
    if count:
        mend = "Their senders were told on their `errors` topics what to mend."
        return Finding("quarantine", Verdict.WARNING, f"{count} refused messages wait", mend)
    return Finding("quarantine", Verdict.OK, "empty")


def _notifications(connection: psycopg.Connection[Any]) -> Finding:
    row = connection.execute("SELECT count(*) FROM notifications WHERE status = 'failed'").fetchone()
    failed = int(row[0]) if row else 0
    if failed:
        return Finding("messages", Verdict.WARNING, f"{failed} were given up", "See `tocsin alarms show KEY`.")
    return Finding("messages", Verdict.OK, "none was given up")
