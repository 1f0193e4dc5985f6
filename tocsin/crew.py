"""The threads of a process: started in order, ended together, all of them when one fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Hand:
    name: str
    thread: threading.Thread
    stop: Callable[[], None]


class Crew:
    """A part's `run` blocks until its `stop` is called from another thread. What `run` raises ends the whole crew."""

    def __init__(self) -> None:
        self._hands: list[_Hand] = []
        self.failed = threading.Event()
        self.failure: BaseException | None = None
        self.failed_part = ""

    def start(self, name: str, run: Callable[[], None], stop: Callable[[], None]) -> None:
        thread = threading.Thread(target=self._watch, args=(name, run), name=f"tocsin-{name}", daemon=True)
        self._hands.append(_Hand(name, thread, stop))
        thread.start()

    def alive(self) -> dict[str, bool]:
        return {hand.name: hand.thread.is_alive() for hand in self._hands}

    def stop(self, patience_s: float) -> list[str]:
        """The part that was started last ends first, for it brings the others their work; then all others at once.

        Returns the names of those that did not end in time.
        """
        begun = time.monotonic()
        late = []
        for wave, share in ((self._hands[-1:], 0.5), (self._hands[:-1], 1.0)):
            until = begun + share * patience_s
            for hand in reversed(wave):
                hand.stop()
            for hand in reversed(wave):
                hand.thread.join(max(0.05, until - time.monotonic()))
                if hand.thread.is_alive():
                    late.append(hand.name)
        self._hands.clear()
        return late

    def _watch(self, name: str, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001  whatever it was: one part without the others is worse than none
            self.failure = self.failure or error
            self.failed_part = self.failed_part or name
            _log.error("part_failed", part=name, error=str(error), kind=type(error).__name__, exc_info=True)
            self.failed.set()
