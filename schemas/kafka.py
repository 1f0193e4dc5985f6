"""The topics of a cluster's Kafka: names, retention and what a record is. `tocsin migrate` makes them.

The log's partition is `schemas.identity.partition_of` an enterprise, never a client's default partitioner. A log is
made with a number of partitions and keeps it; moving to another number makes a new topic, named after it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

PARTITIONS = 8
"""Of a new log: a record costs the same however little it holds, so there are few."""
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS

QUARANTINE = "tocsin.quarantine"
"""Refused messages on their way into PostgreSQL: JSON, `ingest.quarantine.Kept`; key: the device key."""
ALARMS = "tocsin.alarms"
"""Copies of alarm events for others, and for the doors' subscribers. Key: the MQTT topic; value: the MQTT payload."""
ALARMS_STATE = "tocsin.alarms.state"
"""The open alarms of each enterprise, newest only. Key: the MQTT topic; value: the MQTT payload, retained there."""
RISK = "tocsin.risk"
"""Copies of risks for others, newest only. Key: the enterprise; value: `schemas.risk.Risk` as JSON."""


@dataclass(frozen=True, slots=True)
class Topic:
    """How a topic is made. retention_ms: -1 for ever."""

    name: str
    partitions: int
    retention_ms: int
    compacted: bool = False
    config: dict[str, str] = field(default_factory=dict)

    def settings(self) -> dict[str, str]:
        """The topic's configuration as Kafka names it."""
        return {
            "retention.ms": str(self.retention_ms),
            "cleanup.policy": "compact" if self.compacted else "delete",
            "max.message.bytes": str(8 << 20),
            **self.config,
        }


def log_topic(partitions: int) -> str:
    """The log of so many partitions. Record: key = one byte, the `EntryKind`; value = `schemas.entries.encode`."""
    return f"tocsin.log.{partitions}"


def workers_group(topic: str) -> str:
    """The consumer group of the workers that share a log's partitions."""
    return f"tocsin.workers.{topic}"


def topics(partitions: int = PARTITIONS, retention_ms: int = _DAY_MS) -> tuple[Topic, ...]:
    """Every topic of a cluster whose log has so many partitions."""
    return (
        Topic(log_topic(partitions), partitions, retention_ms, config={"message.timestamp.type": "LogAppendTime"}),
        Topic(QUARANTINE, 1, 7 * _DAY_MS),
        Topic(ALARMS, 1, _DAY_MS),
        Topic(ALARMS_STATE, 1, -1, compacted=True),
        Topic(RISK, 1, -1, compacted=True),
    )
