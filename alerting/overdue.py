"""A deadline on the hop to the channel: a message that misses it is counted, logged and journalled, once."""

from __future__ import annotations

from contextlib import suppress

import structlog

from alerting import ledger
from alerting.database import Database
from alerting.due_rows import next_due
from alerting.ledger import JournalLine, Overdue
from alerting.metrics import AlertingMetrics
from schemas.alarms import Grade

_WAITING = ("planned", "queued", "sending")
_log = structlog.get_logger("alerting.overdue")


class OverdueWatch:
    def __init__(self, partition: int, metrics: AlertingMetrics) -> None:
        self._partition = partition
        self._metrics = metrics

    def look(self, database: Database, now_us: int) -> bool:
        """Call it about once a second; it tells the metrics what waits, too. Raises ServiceAway.

        True when something is to be done by now.
        """
        with database.transaction() as connection:
            missed = ledger.mark_overdue(connection, self._partition, now_us)
            ledger.put_journal(connection, [_line(message, now_us) for message in missed])
            waiting = ledger.waiting(connection, self._partition)
            due_us = next_due(connection, self._partition)
        for message in missed:
            self._metrics.overdue.labels(message.channel).inc()
            _log.error(
                "notification overdue", notification=message.id, recipient=message.recipient,
                enterprise=message.enterprise,
            )  # fmt: skip
        for status in _WAITING:
            self._metrics.waiting.labels(status, self._partition).set(waiting.get(status, 0))
        return due_us is not None and due_us <= now_us

    def forget(self) -> None:
        """The partition is no longer ours to count."""
        for status in _WAITING:
            with suppress(KeyError):
                self._metrics.waiting.remove(status, self._partition)


def _line(message: Overdue, now_us: int) -> JournalLine:
    return JournalLine(
        f"overdue.{message.id}",
        now_us,
        message.enterprise,
        Grade.NONE,
        f"A message to {message.recipient} about {message.enterprise} was not taken within its limit.",
        f"发给 {message.recipient}（{message.enterprise}）的消息未在时限内送出。",
    )
