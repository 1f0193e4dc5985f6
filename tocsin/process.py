"""What every process of Tocsin is: parts started in order, ended in reverse, and all of them when one fails."""

from __future__ import annotations

import gc
import signal
import threading
import time
from collections.abc import Callable

import structlog
from prometheus_client import CollectorRegistry

from tocsin import failpoints
from tocsin.clocks import clock_of
from tocsin.crew import Crew
from tocsin.resident import give_back_code, share_arenas
from tocsin.settings import Settings

_STOP_S = 4.0
_log = structlog.get_logger(__name__)


def obey() -> threading.Event:
    """An event that SIGINT and SIGTERM set. From the main thread."""
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set())
    return told


class Process:
    """`start`, then `wait` until it is told to stop or a part fails, then `stop`."""

    def __init__(self, settings: Settings) -> None:
        share_arenas()
        self.settings = settings
        self.crew = Crew()
        self.metrics = CollectorRegistry()
        self._clock = clock_of(settings.clock_file, settings.led_clock)
        self._failpoint = failpoints.from_setting(settings.failpoint)
        self._told = threading.Event()
        self._closers: list[Callable[[], None]] = []
        self.late: list[str] = []
        """Parts that had not ended when it was stopped."""

    def wait(self, timeout_s: float | None = None) -> bool:
        """Until told to stop or a part fails; False when `timeout_s` passed first."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while not (self._told.is_set() or self.crew.failed.is_set()):
            left = 0.2 if until is None else min(0.2, until - time.monotonic())
            if left <= 0:
                return False
            self._told.wait(left)
        return True

    def obey_signals(self) -> None:
        """SIGINT and SIGTERM tell it to stop. From the main thread, before `start`."""
        self._told = obey()

    def stop(self) -> None:
        """End every part within about five seconds; what was acknowledged is on disk already.

        A door that waits for the outcome of a commit, since PostgreSQL is away, ends when the log's writer is closed.
        """
        self.late = self.crew.stop(_STOP_S)
        for close in reversed(self._closers):
            close()
        if self.late:
            _log.warning("parts_ended_late", parts=self.late)

    def raise_failure(self) -> None:
        """Raise what ended a part, if anything did."""
        if self.crew.failure is not None:
            raise self.crew.failure

    @staticmethod
    def settle_memory() -> None:
        """Once all parts are up: what is there now lives as long as the process.

        A full collection that looks at it, at the compiler's objects above all, would stop every thread for a tenth of
        a second.
        """
        gc.freeze()
        give_back_code()
