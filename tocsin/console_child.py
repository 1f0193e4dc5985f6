"""Keeps the web console's process running beside the others, and ends it with them."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog

from tocsin.http_server import bind

_BACKOFF_S = (0.1, 0.5, 2.0, 5.0)
_WELL_S = 60.0
"""A child that has served so long begins the backoff anew when it dies."""
_log = structlog.get_logger(__name__)


class ConsoleSettings(msgspec.Struct, frozen=True):
    """What the console's process is told. Holds secrets: it goes through a pipe, never through arguments."""

    dsn: str
    token: str
    language: str = "en"
    """Of who has not said theirs."""
    public_url: str = ""
    duty_phone: str = ""
    main: str = ""
    """Address of the process beside which this console runs, whose `/readyz` tells how all parts stand."""
    data: Path | None = None
    """Where that process keeps its data."""
    clock_file: Path | None = None
    led_clock: Path | None = None


def spawn(settings: ConsoleSettings, bound: socket.socket) -> subprocess.Popen[bytes]:
    """Start the process on `bound`. Close its `stdin` (or end this process) to end it; code 0 is a clean end."""
    command = [sys.executable, "-m", "tocsin.console_process", str(bound.fileno())]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[bound.fileno()])
    assert child.stdin is not None
    try:
        child.stdin.write(msgspec.json.encode(settings, enc_hook=str) + b"\n")
        child.stdin.flush()
    except BrokenPipeError:
        pass  # it is gone already: whoever waits for it hears its code
    return child


class ConsoleChild:
    """Bound when made, so that a taken port is said early. `run` blocks until `stop`; a child that dies is started
    again, and the browsers that wait are answered by the next one.
    """

    def __init__(self, settings: ConsoleSettings, host: str, port: int) -> None:
        """port: 0 takes a free one. Raises ConfigError when the address is taken or not ours."""
        self._socket = bind(host, port, "TOCSIN_CONSOLE_PORT")
        self._socket.listen(1024)
        self._settings = settings
        self._stopping = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self.restarts = 0

    @property
    def port(self) -> int:
        port: int = self._socket.getsockname()[1]
        return port

    @property
    def pid(self) -> int:
        """Process number of the running console, 0 between two."""
        child = self._child
        return child.pid if child is not None and child.poll() is None else 0

    def trouble(self) -> str:
        return "" if self.pid else "the console's process is being started again"

    def run(self) -> None:
        in_a_row = 0
        while True:
            with self._lock:
                if self._stopping.is_set():
                    return
                self._child = spawn(self._settings, self._socket)
            begun = time.monotonic()
            code = self._child.wait()
            with self._lock:
                _hang_up(self._child)
            if self._stopping.is_set():
                return
            in_a_row = 0 if time.monotonic() - begun > _WELL_S else in_a_row
            _log.error("console_ended", code=code, restarts=self.restarts)
            self._stopping.wait(_BACKOFF_S[min(in_a_row, len(_BACKOFF_S) - 1)])
            self.restarts += 1
            in_a_row += 1

    def stop(self) -> None:
        """Closing the child's lifeline asks it to end."""
        with self._lock:
            self._stopping.set()
            if self._child is not None:
                _hang_up(self._child)

    def kill(self) -> None:
        """For a child that did not end in time."""
        self._socket.close()
        if self._child is not None and self._child.poll() is None:
            self._child.kill()
            self._child.wait()


def _hang_up(child: subprocess.Popen[bytes]) -> None:
    """Close its lifeline."""
    if child.stdin is not None:
        with suppress(BrokenPipeError):
            child.stdin.close()
