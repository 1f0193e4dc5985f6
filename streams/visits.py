"""Lets other threads look at what one thread works on: between two pieces of its work, never within one.

The working thread never waits for a visitor's turn to run: when it is busy it makes the visit itself, at the end of
the piece it is at. When it rests, the visitor does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar, cast

_T = TypeVar("_T")
_AGAIN_S = 0.01
"""The worker may end its piece just before it is asked, and rest then."""


class Visits:
    """`with visits:` around each piece of work, in the working thread; `visit` from one other thread at a time."""

    def __init__(self) -> None:
        self._work = threading.Lock()
        self._asked: _Visit | None = None

    def __enter__(self) -> None:
        self._work.acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._serve()
        self._work.release()

    def visit(self, look: Callable[[], _T]) -> _T:
        """What `look` returns, called in one thread or the other; raises what it raises."""
        asked = self._asked = _Visit(look)
        while not asked.made.is_set():
            if self._work.acquire(blocking=False):
                self._serve()
                self._work.release()
            else:
                asked.made.wait(_AGAIN_S)
        if asked.error is not None:
            raise asked.error
        return cast(_T, asked.result)

    def _serve(self) -> None:
        asked, self._asked = self._asked, None
        if asked is not None:
            asked.make()


class _Visit:
    def __init__(self, look: Callable[[], Any]) -> None:
        self._look = look
        self.made = threading.Event()
        self.result: Any = None
        self.error: Exception | None = None

    def make(self) -> None:
        try:
            self.result = self._look()
        except Exception as error:  # noqa: BLE001 - raised again where the visit was asked for
            self.error = error
        self.made.set()
