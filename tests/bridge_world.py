"""A bridge in a thread over a log in memory, and devices that publish at a broker by hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from ingest.bridge import Bridge, BridgeSettings
from ingest.bridge.leases import PostgresLeases
from ingest.intake import JsonIntake
from ingest.ports import RoundLog
from schemas import mqtt
from tests.door_world import WAIT_S, Client, Clock, MemoryLog, MemoryStore
from tests.waiting import until


class BridgeWorld:
    """`start` may follow `end`: the bridge of the same name comes again, and for the others it was not gone.

    log: of several bridges, the same.  dsn: where they find each other; their leases are moved by `leases.turn()`.
    """

    def __init__(
        self, url: str, name: str = "b1", log: MemoryLog | None = None, dsn: str = "", **options: Any
    ) -> None:  # fmt: skip
        told = {"retry_s": (0.05,), "quiet_s": 0.2, **options.pop("settings", {})}
        made = BridgeSettings.of(name, url, **{k: told.pop(k) for k in ("password", "group", "ca") if k in told})
        self.settings = replace(made, **told)
        self.log = MemoryLog(MemoryStore()) if log is None else log
        self.clock = Clock()
        self.failure: BaseException | None = None
        self.ahead_s = 0.0
        """By how much the leases' clock is ahead."""
        self._options = options
        if dsn:
            self.leases = PostgresLeases(dsn, self.settings, monotonic=lambda: time.monotonic() + self.ahead_s)
            self.leases.begin()
            self._options["leases"] = self.leases

    def start(self, log: RoundLog | None = None) -> BridgeWorld:
        """log: another than that in memory."""
        self.bridge = Bridge(
            self.settings, intake=JsonIntake(), log=log or self.log, clock=self.clock.us, **self._options
        )
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, name="bridge")
        self.thread.start()
        return self

    def _run(self) -> None:
        try:
            self.bridge.run(self.stop)
        except BaseException as failure:
            self.failure = failure

    def wait_until_connected(self) -> BridgeWorld:
        until(lambda: not self.bridge.trouble(), "the bridge is connected and subscribed")
        return self

    def end(self) -> None:
        self.log.gate.set()
        self.stop.set()
        self.thread.join(WAIT_S)
        assert not self.thread.is_alive()
        if self.failure is not None:
            raise self.failure


@contextmanager
def bridge_world(url: str, **options: Any) -> Iterator[BridgeWorld]:
    world = BridgeWorld(url, **options).start()
    try:
        yield world
    finally:
        world.end()


@contextmanager
def device(port: int, client_id: str = "kitchen", version: int = mqtt.V311, **fields: Any) -> Iterator[Client]:
    client = Client(port, version)
    try:
        client.connect(client_id, **fields)
        yield client
    finally:
        client.close()
