"""The log as a Kafka topic: one producer a process, idempotent, every record acknowledged by all replicas.

After ServiceAway a caller appends the same payloads again, and some of the first ones may stand in the log already.
That is harmless: a reading is known by its sensor and event time, which are not made anew for it; sensors, ticks, packs
and facts say what they said. A failed call waits until each of its records is delivered or given up, so that nothing of
it comes behind what is appended later.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas.entries import Payload
from streams.log.kafka_clients import Refusals, client_config
from streams.log.kafka_topics import ends_of
from streams.log.records import records_of
from streams.log.spread import Spread
from streams.ports import Alongside

PATIENCE_S = 5.0
"""How long a record is tried before its call fails."""
_GRACE_S = 3.0
"""The client looks for records that are out of time once a second; then they are taken out of its hands."""
_POLL_S = 0.1
_FLUSH_S = 0.05
_LINGER_MS = 1
"""Records of a call go to the broker together, as soon as all are handed over: `flush` waits for no linger."""
_QUEUED_KB = 64 << 10
_QUEUED = 100_000

_log = structlog.get_logger(__name__)


class Record(NamedTuple):
    topic: str
    key: bytes
    value: bytes
    partition: int = -1
    """-1: the client's partitioner; for topics of one partition."""


class _Call:
    """One call's records and what became of them."""

    def __init__(self) -> None:
        self.count = 0
        self.sizes = 0
        self.delivered: list[tuple[int, int, int]] = []
        """(place, partition, offset)"""
        self.failed: list[KafkaError] = []

    @property
    def is_settled(self) -> bool:
        return len(self.delivered) + len(self.failed) >= self.count

    def expect(self) -> Any:
        """The delivery report of the next record."""
        place = self.count
        self.count += 1

        # Runs in whichever thread serves the client; appending to a list is atomic.
        def report(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self.failed.append(error)
            else:
                self.delivered.append((place, message.partition() or 0, message.offset() or 0))

        return report


class KafkaLog:
    """Writes every partition of a log, and records of other topics. Thread-safe; threads do not wait for each other.

    Needs no Kafka to be made. Sensors must be declared here (`Sensors`) before their readings are appended.
    """

    def __init__(
        self,
        servers: str,
        topic: str,
        partitions: int,
        config: Mapping[str, str] | None = None,
        *,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """config: more of librdkafka's settings.  patience_s: of a call, before it raises ServiceAway."""
        self.topic = topic
        self.partitions = partitions
        self._servers = servers
        self._operators = dict(config or {})
        self._patience_s = patience_s
        self._refusals = Refusals()
        self._config = {
            "compression.type": "lz4",
            "linger.ms": _LINGER_MS,
            **client_config(servers, config or {}, self._refusals.hear),
            "enable.idempotence": True,  # acks=all, five requests on their way, in order
            "message.timeout.ms": int(patience_s * 1000),
            "request.timeout.ms": int(patience_s * 1000),
            "message.max.bytes": 8 << 20,
            "queue.buffering.max.kbytes": _QUEUED_KB,
            "queue.buffering.max.messages": _QUEUED,
            "topic.metadata.propagation.max.ms": 2000,
        }
        self._spread = Spread(partitions)
        self._sending = threading.Lock()
        """Held while records are handed to the client, so that a call's stand together."""
        self._turn = threading.Condition()
        self._is_served = False
        self._waiting = 0
        """Calls that wait for their records' fate."""
        self._producer = Producer(self._config)
        self._trouble = ""
        self._closed = False
        self.records = 0
        self.bytes = 0
        self.failures = 0
        """Counts of this process: records and bytes delivered, calls that failed."""

    def trouble(self) -> str:
        """Why the last call failed; empty when it did not."""
        return self._trouble

    def append(self, payloads: Sequence[Payload]) -> dict[int, int]:
        """Write the payloads into the partitions they belong to, in order; returns when all replicas have them.

        Batches and sensors go where their enterprise belongs, all else into every partition. Returns the number of the
        last entry in each partition written to. Raises ServiceAway: try the same payloads again. Raises ConfigError
        where Kafka refuses us, ValueError when a reading's sensor was never declared here.
        """
        call = _Call()
        with self._sending:
            for payload in payloads:
                for partition, part in self._spread.split(payload):
                    for key, value in records_of(part):
                        self._hand(call, Record(self.topic, key, value, partition))
        last: dict[int, int] = {}
        for _, partition, offset in self._settle(call):
            last[partition] = max(last.get(partition, 0), offset + 1)
        return last

    def append_at(self, partition: int, payloads: Sequence[Payload]) -> list[int]:
        """Write into one partition, whatever the payloads are; returns the number of each one's last record.

        Raises as `append` does.
        """
        call, last_places = _Call(), []
        with self._sending:
            for payload in payloads:
                for key, value in records_of(payload):
                    self._hand(call, Record(self.topic, key, value, partition))
                last_places.append(call.count - 1)
        numbers = {place: offset + 1 for place, _, offset in self._settle(call)}
        return [numbers[place] for place in last_places]

    def at(self, partition: int) -> KafkaPartition:
        """The writer of one partition."""
        return KafkaPartition(self, partition)

    def produce(self, topic: str, key: bytes, value: bytes) -> None:
        """Write a record of another topic; returns when all replicas have it. Raises ServiceAway or ConfigError."""
        self.produce_many([Record(topic, key, value)])

    def produce_many(self, records: Iterable[Record]) -> None:
        """The same for many, in the time of one."""
        call = _Call()
        with self._sending:
            for record in records:
                self._hand(call, record)
        self._settle(call)

    def last_number(self, partition: int) -> int:
        """The number of a partition's last entry, 0 when it has none. Raises ServiceAway or ConfigError."""
        return ends_of(self._servers, self.topic, [partition], self._operators)[partition].last

    def close(self) -> None:
        """Calls under way end with ServiceAway."""
        self._closed = True
        self._producer.purge()
        self._producer.flush(1.0)

    def __enter__(self) -> KafkaLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _hand(self, call: _Call, record: Record) -> None:
        """Give a record to the client; one that it does not take becomes a failure of the call."""
        report = call.expect()
        until = time.monotonic() + self._patience_s
        while True:
            if self._closed or call.failed:
                # What follows a failure waits for the caller's next try, or it would stand before it.
                call.failed.append(KafkaError(KafkaError._PURGE_QUEUE))
                return
            try:
                self._producer.produce(record.topic, record.value, record.key, record.partition, on_delivery=report)
            except BufferError:
                if time.monotonic() > until:
                    call.failed.append(KafkaError(KafkaError._QUEUE_FULL))
                    return
                self._producer.poll(_POLL_S)
            except KafkaException as error:
                call.failed.append(error.args[0])
                return
            else:
                call.sizes += len(record.value)
                return

    def _settle(self, call: _Call) -> list[tuple[int, int, int]]:
        """Wait for the fate of every record; returns (place, partition, offset) of each. Raises when one failed."""
        if not self._wait(call, self._patience_s + _GRACE_S):
            self._producer.purge()
            if not self._wait(call, _GRACE_S):
                call.failed.append(KafkaError(KafkaError._TIMED_OUT))
        if not call.failed:
            self.records += call.count
            self.bytes += call.sizes
            self._trouble = ""
            self._refusals.forget()
            return call.delivered
        self.failures += 1
        error = _chief(call.failed)
        problem = self._refusals.translated(error)
        self._trouble = str(problem)
        _log.warning("kafka_append_failed", failed=len(call.failed), of=call.count, error=error.str())
        if any(one.fatal() for one in call.failed):
            self._renew()
        raise problem

    def _wait(self, call: _Call, timeout_s: float) -> bool:
        """True as soon as the call is settled, False after `timeout_s`. One of those who wait serves the client."""
        until = time.monotonic() + timeout_s
        with self._turn:
            self._waiting += 1
        try:
            while not call.is_settled:
                left = until - time.monotonic()
                if left <= 0:
                    return False
                with self._turn:
                    if self._is_served:
                        self._turn.wait(min(left, _POLL_S))
                        continue
                    self._is_served = True
                self._serve(min(left, _POLL_S))
            return True
        finally:
            with self._turn:
                self._waiting -= 1

    def _serve(self, timeout_s: float) -> None:
        try:
            if self._waiting == 1:
                # Returns once all is delivered, where `poll` would wake us for each partition.
                self._producer.flush(min(timeout_s, _FLUSH_S))
            else:
                self._producer.poll(timeout_s)
        finally:
            with self._turn:
                self._is_served = False
                self._turn.notify_all()

    def _renew(self) -> None:
        """A client that has met a fatal error is of no more use."""
        with self._sending:
            self._producer.purge()
            self._producer.poll(0)
            self._producer = Producer(self._config)


class KafkaPartition:
    """One partition of a `KafkaLog` (ports `LogWriter` and `NumberedWriter`); it has no rows to write alongside."""

    def __init__(self, log: KafkaLog, partition: int) -> None:
        self._log = log
        self.partition = partition

    def append(self, payloads: Sequence[Payload], alongside: Alongside | None = None) -> int:
        """See the port. Raises TypeError where something is to be written alongside: `put` first, then write."""
        if alongside is not None:
            raise TypeError("a log in Kafka has no rows to write alongside")
        return self.put(payloads)[-1]

    def put(self, payloads: Sequence[Payload]) -> list[int]:
        """See the port."""
        return self._log.append_at(self.partition, payloads)

    def last_number(self) -> int:
        """See the port."""
        return self._log.last_number(self.partition)


def _chief(errors: Sequence[KafkaError]) -> KafkaError:
    """The error that says most: not that a record was given up because of another."""
    for error in errors:
        if error.code() not in (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT, KafkaError._MSG_TIMED_OUT):
            return error
    return errors[0]
