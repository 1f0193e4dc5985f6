"""The worker: a Faust app inside a process of ours, whose agents put records where they are used and know no more.

`run` blocks, with an event loop of its own, until `stop`. Should Faust or Kafka fail, a new app takes the place of the
old one; the partitions' lives go on over it as far as nobody else has taken them.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import faust
import structlog
from aiokafka.errors import InvalidSessionTimeoutError, KafkaConnectionError, SaslAuthenticationFailed
from aiokafka.structs import TopicPartition
from faust.app.base import BootStrategy

from schemas.errors import ServiceAway
from schemas.kafka import QUARANTINE, workers_group
from streams.log.unreadable import Unreadable
from streams.worker.event_loop import run_in_own_loop
from streams.worker.feed import Feed, Run
from streams.worker.life import MakeLife
from streams.worker.partitions import Partitions
from streams.worker.security import credentials_of
from streams.worker.transport import AsIs, Consumer, Transport

SESSION_S = 4.0
"""A worker that is not heard of for so long has died."""
USUAL_SESSION_S = 6.0
"""The shortest that a Kafka allows which nobody has told otherwise (group.min.session.timeout.ms)."""
_HEARTBEAT_S = 0.3
"""A member hears of a rebalance by it."""
_MAY_BE_IDLE_S = 86_400.0
"""While PostgreSQL is away all partitions are full, and nothing is asked of Kafka."""
_RELEASE_S = 4.0
_LEAVE_S = 1.0
_STOP_S = 2.0
_COMMIT_S = 1.0
_BACKOFF_S = (0.1, 0.5, 1.0, 2.0, 5.0)
_MOST_RECORDS = 500
_FETCH_BYTES = 4 << 20
_NOT_LET_IN = (KafkaConnectionError, SaslAuthenticationFailed)
"""The first is all that the client says of a refusal at its start."""
_log = structlog.get_logger(__name__)


class _Boot(BootStrategy):
    """The consumer, the agents, and what stands between them: no producer, no server, no leader."""

    enable_web = False
    enable_kafka_producer = False
    enable_sensors = False

    def kafka_consumer(self) -> list[Any]:
        return [self.app.consumer]


class _App(faust.App):
    BootStrategy = _Boot

    failed: Callable[[BaseException], None]
    """Told of an error in an agent."""

    def _new_transport(self) -> Any:
        return Transport(self.conf.broker_consumer, self)

    async def _on_agent_error(self, agent: Any, error: BaseException) -> None:
        self.failed(error)


class Worker:
    """One member of the group that shares the log's partitions and the quarantine's."""

    def __init__(
        self,
        servers: str,
        topic: str,
        config: Mapping[str, str] | None = None,
        *,
        live: MakeLife,
        keep: Callable[[Run], None],
        unreadable: Unreadable,
        data: Path,
        instance: str = "",
        session_s: float = SESSION_S,
        quarantine: str = QUARANTINE,
    ) -> None:
        """live: what is run for a partition.  keep: writes records of the quarantine, again is harmless; may raise
        ServiceAway.  unreadable: told of each record of the log that is no entry.  data: a directory of ours, for
        Faust's.  instance: this member's name to Kafka.  Raises ConfigError where `config` cannot be followed.
        """
        self._servers = servers
        self._topic = topic
        self._quarantine = quarantine
        self._keep = keep
        self._unreadable = unreadable
        self._data = data
        self._instance = instance
        self._session_s = session_s
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._consumer: Consumer | None = None
        self._feeds: dict[int, Feed] = {}
        self._turns = itertools.count(1)
        self._broken: BaseException | None = None
        """Why the app must be given up, found beside it."""
        self._failure: BaseException | None = None
        self._trouble = "not yet in the group"
        self._kept: dict[TopicPartition, int] = {}
        self._credentials = credentials_of(config or {})
        self._passed_over = 0
        self.partitions = Partitions(live, self._make_feed, self._drop_feed, self._fail)
        self.quarantined = 0
        """Records of the quarantine that were kept by this process."""

    # --- from any thread ---

    def run(self) -> None:
        """Work until `stop`. Raises what a partition's life has failed with."""
        attempt = 0
        try:
            while not self._stopping.is_set():
                began = run_in_own_loop(self._serve())
                if self._stopping.is_set():
                    break
                attempt = 0 if began else attempt + 1
                self._stopping.wait(_BACKOFF_S[min(attempt, len(_BACKOFF_S) - 1)])
        finally:
            self.partitions.stop(_RELEASE_S)
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Have every partition saved and given up, leave the group, and let `run` return."""
        self._stopping.set()
        self._call_soon(lambda: self._wake.set() if self._wake else None)

    def trouble(self) -> str:
        """Why no partition can come to us; empty when they can."""
        return self._trouble

    @property
    def unreadable(self) -> int:
        """Records of the log that were passed over by this process."""
        return self._passed_over + sum(feed.unreadable for feed in list(self._feeds.values()))

    # --- the event loop ---

    async def _serve(self) -> bool:
        """One app, from its start until it is stopped or dies; returns whether it came into the group."""
        self._loop, self._wake, self._broken = asyncio.get_running_loop(), asyncio.Event(), None
        app = self._make_app()
        start = asyncio.create_task(app.start())
        # How it ended is read from the app where that is what ends us.
        start.add_done_callback(lambda done: done.cancelled() or done.exception())
        began = False
        problem: BaseException | None = None
        try:
            while not (self._stopping.is_set() or app.should_stop):
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), _COMMIT_S)
                self._wake.clear()
                if self._broken is not None:
                    raise self._broken
                await self._look_for_troubles()
                if start.done():
                    start.result()
                    if not began:
                        began, self._trouble = True, ""
                    await self._tell_places()
        except Exception as error:  # noqa: BLE001 - tried again by `run`
            problem = error
        problem = app.crash_reason or problem
        if isinstance(problem, InvalidSessionTimeoutError) and self._session_s < USUAL_SESSION_S:
            _log.warning("session_is_longer", session_s=USUAL_SESSION_S, mend="Lower group.min.session.timeout.ms.")
            self._session_s = USUAL_SESSION_S
        if problem is not None:
            self._trouble = f"Faust: {str(problem) or type(problem).__name__}"
            if self._credentials is not None and isinstance(problem, _NOT_LET_IN):
                self._trouble += ". If Kafka is up: does it take the login and certificates of TOCSIN_KAFKA_CONFIG?"
            _log.error("worker_app_failed", error=self._trouble, kind=type(problem).__name__)
        await self._end(app, start)
        self._loop = self._wake = self._consumer = None
        return began

    async def _end(self, app: faust.App, start: asyncio.Task[None]) -> None:
        consumer = self._consumer
        if self._stopping.is_set():
            await asyncio.to_thread(self.partitions.stop, _RELEASE_S)
        if consumer is not None and start.done():
            with suppress(Exception):
                async with asyncio.timeout(_LEAVE_S):
                    await self._tell_places()
                    await consumer.leave()
        try:
            async with asyncio.timeout(_STOP_S):
                await app.stop()
        except Exception as error:  # noqa: BLE001 - it is given up either way
            _log.warning("worker_app_stopped_badly", error=repr(error))

    async def _look_for_troubles(self) -> None:
        if self._consumer is not None:
            # A client that is just connecting answers later.
            with suppress(TimeoutError):
                async with asyncio.timeout(_COMMIT_S):
                    await self._consumer.raise_troubles()

    async def _tell_places(self) -> None:
        """A record of the log is done with when a checkpoint covers it."""
        places = {TopicPartition(self._topic, p): number for p, number in self.partitions.checkpointed().items()}
        places.update(self._kept)
        if self._consumer is not None and places:
            await self._consumer.commit_places(places)

    def _make_app(self) -> faust.App:
        folder = self._data / "faust"
        folder.mkdir(parents=True, exist_ok=True)
        app = _App(
            workers_group(self._topic),
            broker="kafka://" + self._servers.replace(",", ";"),
            broker_credentials=self._credentials,
            broker_client_id=f"tocsin-worker-{self._instance}" if self._instance else "tocsin-worker",
            broker_session_timeout=self._session_s,
            broker_heartbeat_interval=_HEARTBEAT_S,
            broker_rebalance_timeout=10.0,
            broker_request_timeout=10.0,
            broker_max_poll_interval=_MAY_BE_IDLE_S,
            broker_max_poll_records=_MOST_RECORDS,
            consumer_max_fetch_size=_FETCH_BYTES,
            stream_wait_empty=False,
            table_standby_replicas=0,
            topic_disable_leader=True,
            topic_allow_declare=False,
            web_enabled=False,
            store="memory://",
            datadir=str(folder),
        )
        app.failed = self._fail
        log = app.topic(self._topic, schema=AsIs(), acks=False)
        quarantine = app.topic(self._quarantine, schema=AsIs(), acks=False)
        app.agent(log, name="log")(self._feed)
        app.agent(quarantine, name="quarantine")(self._keep_refused)
        app.on_partitions_assigned.connect(self._on_assigned)
        consumer = app.consumer
        assert isinstance(consumer, Consumer)
        consumer.log_topic, consumer.feeds = self._topic, self._feeds
        self._consumer = consumer
        return app

    async def _feed(self, stream: Any) -> None:
        """The agent of the log: to the feed of the partition, and on."""
        async for run in stream.noack():
            feed = self._feeds.get(run.partition)
            if feed is not None and feed.put(run):
                await self._steer(run.partition)

    async def _keep_refused(self, stream: Any) -> None:
        """The agent of the quarantine: into PostgreSQL, however long that is away."""
        async for run in stream.noack():
            tp = TopicPartition(self._quarantine, run.partition)
            consumer = self._consumer
            assert consumer is not None
            # Nothing piles up in the meantime.
            consumer.let_flow(tp, False)
            attempt = 0
            while True:
                try:
                    await asyncio.to_thread(self._keep, run)
                    break
                except ServiceAway:
                    await asyncio.sleep(_BACKOFF_S[min(attempt, 3)])
                    attempt += 1
            self.quarantined += len(run.records)
            self._kept[tp] = run.records[-1].offset + 1
            consumer.let_flow(tp, True)

    async def _on_assigned(self, _: Any, /, *args: Any, **__: Any) -> None:
        assigned: set[TopicPartition] = args[0]
        partitions = [tp.partition for tp in assigned if tp.topic == self._topic]
        self._kept = {tp: offset for tp, offset in self._kept.items() if tp in assigned}
        await asyncio.to_thread(self.partitions.have, partitions)

    async def _steer(self, partition: int) -> None:
        consumer = self._consumer
        if consumer is None:
            return
        try:
            await consumer.steer(partition)
        except Exception as error:  # noqa: BLE001 - handed on
            # The feed believes that the consumer is where it was asked to be; a new app asks anew.
            if consumer is self._consumer and self._wake is not None:
                self._broken = error
                self._wake.set()

    # --- from the partitions' threads ---

    def _make_feed(self, partition: int) -> Feed:
        def changed() -> None:
            self._call_soon(lambda: asyncio.ensure_future(self._steer(partition)))

        feed = self._feeds[partition] = Feed(partition, self._turns, unreadable=self._unreadable, changed=changed)
        return feed

    def _drop_feed(self, feed: Feed) -> None:
        self._passed_over += feed.unreadable
        self._feeds.pop(feed.partition, None)

    def _fail(self, error: BaseException) -> None:
        _log.error("worker_failed", error=str(error), kind=type(error).__name__)
        self._failure = self._failure or error
        self.stop()

    def _call_soon(self, call: Callable[[], Any]) -> None:
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # closed in this moment
                loop.call_soon_threadsafe(call)
