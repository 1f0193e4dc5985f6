"""Looks at a cluster's Kafka: topics as declared, replicas in step, who judges, how far who reads is behind."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import ConsumerGroupState, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ClusterMetadata, OffsetSpec

from schemas.kafka import Topic, topics, workers_group
from streams.log.kafka_clients import client_config, translated
from streams.log.kafka_times import last_logged_in_kafka_us
from streams.log.kafka_topics import metadata_of
from tocsin.doctor.findings import MOST_LAG_S, MOST_SKEW_S, Finding, fine, listed, warning, wrong
from tocsin.layout import Layout

_PATIENCE_S = 10.0
_QUIET_S = 10.0
_AGAIN = "Look again in ten seconds."


@dataclass(frozen=True, slots=True)
class LogEnds:
    """By partition: number of the first and the last entry, and of the last that is older than `MOST_LAG_S`."""

    first: Mapping[int, int] = field(default_factory=dict)
    last: Mapping[int, int] = field(default_factory=dict)
    old: Mapping[int, int] = field(default_factory=dict)


def declared(layout: Layout) -> Iterator[Finding]:
    """Topics and their partitions. Raises ServiceAway or ConfigError when Kafka does not answer or refuses us."""
    known = metadata_of(layout.servers, layout.config)
    many = len(known.brokers)
    yield fine("kafka", f"{many} brokers answer" if many != 1 else "1 broker answers")
    wanted = topics(layout.partitions)
    absent = [topic.name for topic in wanted if topic.name not in known.topics]
    if absent:
        yield wrong("topics", f"{', '.join(absent)} missing", "Run `tocsin migrate`.")
    other = [topic for topic in wanted if topic.name in known.topics and _has_other(known, topic)]
    if other:
        said = ", ".join(f"{t.name} has {len(known.topics[t.name].partitions)}, not {t.partitions}" for t in other)
        yield wrong("topics", f"partitions: {said}", "The log's number is moved by `tocsin migrate` alone.")
    if not absent and not other:
        yield fine("topics", f"{len(wanted)} as declared, the log has {layout.partitions} partitions")
    yield _replicas(known, [topic.name for topic in wanted if topic.name in known.topics])


def log_ends(layout: Layout) -> LogEnds:
    """Raises ServiceAway or ConfigError."""
    admin = AdminClient(client_config(layout.servers, layout.config))
    before_ms = int((time.time() - MOST_LAG_S) * 1000)
    try:
        first, last, old = (
            _offsets(admin, layout, spec)
            for spec in (OffsetSpec.earliest(), OffsetSpec.latest(), OffsetSpec.for_timestamp(before_ms))
        )
    except KafkaException as error:
        raise translated(error.args[0]) from error
    # -1: nothing is as new; all that there is is older. An entry's number is its offset and one.
    old = {partition: last[partition] if offset < 0 else offset for partition, offset in old.items()}
    return LogEnds({partition: offset + 1 for partition, offset in first.items()}, last, old)


def lag(consumer: str, ends: LogEnds, positions: Mapping[int, int], mend: str) -> Finding:
    """positions: of `consumer`, by partition. Pure."""
    behind = {p: last - positions.get(p, 0) for p, last in ends.last.items() if positions.get(p, 0) < ends.old[p]}
    lost = [p for p, first in ends.first.items() if positions.get(p, 0) + 1 < first]
    if lost:
        # Not of a consumer that has not begun: what it never read it does not miss.
        begun = [p for p in lost if positions.get(p, 0)]
        if begun:
            words = f"{consumer}: the log has dropped entries that it had not read, {listed(begun)}"
            return wrong("lag", words, "Keep the log longer (TOCSIN_LOG_RETENTION_H). What is gone comes from backups.")
    if behind:
        words = ", ".join(f"{p}: {entries} entries" for p, entries in sorted(behind.items()))
        return wrong("lag", f"{consumer} is more than {MOST_LAG_S:.0f} s behind in {words}", mend)
    return fine("lag", f"{consumer} is up to date in {listed(ends.last)}")


def ticks(layout: Layout, ends: LogEnds) -> Finding:
    """Does anything write, and do the clocks of those who do agree with ours?"""
    silent = [p for p, last in ends.last.items() if ends.old[p] >= last]
    if silent:
        words = f"nothing has come for {_QUIET_S:.0f} s into {listed(silent)}"
        return wrong("ticks", words, "Each door and bridge ticks once a second: start one, or see why it cannot write.")
    latest_us = last_logged_in_kafka_us(layout.servers, layout.topic, layout.partitions, layout.config)
    ahead_s = latest_us / 1e6 - time.time()
    if ahead_s > MOST_SKEW_S or ahead_s < -MOST_LAG_S:
        words = f"the clock of a door or bridge is {ahead_s:+.1f} s from ours"
        return wrong("ticks", words, "Run NTP on every machine.")
    return fine("ticks", f"the newest is {max(0.0, -ahead_s):.1f} s old")


def workers(layout: Layout) -> Finding:
    """Who judges, as Kafka's group of the workers knows it."""
    admin = AdminClient(client_config(layout.servers, layout.config))
    group = workers_group(layout.topic)
    try:
        known = admin.describe_consumer_groups([group], request_timeout=_PATIENCE_S)[group].result(_PATIENCE_S + 1.0)
    except KafkaException as error:
        # A Kafka that has just started answers all else before it has its groups.
        return warning("worker", f"Kafka does not say who judges: {error.args[0].name()}", _AGAIN)
    alive = len(known.members)
    if not alive:
        return wrong("worker", "none is alive: nothing is judged, and no alarm is raised", "Start `tocsin worker`.")
    if known.state != ConsumerGroupState.STABLE:
        return warning("worker", f"{alive} are sharing the partitions out anew", _AGAIN)
    given = {
        place.partition
        for member in known.members
        for place in member.assignment.topic_partitions
        if place.topic == layout.topic
    }
    left = sorted(set(range(layout.partitions)) - given)
    if left:
        return wrong("worker", f"{alive} alive, and none judges {listed(left)}", "See the logs of the workers.")
    return fine("worker", f"{alive} alive, all {layout.partitions} partitions are judged")


def _has_other(known: ClusterMetadata, topic: Topic) -> bool:
    return len(known.topics[topic.name].partitions) != topic.partitions


def _replicas(known: ClusterMetadata, names: list[str]) -> Finding:
    places: list[tuple[str, Any]] = [
        (f"{name}/{number}", place) for name in names for number, place in known.topics[name].partitions.items()
    ]
    headless = [where for where, place in places if place.leader < 0]
    if headless:
        return wrong("replicas", f"no leader: {', '.join(headless)}", "Start the brokers that have them.")
    short = [where for where, place in places if len(place.isrs) < len(place.replicas)]
    if short:
        return warning("replicas", f"not all in step: {', '.join(short)}", "A broker is down or slow.")
    return fine("replicas", "all in step")


def _offsets(admin: AdminClient, layout: Layout, spec: OffsetSpec) -> dict[int, int]:
    wanted = {TopicPartition(layout.topic, partition): spec for partition in range(layout.partitions)}
    found = admin.list_offsets(wanted, request_timeout=_PATIENCE_S)
    return {place.partition: future.result(_PATIENCE_S + 1.0).offset for place, future in found.items()}
