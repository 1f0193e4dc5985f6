"""Keeps a child process running beside the others, and ends it with them."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable

import msgspec
import structlog

from schemas.errors import Fenced
from streams.lifeline import FENCED_EXIT, hang_up, tell

_BACKOFF_S = (0.1, 0.5, 2.0, 5.0)
_WELL_S = 60.0
"""A child that has lived so long begins the backoff anew when it dies."""
_log = structlog.get_logger(__name__)


class Child:
    """`run` blocks until `stop`; a child that dies is started again, one that was fenced ends us."""

    def __init__(
        self,
        name: str,
        begin: Callable[[], subprocess.Popen[bytes]],
        *,
        listen: Callable[[], None] = lambda: None,
    ) -> None:
        """name: as it stands in log lines.  begin: starts it; see `streams.lifeline`.

        listen: called once it runs; returns, at the latest, when it has ended.
        """
        self._name = name
        self._begin = begin
        self._told: msgspec.Struct | None = None
        self._early: subprocess.Popen[bytes] | None = None
        self._listen = listen
        self._stopping = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self.restarts = 0

    @property
    def pid(self) -> int:
        """Process number of the running child, 0 between two."""
        child = self._child
        return child.pid if child is not None and child.poll() is None else 0

    def begin(self) -> None:
        """Let its first process start already; it waits to be told."""
        self._early = self._begin()

    def tell(self, told: msgspec.Struct) -> None:
        """Before `run`: what each of its processes is told."""
        self._told = told

    def run(self) -> None:
        """Raises Fenced when another has taken over what the child does."""
        in_a_row = 0
        while True:
            with self._lock:
                if self._stopping.is_set():
                    return
                self._child, self._early = self._early or self._begin(), None
                assert self._told is not None, "nobody has told it anything"
                tell(self._child, self._told)
            begun = time.monotonic()
            self._listen()
            code = self._child.wait()
            with self._lock:
                hang_up(self._child)
            if self._stopping.is_set():
                return
            if code == FENCED_EXIT:
                raise Fenced(f"another {self._name} has taken over.")
            in_a_row = 0 if time.monotonic() - begun > _WELL_S else in_a_row
            _log.error(f"{self._name}_ended", code=code, restarts=self.restarts)
            self._stopping.wait(_BACKOFF_S[min(in_a_row, len(_BACKOFF_S) - 1)])
            self.restarts += 1
            in_a_row += 1

    def stop(self) -> None:
        """Closing the child's lifeline asks it to end."""
        with self._lock:
            self._stopping.set()
            if self._child is not None:
                hang_up(self._child)

    def kill(self) -> None:
        """For a child that did not end in time, or was never run."""
        if self._early is not None:
            hang_up(self._early)
            self._early.wait()
        if self._child is not None and self._child.poll() is None:
            self._child.kill()
            self._child.wait()
