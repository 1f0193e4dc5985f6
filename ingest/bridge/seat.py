"""One session that this bridge reads: connecting to it, again and again, and the connection while there is one.

Everything runs in the bridge's thread but `dial`, which blocks and has a thread of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future

import structlog

from ingest.bridge.committed import Committed
from ingest.bridge.dial import Dialled, Undialled, dial
from ingest.bridge.limits import BridgeSettings, Cause, Counts
from ingest.bridge.line import Line
from ingest.bridge.outbox import Outbox
from ingest.bridge.sessions import Held, Role
from ingest.door.repeats import Fingerprints
from ingest.ports import Refused
from schemas import mqtt

_LIVED_S = 10.0
"""A connection that held for so long is tried again at once when it ends."""
_OTHER_VERSION = frozenset({Cause.VERSION, Cause.CUT, Cause.NO_ANSWER, Cause.REFUSED})
"""Refusals after which the older version of MQTT is tried: not every broker of 3.1.1 knows how to say so."""

_log = structlog.get_logger(__name__)


class Seat:
    """rouse: called from another thread when there is something new here."""

    def __init__(
        self, held: Held, settings: BridgeSettings, counts: Counts, dialling: Executor, fingerprints: Fingerprints,
        rouse: Callable[[], None],
    ) -> None:  # fmt: skip
        self.held = held
        self.line: Line | None = None
        self.outbox = Outbox(settings.queue, counts)
        self.committed = Committed(fingerprints)
        self.trouble = f"{settings.address}: not connected yet"
        self.was_subscribed = False
        """Its subscriptions have stood once; the broker keeps them while we are away."""
        self._settings = settings
        self._counts = counts
        self._dialling = dialling
        self._rouse = rouse
        self._version = settings.version or mqtt.V5
        # Shared subscriptions are a part of version 5; a broker of 3.1.1 may grant one and never send anything.
        self._is_version_known = bool(settings.version or settings.group)
        self._dialled: Future[Dialled] | None = None
        self._failures = 0
        self._next = 0.0
        self._confirm_after = self._confirm_until = -1.0
        """Between them only a look that finds us to hold the session lets us take it back."""
        self._was_there = False
        self._is_over = False

    @property
    def is_over(self) -> bool:
        """Nothing is left of it."""
        return self._is_over and self.line is None and self._dialled is None

    def take_refused(self) -> Sequence[Refused]:
        """Messages over the limit that have come since the last time."""
        if self.line is None or not self.line.refused:
            return ()
        refused, self.line.refused = self.line.refused, []
        return refused

    def advance(self, now: float, confirmed_at: float) -> bool:
        """Connect when it is time; True when a connection has begun."""
        if self._dialled is not None:
            return self._dialled.done() and self._begin(self._dialled, now)
        may = confirmed_at > self._confirm_after or now >= self._confirm_until
        if self.line is None and not self._is_over and now >= self._next and may:
            self._dialled = self._dialling.submit(dial, self._settings, self.held, self._version)
            self._dialled.add_done_callback(lambda _: self._rouse())
        return False

    def pass_time(self, now: float, *, is_read: bool) -> None:
        line = self.line
        if line is None:
            return
        line.pass_time(now, is_read=is_read)
        if line.is_subscribed:
            self.trouble = f"{self._settings.address} refuses our subscription" if line.refused_filters else ""
            self.was_subscribed |= not line.refused_filters
        if self.held.role is Role.ADOPTED and line.is_subscribed and line.is_parted:
            self._look_for_its_end(line, now)

    def leave(self, cause: Cause) -> None:
        """Give the session up, after this round."""
        self._is_over = True
        if self.line is not None:
            self.line.close(cause)

    @property
    def is_in_doubt(self) -> bool:
        """The session may be another's: somebody should look."""
        return self.line is None and self._confirm_after >= 0

    def end_line(self, now: float) -> None:
        """Close a connection that is to be closed, and say when the next may begin."""
        line = self.line
        if line is None or line.closing is None:
            return
        cause, self.line = line.closing, None
        self._counts.closed[cause] += 1
        line.end(forever=cause is Cause.DRAINED)
        if cause in (Cause.LEASE, Cause.STOPPING, Cause.DRAINED):
            return
        self.trouble = f"{self._settings.address}: the connection ended: {cause}"
        _log.warning("broker_is_gone", client_id=self.held.client_id, cause=cause.value)
        if cause in (Cause.TAKEN_OVER, Cause.CUT):
            # Another bridge may hold it by now, which brokers do not always say. PostgreSQL may be away, too.
            self._confirm_after = now
            self._confirm_until = now + self._settings.lease_s if cause is Cause.CUT else math.inf
        self._failures = 0 if now - line.since > _LIVED_S else self._failures
        self._pause(now)

    def _begin(self, future: Future[Dialled], now: float) -> bool:
        self._dialled = None
        if future.cancelled():
            return False
        try:
            dialled = future.result()
        except Undialled as error:
            self._refused(error, now)
            return False
        self.line = Line(
            dialled, self.held.client_id, self.held.wanted, self.outbox, self._settings, self._counts, now
        )  # fmt: skip
        if self._is_over:
            self.line.close(Cause.LEASE)
        self._is_version_known = True
        self._counts.connects += 1
        if not dialled.is_resumed:
            self.committed.forget()
            if self._was_there:
                self._counts.forgotten += 1
                _log.warning("broker_forgot_session", client_id=self.held.client_id)
            elif self.held.role is Role.ADOPTED:
                self.line.close(Cause.DRAINED)
        self._was_there = True
        _log.info(
            "broker_connected", client_id=self.held.client_id, version=dialled.version, resumed=dialled.is_resumed
        )  # fmt: skip
        return True

    def _refused(self, error: Undialled, now: float) -> None:
        self._counts.refused[error.cause] += 1
        trouble = f"{self._settings.address}: {error}"
        if trouble != self.trouble:
            _log.warning("broker_refuses", client_id=self.held.client_id, cause=error.cause.value, error=str(error))
        self.trouble = trouble
        if error.cause in _OTHER_VERSION and not self._is_version_known:
            self._version = mqtt.V311 if self._version == mqtt.V5 else mqtt.V5
        self._pause(now)

    def _pause(self, now: float) -> None:
        pauses = self._settings.retry_s
        self._next = now + pauses[min(self._failures, len(pauses) - 1)]
        self._failures += 1

    def _look_for_its_end(self, line: Line, now: float) -> None:
        """It is empty once it has been silent for a while, and the broker answers that nothing is on its way."""
        silent_since = line.quiet_since + self._settings.quiet_s
        if now < silent_since:
            return
        if line.ponged > silent_since:
            line.close(Cause.DRAINED)
        else:
            line.ask(now)
