"""The latest time in a log of Kafka: a clock that begins anew must not fall behind it."""

from __future__ import annotations

from collections.abc import Mapping

from streams.log.kafka_reader import KafkaLogReader
from streams.log.kafka_topics import ends_of
from streams.ticking import last_logged_us


def last_logged_in_kafka_us(servers: str, topic: str, partitions: int, config: Mapping[str, str] | None = None) -> int:
    """The largest of all partitions' latest times, 0 where the log is empty; reads near the end of each.

    Raises ServiceAway or ConfigError.
    """
    latest = 0
    for partition, (first, last) in ends_of(servers, topic, range(partitions), config).items():
        reader = KafkaLogReader(servers, topic, partition, config, unreadable=_passed_over)
        try:
            latest = max(latest, last_logged_us(reader, last, first))
        finally:
            reader.close()
    return latest


def _passed_over(partition: int, number: int, key: bytes, value: bytes, why: str) -> None:
    """The consumers of the log keep it."""
