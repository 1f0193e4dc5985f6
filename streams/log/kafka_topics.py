"""Makes a cluster's topics and looks at them: how many partitions, where each begins and ends."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ClusterMetadata,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from schemas.errors import ConfigError
from schemas.kafka import Topic
from streams.log.kafka_clients import Refusals, client_config, translated

_PATIENCE_S = 10.0
_LOOK_S = 0.02
_CLOSED = {"max.message.bytes": "0"}
_EARLIEST, _LATEST = OffsetSpec.earliest(), OffsetSpec.latest()
_T = TypeVar("_T")


class Ends(NamedTuple):
    """Numbers of a partition's entries: `last` is `first` - 1 where it holds none."""

    first: int
    last: int


def make_topics(servers: str, topics: Iterable[Topic], config: Mapping[str, str] | None = None) -> list[str]:
    """Make the topics that are missing and bring the settings of the others to what is declared; again is harmless.

    Returns the names of those made. Raises ConfigError when one exists with another number of partitions or Kafka
    refuses us, ServiceAway when Kafka does not answer.
    """
    declared = list(topics)
    admin = AdminClient(client_config(servers, config or {}))
    found = partitions_of(servers, [topic.name for topic in declared], config)
    for topic in declared:
        count = found.get(topic.name, topic.partitions)
        if count != topic.partitions:
            raise ConfigError(f"the topic {topic.name} has {count} partitions, and {topic.partitions} are wanted.")
    missing = [topic for topic in declared if topic.name not in found]
    if missing:
        # -1: as many replicas as the cluster's own default.
        made = admin.create_topics(
            [
                NewTopic(t.name, num_partitions=t.partitions, replication_factor=-1, config=t.settings())
                for t in missing
            ],
            operation_timeout=_PATIENCE_S,
        )
        for future in made.values():
            _answer(future, unless=KafkaError.TOPIC_ALREADY_EXISTS)
        for topic in missing:
            _ends(admin, topic.name, range(topic.partitions))
    _set(admin, [topic for topic in declared if topic.name in found])
    return [topic.name for topic in missing]


def close_topic(servers: str, name: str, config: Mapping[str, str] | None = None) -> None:
    """Let nobody write into a topic any more, whoever has it open; what it holds stays. `make_topics` opens it again.

    Raises as `make_topics` does.
    """
    _change(AdminClient(client_config(servers, config or {})), {name: _CLOSED})


def members_of(servers: str, group: str, config: Mapping[str, str] | None = None) -> int:
    """How many consumers a group has now, those included that died within their session. Raises as `make_topics`."""
    admin = AdminClient(client_config(servers, config or {}))
    (asked,) = admin.describe_consumer_groups([group], request_timeout=_PATIENCE_S).values()
    found = _answer(asked, unless=KafkaError.GROUP_ID_NOT_FOUND)
    return 0 if found is None else len(found.members)


def partitions_of(servers: str, names: Sequence[str], config: Mapping[str, str] | None = None) -> dict[str, int]:
    """How many partitions each of the topics has, those left out that do not exist. Raises as `make_topics` does."""
    known = metadata_of(servers, config).topics
    return {name: len(known[name].partitions) for name in names if name in known}


def metadata_of(servers: str, config: Mapping[str, str] | None = None) -> ClusterMetadata:
    """Brokers and topics, as Kafka has them. Raises as `make_topics` does."""
    refusals = Refusals()
    admin = AdminClient(client_config(servers, config or {}, refusals.hear))
    try:
        return admin.list_topics(timeout=_PATIENCE_S)
    except KafkaException as error:
        admin.poll(0.0)  # hears what brokers have said
        raise refusals.translated(error.args[0]) from error


def ends_of(
    servers: str, topic: str, partitions: Sequence[int], config: Mapping[str, str] | None = None
) -> dict[int, Ends]:
    """The first and the last entry of each partition. Raises as `make_topics` does."""
    refusals = Refusals()
    admin = AdminClient(client_config(servers, config or {}, refusals.hear))
    return _ends(admin, topic, partitions, refusals)


def _ends(
    admin: AdminClient, topic: str, partitions: Sequence[int], refusals: Refusals | None = None
) -> dict[int, Ends]:
    """Asks again for a while: a topic has no leaders for a moment after its birth, or after a broker's death."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            first, last = (_offsets(admin, topic, partitions, spec) for spec in (_EARLIEST, _LATEST))
            return {partition: Ends(first[partition] + 1, last[partition]) for partition in partitions}
        except KafkaException as error:
            problem = (refusals or Refusals()).translated(error.args[0])
            if isinstance(problem, ConfigError) or time.monotonic() > until:
                raise problem from error
            time.sleep(_LOOK_S)


def _offsets(admin: AdminClient, topic: str, partitions: Sequence[int], spec: OffsetSpec) -> dict[int, int]:
    wanted = {TopicPartition(topic, partition): spec for partition in partitions}
    asked = admin.list_offsets(wanted, request_timeout=_PATIENCE_S)
    return {place.partition: future.result(_PATIENCE_S + 1.0).offset for place, future in asked.items()}


def _set(admin: AdminClient, topics: Sequence[Topic]) -> None:
    """Change what is not as declared."""
    if not topics:
        return
    changed: dict[str, Mapping[str, str]] = {}
    described = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic.name) for topic in topics])
    wanted = {topic.name: topic.settings() for topic in topics}
    for resource, future in described.items():
        now = _answer(future)
        changed[resource.name] = {
            name: value
            for name, value in wanted[resource.name].items()
            if name not in now or now[name].value != value
        }
    _change(admin, changed)


def _change(admin: AdminClient, settings: Mapping[str, Mapping[str, str]]) -> None:
    """Give topics, by name, these of their settings."""
    changed = [
        ConfigResource(
            ResourceType.TOPIC,
            topic,
            incremental_configs=[
                ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in new.items()
            ],
        )
        for topic, new in settings.items()
        if new
    ]
    for future in admin.incremental_alter_configs(changed).values() if changed else ():
        _answer(future)


def _answer(future: Future[_T], unless: int | None = None) -> Any:
    try:
        return future.result(_PATIENCE_S + 1.0)
    except KafkaException as error:
        problem: KafkaError = error.args[0]
        if problem.code() == unless:
            return None
        raise translated(problem) from error
