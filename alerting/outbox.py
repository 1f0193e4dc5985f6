"""Hands recorded messages to their channels, many at once, and writes down what came of each.

A message comes here with its attempt already committed as started. After the channel's answer the attempt is
finished, the message settled and its receipts stamped, all in one transaction for as many answers as have come by
then. A kill between the send and that transaction repeats the send under the same id; the ledger then shows an
attempt without an answer.
"""

from __future__ import annotations

import heapq
import itertools
import queue
import threading
from collections.abc import Callable, Iterable, Mapping

import structlog

from alerting import ledger
from alerting.database import Database
from alerting.ledger import Settled
from alerting.metrics import AlertingMetrics
from alerting.ports import Answer, Channel, Clock, Failpoint, Outcome
from alerting.retry import settle
from alerting.routes import Recipient
from alerting.store import Sending
from schemas.errors import ServiceAway
from schemas.notifications import Status

_US = 1_000_000
_STAMPED_TOGETHER = 500
_GATHER_S = 0.01
"""A transaction of the ledger costs as much as thirty answers in it; nothing waits for it but the ledger."""
_log = structlog.get_logger("alerting.outbox")


class Outbox:
    """Threads: up to `facts.concurrency` for each recipient, begun when needed, and one that writes the ledger.

    on_queued: called after a message went back into the queue, with the time at which it is due.
    """

    def __init__(
        self,
        dsn: str,
        channels: Mapping[str, Channel],
        clock: Clock,
        metrics: AlertingMetrics,
        failpoint: Failpoint,
        on_queued: Callable[[int], None],
    ) -> None:
        self._database = Database(dsn, "tocsin outbox")
        self._channels = channels
        self._clock = clock
        self._metrics = metrics
        self._failpoint = failpoint
        self._on_queued = on_queued
        self._lanes: dict[str, _Lane] = {}
        self._in_the_air: set[str] = set()
        self._lock = threading.Condition()
        self._answers: queue.SimpleQueue[Settled | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._ledger = threading.Thread(target=self._keep_ledger, name="tocsin-ledger", daemon=True)
        self._ledger.start()

    def hand_over(self, sendings: Iterable[Sending]) -> None:
        """Send them, worst grade first within each recipient. Does not wait."""
        for sending in sendings:
            name = sending.recipient.name
            with self._lock:
                self._in_the_air.add(sending.notification.id)
                lane = self._lanes.get(name)
                if lane is None:
                    lane = self._lanes[name] = _Lane(self._channels[sending.recipient.channel], self._send)
            lane.put(sending)

    def in_the_air(self) -> frozenset[str]:
        """Ids of messages that were handed over and are not in the ledger yet."""
        with self._lock:
            return frozenset(self._in_the_air)

    def wait_until_empty(self, timeout_s: float) -> bool:
        """Wait until nothing is in the air; False when `timeout_s` has passed."""
        with self._lock:
            return self._lock.wait_for(lambda: not self._in_the_air, timeout_s)

    def trouble(self) -> str:
        """Names the threads that ended by a defect, for a person; empty when there are none."""
        if self._stopping.is_set():
            return ""
        with self._lock:
            ended = [f"the sender to {name}" for name, lane in sorted(self._lanes.items()) if lane.lost_a_thread()]
        if not self._ledger.is_alive():
            ended.append("the ledger's writer")
        return f"{' and '.join(ended)} ended by a defect: restart, nothing is lost" if ended else ""

    def stop(self, timeout_s: float) -> None:
        """Let running sends end, put the rest back into the queue, write the ledger. At most about `timeout_s`."""
        self._stopping.set()
        with self._lock:
            lanes = list(self._lanes.values())
        share_s = timeout_s / (2 * max(len(lanes), 1))
        for lane in lanes:
            for sending in lane.stop(share_s):
                self._settle(sending, Answer(Outcome.AGAIN, "stopped before it was sent"))
        self._answers.put(None)
        self._ledger.join(timeout_s / 2)
        self._database.close()

    def _send(self, channel: Channel, sendings: list[Sending]) -> None:
        recipient: Recipient = sendings[0].recipient
        try:
            answers = channel.send(recipient, [s.notification for s in sendings])
        except (Exception, SystemExit) as error:  # noqa: BLE001  a channel's defect must not end its lane
            _log.error("channel failed", channel=channel.facts.name, error=type(error).__name__)
            answers = [Answer(Outcome.UNKNOWN, type(error).__name__)] * len(sendings)
        self._failpoint("after_send_before_stamp")
        for sending, answer in zip(sendings, answers, strict=True):
            self._settle(sending, answer)

    def _settle(self, sending: Sending, answer: Answer) -> None:
        notification = sending.notification
        facts = self._channels[sending.recipient.channel].facts
        now_us = self._clock()
        settlement = settle(
            notification.id, answer, notification.attempt, (now_us - notification.queued_us) / _US,
            facts.give_up_s, now_us,
        )  # fmt: skip
        self._answers.put(Settled(sending, answer, now_us, settlement, facts.delivers))
        self._metrics.sends.labels(facts.name, answer.outcome.value).inc()
        if settlement.status is Status.ACCEPTED and notification.at_once:
            received_us = min(line.received_us for line in notification.lines)
            self._metrics.handed_over_s.labels(facts.name).observe(max(now_us - received_us, 0) / _US)

    def _keep_ledger(self) -> None:
        ended = False
        while not ended:
            batch = [self._answers.get()]
            if batch[0] is not None:
                self._stopping.wait(_GATHER_S)
            while len(batch) < _STAMPED_TOGETHER:
                try:
                    batch.append(self._answers.get_nowait())
                except queue.Empty:
                    break
            ended = None in batch
            settled = [answer for answer in batch if answer is not None]
            if settled and self._write(settled):
                self._written(settled)

    def _write(self, settled: list[Settled]) -> bool:
        """Until it is written, or we stop: then the next start finds the attempts unfinished and says so."""
        pause = threading.Event()
        for tries in itertools.count():
            try:
                with self._database.transaction() as connection:
                    ledger.put_settled(connection, settled)
                return True
            except ServiceAway as error:
                if tries == 0:
                    _log.warning("the ledger waits", service=error.service)
                if self._stopping.is_set():
                    return False
                pause.wait(error.retry_after_s)
        return False

    def _written(self, settled: list[Settled]) -> None:
        # Before the desk is told: a retry that is due at once must not be taken off the list of what is in the air.
        with self._lock:
            self._in_the_air.difference_update(s.sending.notification.id for s in settled)
            self._lock.notify_all()
        for s in settled:
            notification = s.sending.notification
            if s.settlement.status is Status.QUEUED:
                self._on_queued(s.settlement.due_us)
            elif s.settlement.status is Status.FAILED:
                self._metrics.failed.labels(notification.channel).inc()
                _log.error(
                    "notification given up", notification=notification.id, recipient=notification.recipient,
                    enterprise=notification.enterprise, attempts=notification.attempt, detail=s.answer.detail,
                )  # fmt: skip


class _Lane:
    """The messages of one recipient, worst first, and the threads that send them."""

    def __init__(self, channel: Channel, send: Callable[[Channel, list[Sending]], None]) -> None:
        self._channel = channel
        self._send = send
        self._waiting: list[tuple[int, int, Sending]] = []
        self._order = itertools.count()
        self._condition = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._stopping = False

    def put(self, sending: Sending) -> None:
        with self._condition:
            heapq.heappush(self._waiting, (-sending.notification.grade, next(self._order), sending))
            if self._idle:
                self._idle -= 1  # here, not by the woken thread: the next message must find another one
                self._condition.notify()
            elif len(self._threads) < self._channel.facts.concurrency:
                thread = threading.Thread(target=self._run, name="tocsin-send", daemon=True)
                self._threads.append(thread)
                thread.start()

    def lost_a_thread(self) -> bool:
        with self._condition:
            return not self._stopping and not all(thread.is_alive() for thread in self._threads)

    def stop(self, timeout_s: float) -> list[Sending]:
        """Returns what was not begun."""
        with self._condition:
            self._stopping = True
            left = [sending for _, _, sending in self._waiting]
            self._waiting.clear()
            self._condition.notify_all()
        for thread in self._threads:
            thread.join(timeout_s / len(self._threads))
        return left

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._waiting:
                    if self._stopping:
                        return
                    self._idle += 1
                    self._condition.wait()
                if self._channel.facts.gather_s and not self._stopping:
                    # A put notifies only idle threads, so this ends early for a stop alone.
                    self._condition.wait(self._channel.facts.gather_s)
                    if not self._waiting:
                        continue
                count = min(self._channel.facts.batch, len(self._waiting))
                taken = [heapq.heappop(self._waiting)[2] for _ in range(count)]
            self._send(self._channel, taken)
