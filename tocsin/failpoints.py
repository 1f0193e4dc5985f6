"""Places where a test may kill this process, as a power cut would: no cleanup, no flush.

Named in TOCSIN_FAILPOINT as NAME or NAME:COUNT (die at the COUNT-th pass). Without it a failpoint costs one call.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

Failpoint = Callable[[str], None]

NAMES = (
    "after_commit_before_puback",
    "before_engine_commit",
    "after_engine_commit",
    "in_checkpoint",
    "while_partition_closes",
    "after_send_before_stamp",
)


def none(name: str) -> None:
    """No failpoint is set."""


def from_setting(setting: str) -> Failpoint:
    """Make the function that the parts call. Raises ValueError for a name that no part knows."""
    if not setting:
        return none
    wanted, _, count = setting.partition(":")
    if wanted not in NAMES:
        raise ValueError(f"TOCSIN_FAILPOINT: no failpoint {wanted!r}; known are {', '.join(NAMES)}")
    left = int(count or 1)
    lock = threading.Lock()

    def failpoint(name: str) -> None:
        nonlocal left
        if name != wanted:
            return
        with lock:
            left -= 1
            if left > 0:
                return
        os.kill(os.getpid(), signal.SIGKILL)

    return failpoint
