"""A bridge in a process of its own, to be killed: `python -m tests.bridge_process URL NAME FILE`.

Its log is FILE, a line a reading: what a write has handed to the system stays when the process dies.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence

from ingest.bridge import Bridge, BridgeSettings
from ingest.intake import JsonIntake
from ingest.ports import Kept
from ingest.saved import Change
from schemas.entries import Payload
from schemas.readings import ReadingBatch


class FileLog:
    """Port `ingest.ports.RoundLog`."""

    def __init__(self, file: str) -> None:
        self._out = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def commit(self, payloads: Sequence[Payload], kept: Sequence[Kept], changes: Sequence[Change]) -> int:
        lines = [
            f"{value:.0f}\n" for one in payloads if isinstance(one, ReadingBatch) for value in one.value.tolist()
        ]  # fmt: skip
        os.write(self._out, "".join(lines).encode())
        return 0


def main(url: str, name: str, file: str) -> None:
    settings = BridgeSettings.of(name, url, group="")
    bridge = Bridge(settings, intake=JsonIntake(), log=FileLog(file), clock=lambda: time.time_ns() // 1000)
    bridge.run(threading.Event())


if __name__ == "__main__":
    main(*sys.argv[1:4])
