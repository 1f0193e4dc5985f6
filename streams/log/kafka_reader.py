"""Reads the log from Kafka: one consumer, no group; the places it reads from are its caller's, in PostgreSQL."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import structlog
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.entries import Entry
from schemas.errors import CorruptState, ServiceAway
from streams.log.kafka_clients import Refusals, client_config
from streams.log.records import payload_of
from streams.log.unreadable import Unreadable

_SLICE_S = 0.1
"""`close` from another thread is heeded within this."""
_PATIENCE_S = 10.0
_QUEUED_KB = 16 << 10
_log = structlog.get_logger(__name__)


class KafkaPartitionsReader:
    """Port `PartitionsReader`; one to a thread, but for `close`.

    Raises ServiceAway from any call while Kafka is away, CorruptState when entries are asked for that are gone, or that
    never were.
    """

    def __init__(
        self,
        servers: str,
        topic: str,
        partitions: Sequence[int],
        config: Mapping[str, str] | None = None,
        *,
        unreadable: Unreadable | None = None,
        gather_bytes: int = 1,
    ) -> None:
        """unreadable: told of each record that is no entry, which is then passed over; None: CorruptState.

        gather_bytes: Kafka answers when there is so much, or after a tenth of a second. More is for those who need not
        hurry: of a busy log each of the partitions would be an answer of its own.
        """
        self._topic = topic
        self._partitions = tuple(partitions)
        self._unreadable = unreadable
        self._closing = threading.Event()
        self._lock = threading.Lock()
        """Of the consumer, which may not be closed while it is used."""
        self._held: deque[Message] = deque()
        self._given: dict[int, int] = {}
        """The number of the last entry that was handed out of each partition."""
        self._passed: dict[int, int] = {}
        """The number of the last record handed out or passed over; not below what was given."""
        self._is_idle = False
        """The last `wait` found nothing."""
        self._is_away = False
        self._refusals = Refusals()
        self._consumer = Consumer(
            {
                "group.id": "tocsin",  # the client wants one; it is never joined
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                # A question to the broker waits behind the fetch under way.
                "fetch.wait.max.ms": 100,
                "fetch.min.bytes": gather_bytes,
                "fetch.queue.backoff.ms": 10,
                "fetch.error.backoff.ms": 100,
                "queued.max.messages.kbytes": _QUEUED_KB,
                **client_config(servers, config or {}, self._on_error),
            }
        )

    @property
    def partitions(self) -> Sequence[int]:
        return self._partitions

    def read(self, after: Mapping[int, int], limit: int = 64) -> Sequence[Entry]:
        """See the port. When nothing is at hand it asks Kafka whether there is more, and waits for that."""
        self._go_to(after)
        is_idle, self._is_idle = self._is_idle, False
        entries: list[Entry] = []
        while not entries and self._is_at_hand(limit, ask=not is_idle):
            while self._held and len(entries) < limit:
                message = self._held[0]
                partition, number = message.partition() or 0, (message.offset() or 0) + 1
                entry = self._entry(message, partition, number)
                self._held.popleft()
                self._passed[partition] = number
                if entry is not None:
                    self._given[partition] = number
                    entries.append(entry)
        return entries

    def wait(self, after: Mapping[int, int], timeout_s: float) -> bool:
        """See the port. It may be a record that is no entry which is there."""
        self._go_to(after)
        until = time.monotonic() + timeout_s
        while not self._held and not self._closing.is_set():
            left = until - time.monotonic()
            self._fetch(1, max(0.0, min(left, _SLICE_S)))
            if left <= 0:
                break
        self._is_idle = not self._held
        if self._is_idle and self._is_away:
            raise self._refusals.translated(KafkaError(KafkaError._ALL_BROKERS_DOWN))
        return bool(self._held)

    def close(self) -> None:
        """Also ends a call in another thread, within some tenths of a second."""
        self._closing.set()
        with self._lock:
            self._consumer.close()

    def _go_to(self, after: Mapping[int, int]) -> None:
        """Have the consumer stand behind `after`; dear only when that is not where the last call left it."""
        for partition in self._partitions:
            given = self._given.get(partition)
            if given is None or not given <= after[partition] <= self._passed[partition]:
                break
        else:
            return
        places = [TopicPartition(self._topic, partition, after[partition]) for partition in self._partitions]
        with self._using():
            self._consumer.assign(places)
        self._held.clear()
        self._is_idle = False
        self._given = {partition: after[partition] for partition in self._partitions}
        self._passed = dict(self._given)

    def _is_at_hand(self, limit: int, *, ask: bool) -> bool:
        """Whether there is a record to take; without `ask` only of those that have come by themselves."""
        until = time.monotonic() + _PATIENCE_S
        if not self._held:
            self._fetch(limit, 0.0)
        while not self._held and (ask or self._is_away) and self._has_more():
            self._fetch(1, _SLICE_S)
            if not self._held and (self._closing.is_set() or time.monotonic() > until):
                raise ServiceAway("Kafka", f"{self._topic} has entries that do not come.")
        if len(self._held) < limit:
            self._fetch(limit - len(self._held), 0.0)
        return bool(self._held)

    def _fetch(self, most: int, timeout_s: float) -> None:
        """Hold what has come, at most `most` records; returns at once when there is one."""
        with self._using():
            messages = self._consumer.consume(most, timeout_s)
        for message in messages:
            error = message.error()
            if error is not None:
                self._fail(error, message)
            self._take_in()
            self._held.append(message)

    def _fail(self, error: KafkaError, message: Message) -> None:
        at = self._given.get(message.partition() or 0, 0) + 1
        # The next call starts over where its caller stands.
        self._given = {}
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise CorruptState(
                f"entry {at} of partition {message.partition()} is needed, and {self._topic} does not hold it.",
                mend="Its retention is too short for how far the reader was behind, or Kafka lost what it had.",
            )
        raise self._refusals.translated(error)

    def _has_more(self) -> bool:
        """Ask Kafka for the end of each partition."""
        ends = [TopicPartition(self._topic, partition, OFFSET_END) for partition in self._partitions]
        try:
            with self._using():
                found = self._consumer.offsets_for_times(ends, timeout=_PATIENCE_S)
        except KafkaException as error:
            self._fetch(1, 0.0)  # hears what brokers have said
            raise self._refusals.translated(error.args[0]) from error
        for place in found:
            if place.error is not None:
                raise self._refusals.translated(place.error)
        self._take_in()
        return any(place.offset > self._passed[place.partition] for place in found)

    def _entry(self, message: Message, partition: int, number: int) -> Entry | None:
        key, value = message.key() or b"", message.value() or b""
        try:
            return Entry(number, payload_of(key, value), partition)
        except CorruptState as error:
            if self._unreadable is None:
                raise
            _log.error("log_entry_unreadable", topic=self._topic, partition=partition, number=number, why=error.what)
            self._unreadable(partition, number, key, value, error.what)
            return None

    @contextmanager
    def _using(self) -> Iterator[None]:
        with self._lock:
            if self._closing.is_set():
                raise ServiceAway("Kafka", "the reader is closed.")
            yield

    def _take_in(self) -> None:
        self._is_away = False
        self._refusals.forget()

    def _on_error(self, error: KafkaError) -> None:
        self._refusals.hear(error)
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._is_away = True


class KafkaLogReader:
    """Port `LogReader` over one partition; one to a thread, but for `close`. Raises as `KafkaPartitionsReader` does."""

    def __init__(
        self,
        servers: str,
        topic: str,
        partition: int = 0,
        config: Mapping[str, str] | None = None,
        *,
        unreadable: Unreadable | None = None,
    ) -> None:
        self._partition = partition
        self._reader = KafkaPartitionsReader(servers, topic, [partition], config, unreadable=unreadable)

    def read(self, after: int, limit: int = 64) -> Sequence[Entry]:
        return self._reader.read({self._partition: after}, limit)

    def wait(self, after: int, timeout_s: float) -> bool:
        return self._reader.wait({self._partition: after}, timeout_s)

    def close(self) -> None:
        self._reader.close()
