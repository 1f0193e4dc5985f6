"""Asks carriers what became of messages that they accepted, until they know or an hour has passed.

Asked after 2 s, then twice as long each time up to a minute. Which messages are left to ask about stands in the
ledger, so any process that has the channel goes on with them.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import structlog

from alerting import ledger
from alerting.database import Database
from alerting.ledger import Arrived, Awaited
from alerting.metrics import AlertingMetrics
from alerting.ports import Arrival, Clock, Tracked, Tracks
from schemas.errors import ServiceAway

FIRST_US = 2_000_000
_LONGEST_US = 60_000_000
GIVE_UP_US = 3600 * 1_000_000
_LOOK_S = 1.0
_AT_ONCE = 20
_log = structlog.get_logger("alerting.tracking")


class Tracking:
    """`run` blocks until `stop`. channels: by name, those that can be asked."""

    def __init__(self, dsn: str, channels: Mapping[str, Tracks], clock: Clock, metrics: AlertingMetrics) -> None:
        self._database = Database(dsn, "tocsin tracking")
        self._channels = channels
        self._clock = clock
        self._metrics = metrics
        self._stopping = threading.Event()

    def run(self) -> None:
        """A PostgreSQL that is away is waited for."""
        while not self._stopping.is_set():
            try:
                busy = self.look()
            except ServiceAway:
                busy = False
            if not busy:
                self._stopping.wait(_LOOK_S)
        self.close()

    def stop(self) -> None:
        self._stopping.set()

    def close(self) -> None:
        """For one who looks without `run`, which does it by itself."""
        self._database.close()

    def look(self) -> bool:
        """Ask about what is due; True when there may be more. Raises ServiceAway."""
        more = [self._ask(name, channel) for name, channel in self._channels.items()]
        return any(more)

    def _ask(self, name: str, channel: Tracks) -> bool:
        with self._database.statement() as connection:
            awaited = ledger.take_tracked(connection, name, self._clock(), FIRST_US, _LONGEST_US, _AT_ONCE)
        if not awaited:
            return False
        try:
            said = channel.track([one.reference for one in awaited])
        except (Exception, SystemExit) as error:  # noqa: BLE001  a channel's defect must not end the tracking
            _log.error("channel failed", channel=name, error=type(error).__name__)
            said = [Tracked(Arrival.UNKNOWN)] * len(awaited)
        now_us = self._clock()
        arrived = arrived_of(awaited, said, now_us)
        if arrived:
            self._write(name, arrived, now_us)
        return len(awaited) == _AT_ONCE

    def _write(self, name: str, arrived: Sequence[Arrived], now_us: int) -> None:
        with self._database.statement() as connection:
            counted = ledger.put_arrived(connection, arrived, now_us)
        arrived = [one for one in arrived if one.id in counted]
        failed = [one for one in arrived if one.delivered is False]
        if failed:
            with self._database.statement() as connection:
                ledger.hurry_ladders(connection, [one.id for one in failed], now_us)
        for one in arrived:
            word = "unknown" if one.delivered is None else "delivered" if one.delivered else "failed"
            self._metrics.arrivals.labels(name, word).inc()
        for one in failed:
            self._metrics.failed.labels(name).inc()
            _log.error("notification not delivered", notification=one.id, channel=name, detail=one.detail)


def arrived_of(awaited: Sequence[Awaited], said: Sequence[Tracked], now_us: int) -> list[Arrived]:
    """Those about which no more is to be asked. Pure."""
    arrived = []
    for one, answer in zip(awaited, said, strict=True):
        if answer.arrival in (Arrival.DELIVERED, Arrival.FAILED):
            arrived.append(Arrived(one.id, one.reference, answer.arrival is Arrival.DELIVERED, answer.detail))
        elif now_us - one.accepted_us >= GIVE_UP_US:
            arrived.append(Arrived(one.id, one.reference, None, answer.detail))
    return arrived
