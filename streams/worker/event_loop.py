"""Runs a coroutine in an event loop of its own, and ends the loop even where tasks of others do not end.

`asyncio.run` waits for every task; a supervisor of Faust's that starts again what was cancelled holds it for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

_ROUND_S = 0.5
_ROUNDS = 3
_T = TypeVar("_T")
_log = structlog.get_logger(__name__)


def run_in_own_loop(main: Coroutine[Any, Any, _T]) -> _T:
    """Return what `main` returns, at most some seconds after it did."""
    loop = asyncio.new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main)
    finally:
        _cancel_all(loop)
        asyncio.set_event_loop(None)
        loop.close()


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for _ in range(_ROUNDS):
        tasks = asyncio.all_tasks(loop)
        if not tasks:
            return
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.wait(tasks, timeout=_ROUND_S))
    left = asyncio.all_tasks(loop)
    if left:
        _log.warning("tasks_do_not_end", tasks=[task.get_name() for task in left])
        # What they say when they are thrown away is known.
        loop.set_exception_handler(lambda *_: None)
