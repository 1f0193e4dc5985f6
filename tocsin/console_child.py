"""The web console's process beside the others."""

from __future__ import annotations

from pathlib import Path

import msgspec

from streams.lifeline import begin
from tocsin.child import Child
from tocsin.http_server import bind


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


class ConsoleChild(Child):
    """Bound when made, so that a taken port is said early; browsers that wait while a child dies are answered by the
    next one.
    """

    def __init__(self, settings: ConsoleSettings, host: str, port: int) -> None:
        """port: 0 takes a free one. Raises ConfigError when the address is taken or not ours."""
        self._socket = bind(host, port, "TOCSIN_CONSOLE_PORT")
        self._socket.listen(1024)
        number = self._socket.fileno()
        super().__init__("console", lambda: begin("tocsin.console_process", str(number), pass_fds=[number]))
        self.tell(settings)

    @property
    def port(self) -> int:
        port: int = self._socket.getsockname()[1]
        return port

    def kill(self) -> None:
        self._socket.close()
        super().kill()
