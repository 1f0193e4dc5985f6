"""Hands recorded messages to their channels, many at once, and writes down what came of each.

A message comes here with its attempt already committed as started. After the channel's answer the attempt is
finished, the message settled and its receipts stamped, all in one transaction for as many answers as have come by
then. A kill between the send and that transaction repeats the send under the same id; the ledger then shows an
attempt without an answer.

A process has one outbox, however many desks it has: a channel's `concurrency` for a recipient counts over all of them,
and the worst goes first whichever partition it is of. People share a lane for each channel, so that ten thousand of
them are not ten thousand threads, and a channel's rate holds over all. Each desk hands its messages over through a
tray of its own.
"""

from __future__ import annotations

import heapq
import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

import structlog

from alerting import ledger
from alerting.contacts import is_contact
from alerting.database import Database
from alerting.ledger import Settled
from alerting.metrics import AlertingMetrics
from alerting.ports import Answer, Channel, Clock, Failpoint, Outcome, Tracks
from alerting.rate import Bucket
from alerting.retry import settle
from alerting.routes import Recipient
from alerting.rows import Sending
from alerting.tracking import FIRST_US, Tracking
from schemas.errors import ServiceAway
from schemas.notifications import Notification, Status

Finish = Callable[[Recipient, Notification], Notification]
"""What is put into a message when it leaves, and must not stand in the ledger: a link that acknowledges."""

_US = 1_000_000
_STAMPED_TOGETHER = 500
_GATHER_S = 0.01
"""A transaction of the ledger costs as much as thirty answers in it; nothing waits for it but the ledger."""
_NOT_BEGUN = Answer(Outcome.AGAIN, "stopped before it was sent")
_log = structlog.get_logger("alerting.outbox")


class Outbox:
    """Threads: up to `facts.concurrency` for each recipient, begun when needed, and one that writes the ledger."""

    def __init__(
        self,
        dsn: str,
        channels: Mapping[str, Channel],
        clock: Clock,
        metrics: AlertingMetrics,
        failpoint: Failpoint,
        finish: Finish = lambda recipient, notification: notification,
    ) -> None:
        """channels: by name; closed by `stop`."""
        self.facts = {name: channel.facts for name, channel in channels.items()}
        self._database = Database(dsn, "tocsin outbox")
        self._channels = channels
        self._clock = clock
        self._metrics = metrics
        self._failpoint = failpoint
        self._finish = finish
        self._buckets = {
            name: Bucket(facts.rate_per_s) for name, facts in self.facts.items() if facts.rate_per_s is not None
        }
        self._lanes: dict[str, _Lane] = {}
        self._in_the_air: dict[str, Tray] = {}
        self._lock = threading.Condition()
        self._answers: queue.SimpleQueue[tuple[Tray, Settled] | None] = queue.SimpleQueue()
        self._ledger_waits = False
        self._stopping = threading.Event()
        self._ledger = threading.Thread(target=self._keep_ledger, name="tocsin-ledger", daemon=True)
        self._ledger.start()
        tracked = {name: channel for name, channel in channels.items() if isinstance(channel, Tracks)}
        self.tracking = Tracking(dsn, tracked, clock, metrics)
        self._tracker = threading.Thread(target=self.tracking.run, name="tocsin-tracking", daemon=True)
        self._tracks = frozenset(tracked)
        if tracked:
            self._tracker.start()

    def tray(self, on_queued: Callable[[int], None]) -> Tray:
        """A way in for one desk. on_queued: called after a message went back into the queue, with the time at which
        it is due.
        """
        return Tray(self, on_queued)

    def in_the_air(self) -> frozenset[str]:
        """Ids of messages that were handed over and are not in the ledger yet."""
        with self._lock:
            return frozenset(self._in_the_air)

    def trouble(self) -> str:
        """Names the threads that ended by a defect, for a person; empty when there are none."""
        if self._stopping.is_set():
            return ""
        with self._lock:
            ended = [f"the sender to {name}" for name, lane in sorted(self._lanes.items()) if lane.lost_a_thread()]
        if not self._ledger.is_alive():
            ended.append("the ledger's writer")
        if self._tracks and not self._tracker.is_alive():
            ended.append("who asks the carriers")
        return f"{' and '.join(ended)} ended by a defect: restart, nothing is lost" if ended else ""

    def stop(self, timeout_s: float = 3.0) -> None:
        """Let running sends end, put the rest back into the queue, write the ledger, close the channels.

        At most about `timeout_s`.
        """
        self._stopping.set()
        self.tracking.stop()
        with self._lock:
            lanes = list(self._lanes.values())
        share_s = timeout_s / (2 * max(len(lanes), 1))
        for lane in lanes:
            for tray, sending in lane.stop(share_s):
                self._settle(tray, sending, _NOT_BEGUN)
        self._answers.put(None)
        self._ledger.join(timeout_s / 2)
        if self._tracks:
            self._tracker.join(timeout_s / 2)
        self._database.close()
        for channel in self._channels.values():
            channel.close()

    def _hand_over(self, tray: Tray, sendings: Iterable[Sending]) -> None:
        for sending in sendings:
            name, channel = _lane_of(sending.recipient), sending.recipient.channel
            with self._lock:
                self._in_the_air[sending.notification.id] = tray
                lane = self._lanes.get(name)
                if lane is None:
                    lane = _Lane(self._channels[channel], self._send, self._buckets.get(channel))
                    self._lanes[name] = lane
            lane.put(tray, sending)

    def _take_back(self, tray: Tray) -> None:
        with self._lock:
            lanes = list(self._lanes.values())
        for lane in lanes:
            for sending in lane.take_back(tray):
                self._settle(tray, sending, _NOT_BEGUN)

    def _wait_until_empty(self, tray: Tray, timeout_s: float, *, patient: bool) -> bool:
        with self._lock:
            self._lock.wait_for(
                lambda: not self._has(tray) or (self._ledger_waits and not patient), timeout_s
            )  # fmt: skip
            return not self._has(tray)

    def _has(self, tray: Tray) -> bool:
        return any(one is tray for one in self._in_the_air.values())

    def _send(self, channel: Channel, taken: list[tuple[Tray, Sending]]) -> None:
        for _, together in itertools.groupby(taken, key=lambda one: one[1].recipient):
            self._send_to_one(channel, list(together))

    def _send_to_one(self, channel: Channel, taken: list[tuple[Tray, Sending]]) -> None:
        recipient: Recipient = taken[0][1].recipient
        try:
            messages = [sending.notification for _, sending in taken]
            if not channel.facts.kept:
                messages = [self._finish(recipient, message) for message in messages]
            answers = channel.send(recipient, messages)
        except (Exception, SystemExit) as error:  # noqa: BLE001  a channel's defect must not end its lane
            _log.error("channel failed", channel=channel.facts.name, error=type(error).__name__)
            answers = [Answer(Outcome.UNKNOWN, type(error).__name__)] * len(taken)
        self._failpoint("after_send_before_stamp")
        for (tray, sending), answer in zip(taken, answers, strict=True):
            self._settle(tray, sending, answer)

    def _settle(self, tray: Tray, sending: Sending, answer: Answer) -> None:
        notification = sending.notification
        facts = self.facts[sending.recipient.channel]
        now_us = self._clock()
        settlement = settle(
            notification.id, answer, notification.attempt, (now_us - notification.queued_us) / _US,
            facts.give_up_s, now_us,
        )  # fmt: skip
        taken = settlement.status is Status.ACCEPTED
        track_us = now_us + FIRST_US if taken and answer.reference and facts.name in self._tracks else None
        self._answers.put((tray, Settled(sending, answer, now_us, settlement, facts.delivers, track_us)))
        self._metrics.sends.labels(facts.name, answer.outcome.value).inc()
        if taken and notification.at_once and not notification.rung:
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
            answered = [one for one in batch if one is not None]
            if answered and self._write([settled for _, settled in answered]):
                self._written(answered)

    def _write(self, settled: list[Settled]) -> bool:
        """Until it is written, or we stop: then the next start finds the attempts unfinished and says so."""
        pause = threading.Event()
        for tries in itertools.count():
            try:
                # Desks need these rows, and nobody could tell that a session that holds them hangs.
                with self._database.statement() as connection:
                    ledger.put_settled(connection, settled)
                self._ledger_waits = False
                return True
            except ServiceAway as error:
                if tries == 0:
                    _log.warning("the ledger waits", service=error.service)
                with self._lock:
                    self._ledger_waits = True
                    self._lock.notify_all()
                if self._stopping.is_set():
                    return False
                pause.wait(error.retry_after_s)
        return False

    def _hurry(self, failed: list[str]) -> None:
        """The next contact in place of one who cannot be reached; should this fail, the ladder's minute passes."""
        with suppress(ServiceAway), self._database.statement() as connection:
            ledger.hurry_ladders(connection, failed, self._clock())

    def _written(self, answered: list[tuple[Tray, Settled]]) -> None:
        # While they are in the air: a desk that ends waits for it.
        if failed := [s.sending.notification.id for _, s in answered if s.settlement.status is Status.FAILED]:
            self._hurry(failed)
        # Before the desk is told: a retry that is due at once must not be taken off the list of what is in the air.
        with self._lock:
            for _, s in answered:
                self._in_the_air.pop(s.sending.notification.id, None)
            self._lock.notify_all()
        for tray, s in answered:
            notification = s.sending.notification
            if s.settlement.status is Status.QUEUED:
                tray.on_queued(s.settlement.due_us)
            elif s.settlement.status is Status.FAILED:
                tray.on_queued(s.settlement.due_us)
                self._metrics.failed.labels(notification.channel).inc()
                _log.error(
                    "notification given up", notification=notification.id, recipient=notification.recipient,
                    enterprise=notification.enterprise, attempts=notification.attempt, detail=s.answer.detail,
                )  # fmt: skip


class Tray:
    """One desk's messages in the outbox of its process."""

    def __init__(self, outbox: Outbox, on_queued: Callable[[int], None]) -> None:
        self._outbox = outbox
        self.on_queued = on_queued

    def hand_over(self, sendings: Iterable[Sending]) -> None:
        """Send them, worst grade first within each recipient. Does not wait."""
        self._outbox._hand_over(self, sendings)

    def wait_until_empty(self, timeout_s: float) -> bool:
        """Wait until nothing of this desk is in the air; False when `timeout_s` has passed."""
        return self._outbox._wait_until_empty(self, timeout_s, patient=True)

    def close(self, timeout_s: float) -> bool:
        """Put back into the queue what was not begun, and wait until all of the desk's is in the ledger.

        False when that takes longer than `timeout_s`, or the ledger cannot be written now: whoever serves the
        partition next finds attempts without an answer.
        """
        self._outbox._take_back(self)
        return self._outbox._wait_until_empty(self, timeout_s, patient=False)


def _lane_of(recipient: Recipient) -> str:
    return f"people by {recipient.channel}" if recipient.phone or is_contact(recipient.name) else recipient.name


class _Lane:
    """The messages of one recipient, or of all people by one channel, worst first, and the threads that send them."""

    def __init__(
        self,
        channel: Channel,
        send: Callable[[Channel, list[tuple[Tray, Sending]]], None],
        bucket: Bucket | None = None,
    ) -> None:
        self._channel = channel
        self._send = send
        self._bucket = bucket
        self._stopped = threading.Event()
        self._waiting: list[tuple[int, int, Tray, Sending]] = []
        self._order = itertools.count()
        self._condition = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._stopping = False

    def put(self, tray: Tray, sending: Sending) -> None:
        with self._condition:
            heapq.heappush(self._waiting, (-sending.notification.grade, next(self._order), tray, sending))
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

    def take_back(self, tray: Tray) -> list[Sending]:
        """Returns what of `tray` was not begun."""
        with self._condition:
            back = [one[3] for one in self._waiting if one[2] is tray]
            self._waiting = [one for one in self._waiting if one[2] is not tray]
            heapq.heapify(self._waiting)
        return back

    def stop(self, timeout_s: float) -> list[tuple[Tray, Sending]]:
        """Returns what was not begun."""
        with self._condition:
            self._stopping = True
            self._stopped.set()
            left = [(tray, sending) for _, _, tray, sending in self._waiting]
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
            self._wait_for_the_rate()
            with self._condition:
                count = min(self._channel.facts.batch, len(self._waiting))
                taken = [heapq.heappop(self._waiting)[2:] for _ in range(count)]
            if self._bucket is not None:
                self._bucket.spend(count - 1)
            if taken:
                self._send(self._channel, taken)

    def _wait_for_the_rate(self) -> None:
        """Before a message is chosen, so that the worst goes first; not in the condition, which wakes idle threads."""
        while self._bucket is not None and (pause_s := self._bucket.take(time.monotonic())):
            if self._stopped.wait(pause_s):
                return
