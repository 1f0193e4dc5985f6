"""A door of several in a process of its own, to be killed: `python -m tests.door_process DSN NAME`.

What it takes is written nowhere: who asks about that asks the doors that live.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence

from ingest.commit_kafka import RoundRecords
from ingest.door import Door, DoorSettings
from ingest.intake import JsonIntake
from ingest.shared_sessions import SharedSessions


def main(dsn: str, name: str) -> None:
    shared = SharedSessions(dsn, name, lease_s=60.0)
    door = Door(
        DoorSettings(name=name, port=0), intake=JsonIntake(), log=RoundRecords(_nowhere, _nowhere, shared.keep),
        store=shared, peers=shared, clock=lambda: time.time_ns() // 1000,
    )  # fmt: skip
    threading.Thread(target=shared.run, daemon=True).start()
    print(door.port, flush=True)
    door.run(threading.Event())


def _nowhere(_: Sequence[object]) -> None:
    """The log of a door that is about to die."""


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
