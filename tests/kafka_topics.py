"""Topics for one test each."""

from __future__ import annotations

import itertools
import secrets

from schemas.kafka import Topic
from streams.log.kafka_topics import make_topics
from tocsin.local.kafka import Kafka

_run = secrets.token_hex(4)
_numbers = itertools.count(1)


def fresh_topic(server: Kafka, partitions: int) -> str:
    """Make a log's topic whose name nothing else has, in a Kafka that may not be ours; returns its name."""
    name = f"test-{_run}-{next(_numbers)}"
    make_topics(server.servers, [Topic(name, partitions, 3_600_000)])
    return name
