"""The log of a cluster as `tocsin migrate` makes it: topics, the rules in every partition, then the row that names it.

Whoever writes or reads the log waits for that row (`tocsin/layout.py`), so no reading enters before the rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import psycopg

from schemas.errors import ConfigError, ServiceAway
from schemas.kafka import PARTITIONS, log_topic, topics
from streams.commands import active_pack_version, ensure_pack
from streams.log.kafka import KafkaLog
from streams.log.kafka_topics import make_topics
from streams.log.session import connect
from streams.packs import load_pack
from tocsin.layout import kafka_config, written_layout
from tocsin.settings import Settings

PATIENCE_S = 30.0
"""A command may wait longer than a device that waits for its PUBACK."""
_WRITE = "UPDATE log_layout SET topic = %s, partitions = %s WHERE topic = ''"
_ONE_PROCESS = "SELECT EXISTS (SELECT FROM positions WHERE consumer IN ('engine', 'store') AND position > 0)"


class Made(NamedTuple):
    """What was not there before."""

    topics: list[str]
    pack: str
    """Version of the rule pack that was activated; empty where each partition had one."""


def make_log(settings: Settings, partitions: int | None) -> Made:
    """Make what the log lacks; partitions: of a new one, None for the usual number. Again is harmless.

    Raises ServiceAway, and ConfigError when the log has another number of partitions or the database is that of one
    process.
    """
    assert settings.kafka
    config = kafka_config(settings.kafka_config)
    now = written_layout(settings.dsn)
    if now.topic:
        if partitions not in (None, now.partitions):
            raise ConfigError(
                f"the log has {now.partitions} partitions.",
                field="--partitions",
                mend=f"To change that: tocsin migrate --move-to-partitions {partitions}",
            )
        wanted = now.partitions
    else:
        wanted = partitions or PARTITIONS
        if _is_of_one_process(settings.dsn):
            raise ConfigError(
                "the database holds the log of one process.",
                field="TOCSIN_DSN",
                mend=f"To move it into Kafka: tocsin migrate --move-to-partitions {wanted}",
            )
    made = make_topics(settings.kafka, topics(wanted, retention_ms(settings)), config)
    version = _activate_pack(settings, config, wanted)
    try:
        with connect(settings.dsn, "tocsin-migrate") as connection:
            connection.execute(_WRITE, (log_topic(wanted), wanted))
    except psycopg.OperationalError as error:
        raise ServiceAway("PostgreSQL", str(error).strip()) from error
    return Made(made, version)


def retention_ms(settings: Settings) -> int:
    return int(settings.log_retention_h * 3_600_000)


def _is_of_one_process(dsn: str) -> bool:
    try:
        with connect(dsn, "tocsin-migrate") as connection:
            row = connection.execute(_ONE_PROCESS).fetchone()
    except psycopg.OperationalError as error:
        raise ServiceAway("PostgreSQL", str(error).strip()) from error
    return bool(row and row[0])


def _activate_pack(settings: Settings, config: Mapping[str, str], partitions: int) -> str:
    """The pack that is named, else the default one where a partition has none yet; what was activated stays."""
    lacking = [
        partition
        for partition in range(partitions)
        if settings.rules is not None or active_pack_version(settings.dsn, partition=partition) is None
    ]
    if not lacking:
        return ""
    pack = load_pack(settings.rules)
    with KafkaLog(settings.kafka, log_topic(partitions), partitions, config, patience_s=PATIENCE_S) as log:
        done = [ensure_pack(log.at(p), settings.dsn, pack, partition=p) for p in lacking]
    return pack.version if any(done) else ""
