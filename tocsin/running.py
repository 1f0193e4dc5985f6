"""Runs a process of a cluster in the foreground: says where it answers, obeys signals, ends cleanly."""

from __future__ import annotations

import os
import sys
from typing import Protocol

from rich.console import Console

from tocsin.data_directory import Running


class Startable(Protocol):
    def obey_signals(self) -> None: ...
    def start(self) -> Running: ...
    def wait(self) -> bool: ...
    def stop(self) -> None: ...
    def raise_failure(self) -> None: ...
    @property
    def late(self) -> list[str]: ...


def run(name: str, process: Startable, host: str) -> None:
    """Until Ctrl-C, SIGTERM or the failure of a part, which is raised."""
    process.obey_signals()
    try:
        running = process.start()
        mqtt = f"MQTT on port {running.mqtt_port}, " if running.mqtt_port else ""
        Console(highlight=False, markup=False, soft_wrap=True).print(
            f"The {name} runs: {mqtt}http://{host}:{running.http_port}/readyz and /metrics. Ctrl-C ends it."
        )
        process.wait()
    finally:
        process.stop()
    process.raise_failure()
    if process.late:
        # A library's thread that is still at work would call into an interpreter that is gone, and crash.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
