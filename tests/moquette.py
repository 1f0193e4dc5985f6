"""Moquette, a broker in Java that speaks MQTT 3.1.1 and keeps sessions on disk: one that is not Mosquitto."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from tests.waiting import until
from tocsin.local.maven import JavaProgram
from tocsin.local.mosquitto import free_port

_PROGRAM = JavaProgram(
    "Moquette",
    ("io.moquette:moquette-broker:0.17",),
    "On Debian: apt install default-jdk-headless maven.",
)
_PATIENCE_S = 120.0


class Moquette:
    """`start`, `stop`, `kill`; its sessions stay in `folder` between them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Raises ConfigError where Java or Maven is missing, ServiceAway when the jars cannot be had."""
        java, jars = _PROGRAM.java(), _PROGRAM.jars()
        for name in ("config", "data"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        (self._folder / "config" / "moquette.conf").write_text(
            f"host 127.0.0.1\nport {self.port}\nallow_anonymous true\ntelemetry_enabled false\n"
            f"persistence_enabled true\ndata_path {self._folder}/data\nnetty.mqtt.message_size 1000000\n"
        )
        with (self._folder / "moquette.log").open("ab") as log:
            self._process = subprocess.Popen(
                [java, "-Xmx256m", f"-Dmoquette.path={self._folder}", "-cp", f"{jars}/*", "io.moquette.broker.Server"],
                stdout=log,
                stderr=log,
            )
        process = self._process

        def is_up() -> bool:
            assert process.poll() is None, (self._folder / "moquette.log").read_text()[-500:]
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        until(is_up, "Moquette listens", _PATIENCE_S)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def kill(self) -> None:
        """As a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
