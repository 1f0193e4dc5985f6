"""What stands on loopback for somebody else's service: a process of its own, which says its port when it listens."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import ServiceAway


@dataclass(slots=True)
class StandIn:
    """One that listens. file: what it has taken, a JSON line each, flushed before it answers."""

    process: subprocess.Popen[bytes]
    port: int
    file: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate()


def launch(module: str, file: Path, port: int, service: str) -> tuple[subprocess.Popen[bytes], int, Path]:
    """Run `python -m module PORT FILE` until it listens; what a `StandIn` is made of.

    port: 0 for any that is free.  Raises ServiceAway, of `service`, when it ends instead.
    """
    process = subprocess.Popen([sys.executable, "-m", module, str(port), str(file)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    said = process.stdout.readline()
    if not said:
        process.communicate()
        raise ServiceAway(service, "its stand-in did not start; its own words are on stderr.")
    return process, int(said), file


def lines_of(file: Path) -> list[bytes]:
    """Every line that was written so far, in order; one that is still being written is left out."""
    return file.read_bytes().split(b"\n")[:-1] if file.exists() else []
