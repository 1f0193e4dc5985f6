"""A `tocsin up` that is killed, starved and lied to, and started again as a supervisor would."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import psycopg

from sensors_sim.webhook_sink import SinkProcess
from tests.chaos.feeder import now_us
from tocsin.data_directory import DataDirectory
from tocsin.postgres import cluster_in
from tocsin.settings import connect_dsn

_READY_S = 120.0


def until(what: str, holds: Callable[[], bool], patience_s: float) -> None:
    """Look ten times a second until `holds`. Raises TimeoutError that says what was waited for."""
    end = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {patience_s:.0f} s: {what}")
        threading.Event().wait(0.1)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@dataclass
class Victim:
    data: Path
    pack: Path
    sink: SinkProcess
    mqtt_port: int = field(default_factory=free_port)
    kills_us: list[int] = field(default_factory=list)
    """When the process, or its PostgreSQL, died."""
    blind_us: list[tuple[int, int]] = field(default_factory=list)
    """From a death until ticks are in the log again."""
    _process: subprocess.Popen[bytes] | None = None
    _dark_since_us: int = 0

    @property
    def log(self) -> Path:
        return self.data.parent / "up.log"

    @property
    def clock_file(self) -> Path:
        return self.data.parent / "clock"

    def start(self, failpoint: str = "", *, wait: bool = True) -> None:
        """Start, and wait until it is ready unless it is to die at once."""
        environment = os.environ | {
            "TOCSIN_WEBHOOK_URL": self.sink.url,
            "TOCSIN_WEBHOOK_SECRET": "a secret of the chaos test",
            "TOCSIN_FAILPOINT": failpoint,
            "TOCSIN_CHECKPOINT_S": "3",
            "TOCSIN_CLOCK_FILE": str(self.clock_file),
        }
        command = [sys.executable, "-m", "tocsin", "up", "--data", str(self.data), "--rules", str(self.pack)]
        command += ["--mqtt-port", str(self.mqtt_port), "--http-port", "0"]
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        assert self._process is not None
        process = self._process

        def ready() -> bool:
            if process.poll() is not None:
                raise ChildProcessError(f"tocsin up ended with {process.returncode}: {self.last_words()}")
            running = DataDirectory(self.data).running()
            if running is None or running.pid != process.pid:
                return False
            try:
                return httpx.get(f"http://127.0.0.1:{running.http_port}/readyz", timeout=2.0).status_code == 200
            except httpx.HTTPError:
                return False

        until("tocsin up is ready", ready, _READY_S)
        before = 0

        def ticks() -> bool:
            nonlocal before
            try:
                with self.connect() as connection:
                    row = connection.execute("SELECT coalesce(max(number), 0) FROM log_entries").fetchone()
            except psycopg.OperationalError:
                return False
            assert row is not None
            before = before or row[0]
            return bool(row[0] > before)

        until("the log grows", ticks, 60.0)
        if self._dark_since_us:
            self.blind_us.append((self._dark_since_us, now_us()))
            self._dark_since_us = 0

    def _died(self) -> None:
        self.kills_us.append(now_us())
        self._dark_since_us = self._dark_since_us or self.kills_us[-1]

    def kill(self) -> None:
        """`kill -9` of the main process."""
        assert self._process is not None
        self._died()
        self._process.kill()
        self._process.wait()

    def kill_part(self, module: str) -> None:
        """`kill -9` of a part that is a process of its own: python -m `module`."""
        assert self._process is not None
        (part,) = [one for one in psutil.Process(self._process.pid).children() if module in one.cmdline()]
        self.kills_us.append(now_us())
        part.kill()

    def wait_death(self, patience_s: float) -> None:
        """Until it dies at its failpoint. Raises TimeoutError if it lives on."""
        assert self._process is not None
        process = self._process
        until("the process dies at its failpoint", lambda: process.poll() is not None, patience_s)
        assert process.returncode == -signal.SIGKILL, self.last_words()
        self._died()

    def kill_postgres(self) -> None:
        """`kill -9` of the embedded server's postmaster; Tocsin starts it again by itself."""
        pid = int((cluster_in(self.data) / "postmaster.pid").read_text().split()[0])
        self._died()
        os.kill(pid, signal.SIGKILL)
        until("PostgreSQL has gone", lambda: not Path(f"/proc/{pid}").exists(), 10.0)
        self.wait_ready()

    def end_backends(self, chance: random.Random) -> int:
        """End the sessions of Tocsin that are in the middle of something, so that outcomes are unknown."""
        with self.connect() as connection:
            rows = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND state <> 'idle'"
            ).fetchall()
            chosen = [pid for (pid,) in rows] or [0]
            ended = connection.execute("SELECT pg_terminate_backend(%s)", (chance.choice(chosen),)).fetchone()
        return int(bool(ended and ended[0]))

    def step_clock(self, seconds: float) -> None:
        """The machine's wall clock is off by `seconds` from now on."""
        new = self.clock_file.with_suffix(".new")
        new.write_text(str(seconds))
        new.rename(self.clock_file)

    @property
    def dsn(self) -> str:
        return connect_dsn(self.data)

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(self.dsn, autocommit=True)

    def ends(self) -> dict[int, int]:
        """Partition → number of the last entry in the log."""
        with self.connect() as connection:
            row = connection.execute("SELECT max(number) FROM log_entries").fetchone()
        assert row is not None
        return {0: row[0]}

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def last_words(self) -> str:
        return self.log.read_text()[-3000:]
