"""Waits for what another process is about to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_PATIENCE_S = 120.0
"""A machine that does much else at the same time is slow, and not wrong."""
_LOOK_S = 0.05


def until(holds: Callable[[], bool], what: str, patience_s: float = _PATIENCE_S) -> None:
    """Return as soon as `holds`; fail naming `what` when it has not after `patience_s`."""
    pause = threading.Event()
    end = time.monotonic() + patience_s
    while True:
        began = time.monotonic()
        if holds():
            return
        now = time.monotonic()
        assert now < end, f"waited {patience_s:.0f} s in vain until {what}"
        # Whoever looks for long leaves as much time to what he waits for.
        pause.wait(max(_LOOK_S, now - began))
