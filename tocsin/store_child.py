"""Keeps the reading store's process running beside the others, and ends it with them."""

from __future__ import annotations

import subprocess
import threading

import structlog

from schemas.errors import Fenced
from streams.store.process import FENCED_EXIT, StoreSettings, spawn

_BACKOFF_S = (0.1, 0.5, 2.0, 5.0)
_log = structlog.get_logger(__name__)


class StoreChild:
    """`run` blocks until `stop`; a store that dies is started again, one that was fenced ends us."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self.restarts = 0

    @property
    def pid(self) -> int:
        """Process number of the running store, 0 between two."""
        child = self._child
        return child.pid if child is not None and child.poll() is None else 0

    def run(self) -> None:
        """Raises Fenced when another store has taken over."""
        while True:
            with self._lock:
                if self._stopping.is_set():
                    return
                self._child = spawn(self._settings)
            code = self._child.wait()
            if self._stopping.is_set():
                return
            if code == FENCED_EXIT:
                raise Fenced("another reading store follows this log.")
            _log.error("store_ended", code=code, restarts=self.restarts)
            self._stopping.wait(_BACKOFF_S[min(self.restarts, len(_BACKOFF_S) - 1)])
            self.restarts += 1

    def stop(self) -> None:
        """Closing the child's lifeline asks it to write what it has gathered and to end."""
        with self._lock:
            self._stopping.set()
            if self._child is not None and self._child.stdin is not None:
                self._child.stdin.close()

    def kill(self) -> None:
        """For a child that did not end in time."""
        if self._child is not None and self._child.poll() is None:
            self._child.kill()
            self._child.wait()
