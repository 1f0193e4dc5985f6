"""Places where a test may kill this process, as a power cut would: no cleanup, no flush.

Named in TOCSIN_FAILPOINT as NAME or NAME:COUNT (die at the COUNT-th pass). Without it a failpoint costs one call.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

from schemas.errors import ConfigError

Failpoint = Callable[[str], None]

NAMES = (
    "after_commit_before_puback",
    "before_engine_commit",
    "after_engine_commit",
    "in_checkpoint",
    "while_partition_closes",
    "after_send_before_stamp",
    "before_risk_commit",
    "after_risk_commit",
    "move_made_topics",
    "move_closed_log",
    "move_wrote_time",
    "in_move",
    "after_move",
)


def none(name: str) -> None:
    """No failpoint is set."""


def from_setting(setting: str) -> Failpoint:
    """Make the function that the parts call. Raises ConfigError for a name that no part knows."""
    if not setting:
        return none
    wanted, _, count = setting.partition(":")
    if wanted not in NAMES:
        raise ConfigError(
            f"no part has a failpoint {wanted!r}.", field="TOCSIN_FAILPOINT", mend=f"Known are {', '.join(NAMES)}."
        )
    if count and not count.isdigit():
        raise ConfigError(f"{count!r} is not a count.", field="TOCSIN_FAILPOINT", mend="Write NAME or NAME:COUNT.")
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
