"""A bell beside a socket: wakes a thread that waits for both."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator


class Bell:
    """Wakes a thread that waits for a socket. Its own are open while that thread runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rung = False
        self._ends: tuple[socket.socket, socket.socket] | None = None

    def ring(self) -> None:
        with self._lock:
            if not self._rung and self._ends is not None:
                self._ends[0].send(b"!")
            self._rung = True

    def rung(self) -> bool:
        """Whether it was, since this was asked last."""
        with self._lock:
            rung, self._rung = self._rung, False
            if rung and self._ends is not None:
                with contextlib.suppress(BlockingIOError):
                    self._ends[1].recv(64)
        return rung

    def wait(self, fileno: int, timeout_s: float) -> None:
        """Until there is something on `fileno`, or it was rung."""
        assert self._ends is not None, "the bell hangs"
        select.select([fileno, self._ends[1].fileno()], [], [], max(timeout_s, 0.0))

    @contextlib.contextmanager
    def hung(self) -> Iterator[None]:
        ends = socket.socketpair()
        ends[1].setblocking(False)
        with ends[0], ends[1]:
            with self._lock:
                self._ends, self._rung = ends, False
            try:
                yield
            finally:
                with self._lock:
                    self._ends = None
