"""Follows topics that are no log: of some what comes from now on, of others all that is there and what follows.

One consumer, no group, no committed places: whoever starts again reads as if for the first time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from schemas.errors import ServiceAway
from streams.log.kafka_clients import Refusals, client_config
from streams.log.kafka_topics import ends_of, partitions_of

_MOST = 500
_QUEUED_KB = 4 << 10
_LOOK_S = 5.0


class KafkaTopicsReader:
    """Needs no Kafka to be made. One thread at a time."""

    def __init__(
        self,
        servers: str,
        *,
        from_end: Sequence[str] = (),
        from_start: Sequence[str] = (),
        config: Mapping[str, str] | None = None,
    ) -> None:
        self._servers = servers
        self._operators = dict(config or {})
        self._from_end = frozenset(from_end)
        self._topics = [*from_end, *from_start]
        self._is_away = False
        self._refusals = Refusals()
        self._is_assigned = False
        self._consumer = Consumer(
            {
                "group.id": "tocsin",  # the client wants one; it is never joined
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "queued.max.messages.kbytes": _QUEUED_KB,
                **client_config(servers, self._operators, self._on_error),
            }
        )

    def read(self, timeout_s: float) -> list[tuple[str, bytes, bytes]]:
        """(topic, key, value) of what has come, in order within a partition; empty when nothing has for `timeout_s`.

        What comes from the end on is what is written after the first call.
        Raises ServiceAway when Kafka does not answer or a topic is not there, ConfigError where it refuses us.
        """
        if not self._is_assigned:
            self._assign()
        found: list[tuple[str, bytes, bytes]] = []
        try:
            messages = self._consumer.consume(1, timeout_s)
            if messages:
                messages += self._consumer.consume(_MOST - 1, 0.0)
        except KafkaException as error:
            raise self._refusals.translated(error.args[0]) from error
        for message in messages:
            problem = message.error()
            if problem is None:
                found.append((message.topic() or "", message.key() or b"", message.value() or b""))
            elif problem.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                # Away for longer than the topic keeps: as at a start.
                self._is_assigned = False
            else:
                raise self._refusals.translated(problem)
        if messages:
            self._take_in()
        elif self._is_away:
            self._look()
        return found

    def close(self) -> None:
        self._consumer.close()

    def _assign(self) -> None:
        found = partitions_of(self._servers, self._topics, self._operators)
        missing = set(self._topics) - found.keys()
        if missing:
            names = ", ".join(sorted(missing))
            raise ServiceAway("Kafka", f"there is no topic {names}.", mend="Make it with `tocsin migrate`.")
        places: list[TopicPartition] = []
        for topic, count in found.items():
            begin = dict.fromkeys(range(count), OFFSET_BEGINNING)
            if topic in self._from_end:
                # Asked for now: by itself the client finds the end at some time after this.
                ends = ends_of(self._servers, topic, range(count), self._operators)
                begin = {partition: end.last for partition, end in ends.items()}
            places += [TopicPartition(topic, partition, offset) for partition, offset in begin.items()]
        self._consumer.assign(places)
        self._is_assigned = True
        self._is_away = False

    def _look(self) -> None:
        """A broker that is back tells nobody, and there may be nothing to read for days. Raises when none is."""
        try:
            self._consumer.list_topics(self._topics[0], timeout=_LOOK_S)
        except KafkaException as error:
            raise self._refusals.translated(error.args[0]) from error
        self._take_in()

    def _take_in(self) -> None:
        self._is_away = False
        self._refusals.forget()

    def _on_error(self, error: KafkaError) -> None:
        self._refusals.hear(error)
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._is_away = True
