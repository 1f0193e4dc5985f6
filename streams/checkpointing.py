"""Saves snapshots in a thread of its own, one after the other, so that judging never waits for a disk."""

from __future__ import annotations

import threading

import structlog

from schemas.errors import ServiceAway
from streams.ports import Checkpoints, Snapshot

_RETRY_S = 0.5
_log = structlog.get_logger(__name__)


class Saver:
    """Takes one snapshot at a time; a failure other than ServiceAway is kept for the judging thread to raise."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints
        self._changed = threading.Condition()
        self._waiting: Snapshot | None = None
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self.saved = 0
        """Generations saved by this process."""
        self.covers = 0
        """Number of the last entry that a saved generation covers."""
        self._failure: BaseException | None = None

    @property
    def busy(self) -> bool:
        """A snapshot is being saved. It holds only what changed, so the next must not be made before it is safe."""
        return self._waiting is not None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
        self._thread.start()

    def offer(self, snapshot: Snapshot) -> None:
        """Hand over a snapshot; only when not `busy`."""
        with self._changed:
            assert self._waiting is None
            self._waiting = snapshot
            self._changed.notify_all()

    def wait_idle(self, timeout_s: float) -> bool:
        """True once nothing is being saved; False after `timeout_s` or when saving has failed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is None or self._failure is not None, timeout_s)
            return self._waiting is None

    def check(self) -> None:
        """Raise what saving has failed with."""
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """End the thread; a snapshot that is not saved by now is given up, and the last generation stands."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=5.0)
            self._thread = None

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None or self._closing.is_set())
                snapshot = self._waiting
            if snapshot is None:
                return
            try:
                self._save(snapshot)
            except Exception as error:  # noqa: BLE001 - raised again by the judging thread
                self._failure = error
                with self._changed:
                    self._changed.notify_all()
                return
            if self._closing.is_set():
                return

    def _save(self, snapshot: Snapshot) -> None:
        while not self._closing.is_set():
            try:
                self._checkpoints.save(snapshot)
            except ServiceAway as error:
                _log.warning("checkpoint_waits", error=error.what)
                self._closing.wait(_RETRY_S)
                continue
            snapshot.release()
            self.saved += 1
            self.covers = snapshot.position
            with self._changed:
                self._waiting = None
                self._changed.notify_all()
            return
