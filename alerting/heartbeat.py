"""The dead man's heartbeat: an outside watcher is called while all is well, and rings when the calls stop.

It is the one alarm that still works when this process, its PostgreSQL or its network is gone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import httpx
import structlog

_TIMEOUT_S = 10.0
_log = structlog.get_logger("alerting.heartbeat")


class Heartbeat:
    """`run` blocks until `stop`. healthy: called before each beat; False, or an exception, lets the beat out.

    method: GET or POST, as the watcher wants it.  transport: for tests.
    """

    def __init__(
        self,
        url: str,
        every_s: float,
        healthy: Callable[[], bool],
        *,
        method: str = "GET",
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._url = url
        self._every_s = every_s
        self._healthy = healthy
        self._method = method
        self._client = httpx.Client(timeout=_TIMEOUT_S, trust_env=False, transport=transport)
        self._stopping = threading.Event()
        self._missed = 0

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        """The first beat comes at once."""
        try:
            while not self._stopping.is_set():
                self.beat()
                self._stopping.wait(self._every_s)
        finally:
            self._client.close()

    def beat(self) -> bool:
        """Call the watcher if all is well; True when it answered with 2xx."""
        try:
            well = self._healthy()
        except Exception as error:  # noqa: BLE001  whatever keeps us from saying "well" must silence the beat, not end it
            _log.error("health cannot be told", error=type(error).__name__)
            well = False
        if not well:
            return False
        try:
            answered = self._client.request(self._method, self._url).is_success
        except (httpx.HTTPError, httpx.InvalidURL):
            answered = False
        self._missed = 0 if answered else self._missed + 1
        if self._missed == 1:
            # The URL often holds a token, so it stays out of the log.
            _log.warning("the heartbeat's watcher does not answer")
        return answered
