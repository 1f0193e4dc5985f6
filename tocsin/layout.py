"""Which Kafka a cluster's log is in, which topic is the log, and how many partitions it has."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import psycopg

from schemas.errors import ConfigError, Fenced, ServiceAway
from tocsin.settings import Settings

_LAYOUT = "SELECT topic, partitions FROM log_layout"
_LOOK_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Layout:
    """servers, config: how to reach Kafka.  topic, partitions: the log."""

    servers: str
    topic: str
    partitions: int
    config: dict[str, str] = field(default_factory=dict, repr=False)


class Written(NamedTuple):
    """What the database says of the log: no topic where it is, or will be, rows of PostgreSQL."""

    topic: str
    partitions: int


def layout_of(settings: Settings) -> Layout:
    """As `tocsin migrate` wrote it down. Raises ConfigError where something is not said, ServiceAway."""
    if not settings.kafka:
        raise ConfigError(
            "a cluster needs a Kafka.", field="TOCSIN_KAFKA", mend="Name it as HOST:PORT, or run `tocsin up`."
        )
    if not settings.dsn:
        raise ConfigError(
            "a cluster needs a PostgreSQL of its own.", field="TOCSIN_DSN", mend="Name it, or run `tocsin up`."
        )
    written = written_layout(settings.dsn)
    if not written.topic:
        raise ConfigError("the cluster has no log yet.", mend="Run `tocsin migrate` with TOCSIN_KAFKA set.")
    return Layout(settings.kafka, written.topic, written.partitions, kafka_config(settings.kafka_config))


def written_layout(dsn: str) -> Written:
    """Raises ServiceAway, and ConfigError where the database has no such row."""
    try:
        with psycopg.connect(dsn, application_name="tocsin-layout", connect_timeout=5) as connection:
            row = connection.execute(_LAYOUT).fetchone()
    except psycopg.errors.UndefinedTable:
        row = None
    except psycopg.OperationalError as error:
        raise ServiceAway("PostgreSQL", str(error).strip()) from error
    if row is None:
        raise ConfigError(
            "the database was not made for this version.", field="TOCSIN_DSN", mend="Run `tocsin migrate`."
        )
    return Written(row[0], row[1])


class LayoutWatch:
    """Looks now and then whether the log is still where it was when this process began; `run` blocks until `stop`.

    Who writes into a log that has moved, or moves a position in it, is refused there and then; but a process that has
    nothing to do would not notice, and take no part in what goes on elsewhere.
    """

    def __init__(self, settings: Settings, layout: Layout, *, every_s: float = _LOOK_EVERY_S) -> None:
        self._settings = settings
        self._layout = layout
        self._every_s = every_s
        self._stop = threading.Event()

    def run(self) -> None:
        """Raises Fenced when the log has moved."""
        while not self._stop.wait(self._every_s):
            # That PostgreSQL is away is said by those who need it.
            with suppress(ServiceAway):
                now = layout_of(self._settings)
                if (now.topic, now.partitions) != (self._layout.topic, self._layout.partitions):
                    raise Fenced(f"the log has moved to {now.topic}.", mend="Start again.")

    def stop(self) -> None:
        """End `run`."""
        self._stop.set()


def kafka_config(file: Path | None) -> dict[str, str]:
    """More of librdkafka's settings: `name=value` a line, `#` before a comment. Raises ConfigError with the line."""
    if file is None:
        return {}
    found = {}
    try:
        lines = file.read_text().splitlines()
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be read: {error.strerror}", field="TOCSIN_KAFKA_CONFIG", mend="Name a file of settings."
        ) from error
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ConfigError(
                "this is no setting.", field="TOCSIN_KAFKA_CONFIG", line=number, mend="Write name=value."
            )
        found[name.strip()] = value.strip()
    return found
