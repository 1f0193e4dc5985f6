"""Which Kafka a cluster's log is in, which topic is the log, and how many partitions it has."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from schemas.errors import ConfigError, ServiceAway
from tocsin.settings import Settings

_LAYOUT = "SELECT topic, partitions FROM log_layout"


@dataclass(frozen=True, slots=True)
class Layout:
    """servers, config: how to reach Kafka.  topic, partitions: the log."""

    servers: str
    topic: str
    partitions: int
    config: dict[str, str] = field(default_factory=dict, repr=False)


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
    try:
        with psycopg.connect(settings.dsn, application_name="tocsin-layout", connect_timeout=5) as connection:
            row = connection.execute(_LAYOUT).fetchone()
    except psycopg.errors.UndefinedTable as error:
        raise ConfigError(
            "the database was not made for this version.", field="TOCSIN_DSN", mend="Run `tocsin migrate`."
        ) from error
    except psycopg.OperationalError as error:
        raise ServiceAway("PostgreSQL", str(error).strip()) from error
    if row is None or not row[0]:
        raise ConfigError("the cluster has no log yet.", mend="Run `tocsin migrate` with TOCSIN_KAFKA set.")
    return Layout(settings.kafka, row[0], row[1], kafka_config(settings.kafka_config))


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
