"""A Mosquitto of our own on loopback, for a bridge to read: persistent, and with room for what waits."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path

from schemas.errors import ConfigError, ServiceAway

_READY_S = 10.0
_QUEUED = 1_000_000
"""Messages that wait for a bridge that is away; beyond it Mosquitto drops the newest."""


def free_port() -> int:
    """A port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Mosquitto:
    """`start`, `stop`, `kill`; its data stay in `folder` between them."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self._folder = folder
        self.port = port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Raises ConfigError where Mosquitto is not installed, ServiceAway when it does not come up."""
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
        if program is None:
            raise ConfigError("Mosquitto is missing.", mend="On Debian: apt install mosquitto")
        self._folder.mkdir(parents=True, exist_ok=True)
        # Mosquitto gives up root's rights for a user of its own, who must reach its files.
        self._folder.chmod(0o777)
        config = self._folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {self._folder}/\nautosave_interval 5\nmax_queued_messages {_QUEUED}\n"
            "max_inflight_messages 0\nset_tcp_nodelay true\n"
        )
        log = (self._folder / "mosquitto.log").open("ab")
        with log:
            self._process = subprocess.Popen([program, "-c", str(config)], stdout=log, stderr=log)
        until = time.monotonic() + _READY_S
        while time.monotonic() < until and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
                return
            except OSError:
                time.sleep(0.02)
        raise ServiceAway("Mosquitto", "it did not come up.", mend=f"See {self._folder / 'mosquitto.log'}.")

    def stop(self) -> None:
        self._end(kill=False)

    def kill(self) -> None:
        """As a power cut would: what it had not saved is gone."""
        self._end(kill=True)

    def _end(self, *, kill: bool) -> None:
        if self._process is None:
            return
        (self._process.kill if kill else self._process.terminate)()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
