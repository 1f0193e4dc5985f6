"""Faust's transport over aiokafka, cut to what a worker of ours needs: records in runs, and seeks that hold.

Faust takes records one by one through four futures each, and goes to the offsets that Kafka remembers for the group.
Here an event is all that was fetched of a partition at once, and the log's partitions go where their readers ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar, cast

import aiokafka
import faust
import structlog
from aiokafka.errors import (
    ConsumerStoppedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from streams.worker.feed import Feed, Run

POLL_S = 0.1
"""How long a look for records lasts when there are none; a partition that may flow again is taken up after it."""
_FETCH_WAIT_MS = 100
"""A partition that was sought joins the next fetch, behind the one under way."""
_log = structlog.get_logger(__name__)


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that talks with Kafka. Methods other than Faust's run in it, by `call_thread`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._turns: dict[TopicPartition, int] = {}

    def _start_thread(self) -> None:
        # What ends it is the app's end, too (`crash`), and is said once, by the worker.
        with suppress(Exception):
            super()._start_thread()

    def on_crash(self, msg: str, *fmt: Any, **kwargs: Any) -> None:
        """Not to stderr, where Faust's own has a traceback for each try."""

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        conf = self.app.conf
        return aiokafka.AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            bootstrap_servers=driver.server_list(transport.url, transport.default_port),
            partition_assignment_strategy=[aiokafka.coordinator.assignors.roundrobin.RoundRobinPartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_poll_records=conf.broker_max_poll_records,
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            check_crcs=conf.broker_check_crcs,
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            **driver.credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context),
        )

    async def go_to(self, tp: TopicPartition, turn: int, offset: int) -> None:
        """Fetch from `offset` on; what is fetched from now on is of this turn."""
        if turn < self._turns.get(tp, 0):
            return
        self._turns[tp] = turn
        try:
            self._ensure_consumer().seek(tp, offset)
        except IllegalStateError:
            _log.debug("not_assigned_any_more", topic=tp.topic, partition=tp.partition)

    async def go_to_start(self, tp: TopicPartition) -> None:
        consumer = self._ensure_consumer()
        start = await consumer.beginning_offsets([tp])
        consumer.seek(tp, start[tp])

    async def commit_places(self, places: Mapping[TopicPartition, int]) -> None:
        consumer = self._ensure_consumer()
        owned = consumer.assignment()
        ours = {tp: OffsetAndMetadata(offset, "") for tp, offset in places.items() if tp in owned}
        if ours:
            await consumer.commit(ours)

    async def raise_troubles(self) -> None:
        """Raise what the group's membership has failed with; unless it is asked for, nobody hears of it."""
        self._ensure_consumer()._coordinator.check_errors()

    async def leave(self) -> None:
        """Leave the group; the others share out our partitions at once."""
        await self._ensure_consumer()._coordinator.close()

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> Any:
        """A `Run` for each partition, where Faust has a list of records."""
        fetched = await super()._fetch_records(*args, **kwargs)
        return {tp: Run(tp.partition, self._turns.get(tp, 0), records) for tp, records in fetched.items() if records}


class Consumer(driver.Consumer):
    """Hands whole runs to the agents and keeps the log's partitions where their feeds want them.

    Its methods run in the event loop of the app.
    """

    _thread: ConsumerThread

    def __post_init__(self) -> None:
        super().__post_init__()
        self.log_topic = ""
        self.feeds: dict[int, Feed] = {}
        self._may_flow = asyncio.Event()

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def perform_seek(self) -> None:
        """Called by Faust before anything is fetched from new partitions."""
        for tp in self.assignment():
            if tp.topic == self.log_topic:
                await self.steer(tp.partition, afresh=True)
            elif await self._thread.call_thread(self._committed, tp) is None:
                await self._thread.call_thread(self._thread.go_to_start, tp)

    async def steer(self, partition: int, *, afresh: bool = False) -> None:
        """Let a partition of the log flow, or not, from where its feed wants it."""
        tp = TopicPartition(self.log_topic, partition)
        feed = self.feeds.get(partition)
        steering = feed.steer(afresh=afresh) if feed is not None else None
        if steering is not None and steering.seek is not None:
            await self._thread.call_thread(self._thread.go_to, tp, *steering.seek)
        self.let_flow(tp, steering is not None and steering.flows)

    def let_flow(self, tp: TopicPartition, flows: bool) -> None:
        if tp not in self.assignment():
            return
        if flows:
            # Equal, but Faust looks at the type too.
            self.resume_partitions([TP(*tp)])
            self._may_flow.set()
        else:
            self.pause_partitions([tp])

    async def commit_places(self, places: Mapping[TopicPartition, int]) -> None:
        """Tell Kafka how far we are, for those who watch the lag; a failure is made good by the next call."""
        try:
            await self._thread.call_thread(self._thread.commit_places, places)
        except KafkaError as error:
            _log.info("group_offsets_not_committed", error=str(error))

    async def raise_troubles(self) -> None:
        """See the thread's. Nothing before it runs."""
        if self._thread._consumer is not None:
            await self._thread.call_thread(self._thread.raise_troubles)

    async def leave(self) -> None:
        await self._thread.call_thread(self._thread.leave)

    async def _committed(self, tp: TopicPartition) -> int | None:
        return cast("int | None", await self._thread._ensure_consumer().committed(tp))

    async def _drain_messages(self, fetcher: Any) -> None:
        """Faust's loop from Kafka to the agents."""
        try:
            while not (self.should_stop or fetcher.should_stop):
                for tp, run in (await self._next_runs()).items():
                    if self.flow_active:
                        await self.callback(self._event_of(tp, run))
        except ConsumerStoppedError:
            if not self.app.should_stop:
                raise

    async def _next_runs(self) -> dict[TopicPartition, Run]:
        if self.flow_active and not self._get_active_partitions():
            self._may_flow.clear()
            await self.wait_first(self._may_flow.wait(), timeout=POLL_S)
            return {}
        try:
            runs, _ = await self._wait_next_records(POLL_S)
        except OffsetOutOfRangeError as error:
            for tp, offset in error.args[0].items():
                await self._not_there(tp, offset)
        except NoOffsetForPartitionError:
            # Fetched for before it was sought.
            return {}
        else:
            return cast("dict[TopicPartition, Run]", runs or {})
        return {}

    async def _not_there(self, tp: TopicPartition, offset: int) -> None:
        if tp.topic != self.log_topic:
            await self._thread.call_thread(self._thread.go_to_start, tp)
        elif tp.partition in self.feeds:
            self.feeds[tp.partition].not_there(offset)

    def _event_of(self, tp: TopicPartition, run: Run) -> ConsumerMessage:
        last = run.records[-1].offset
        return ConsumerMessage(
            tp.topic, tp.partition, last, 0.0, 0, None, None, cast(Any, run), None, 0, 0, TP(*tp),
            generation_id=self.app.consumer_generation_id,
        )  # fmt: skip


class Transport(driver.Transport):
    Consumer: ClassVar[Any] = Consumer


class AsIs(faust.Schema[Any, Any]):
    """An event's value is what the consumer made: no codec, no copy."""

    def loads_key(self, app: Any, message: Any, *, loads: Any = None, serializer: Any = None) -> Any:
        return message.key

    def loads_value(self, app: Any, message: Any, *, loads: Any = None, serializer: Any = None) -> Any:
        return message.value
