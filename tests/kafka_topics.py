"""Topics for one test each."""

from __future__ import annotations

import itertools
import secrets

from confluent_kafka.admin import AdminClient

from schemas.kafka import Topic
from streams.log.kafka_topics import make_topics
from tocsin.local.kafka import Kafka

PATIENCE_S = 60.0
"""Of a `KafkaLog` that a test expects to write: Kafka may share its machine with many."""
_run = secrets.token_hex(4)
_numbers = itertools.count(1)


def fresh_topic(server: Kafka, partitions: int) -> str:
    """Make a log's topic whose name nothing else has, in a Kafka that may not be ours; returns its name."""
    name = f"test-{_run}-{next(_numbers)}"
    make_topics(server.servers, [Topic(name, partitions, 3_600_000)])
    return name


def forget_cluster(server: Kafka) -> None:
    """Delete every topic of a cluster, so that the next `tocsin migrate` makes a new one."""
    admin = AdminClient({"bootstrap.servers": server.servers})
    names = [name for name in admin.list_topics(timeout=10).topics if name.startswith("tocsin.")]
    for future in admin.delete_topics(names).values() if names else ():
        future.result(30)
