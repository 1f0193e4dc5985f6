"""A whole `tocsin up` in a process of its own, as a bench finds it on a bare machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from schemas.errors import ServiceAway
from tocsin.bench.processes import rss_bytes
from tocsin.data_directory import DataDirectory, Running

_READY_S = 120.0


@dataclass(frozen=True, slots=True)
class Service:
    data: Path
    running: Running
    process: subprocess.Popen[bytes]
    ready_after_s: float

    def rss_bytes(self) -> int:
        """Resident memory of the main process."""
        return rss_bytes(self.process.pid)


@contextmanager
def tocsin_up(
    data: Path, *, environment: Mapping[str, str] | None = None, ready_s: float = _READY_S
) -> Iterator[Service]:
    """Start, wait until it is ready, stop at the end. Raises ServiceAway with the log's end when it is not ready."""
    data.mkdir(parents=True, exist_ok=True)
    log = data / "up.log"
    begun = time.monotonic()
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tocsin", "up", "--data", str(data), "--mqtt-port", "0", "--http-port", "0"],
            env={**os.environ, **(environment or {})},
            stdout=out,
            stderr=out,
        )
    try:
        running = _wait_until_ready(data, process, begun + ready_s, log)
        yield Service(data, running, process, time.monotonic() - begun)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(data: Path, process: subprocess.Popen[bytes], until: float, log: Path) -> Running:
    directory = DataDirectory(data)
    while time.monotonic() < until and process.poll() is None:
        running = directory.running()
        if running is not None and running.pid == process.pid:
            try:
                if httpx.get(f"http://127.0.0.1:{running.http_port}/readyz", timeout=1.0).status_code == 200:
                    return running
            except httpx.HTTPError:
                pass
        time.sleep(0.02)
    raise ServiceAway("tocsin up", "it did not become ready", mend=f"Its last words: {log.read_text()[-800:]}")
