"""How the log in Kafka stands: what this process writes, and where its partitions end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

import structlog

from schemas.errors import ConfigError, ServiceAway
from streams.log.kafka import KafkaLog
from tocsin.metrics import Station
from tocsin.standing import Standing

_LOOK_S = 2.0
_OLD_S = 30.0
_log = structlog.get_logger(__name__)


def kafka_standing(log: KafkaLog) -> Standing:
    """Of a process that writes the log."""

    def counters() -> dict[str, float]:
        return {"records": log.records, "written_bytes": log.bytes, "failures": log.failures}

    return Standing("log", log.trouble, [Station("log", counters)])


class Heads:
    """Asks Kafka now and then for the newest entry of each partition. `run` blocks until `stop`."""

    def __init__(self, ask: Callable[[], Mapping[int, int]]) -> None:
        """ask: partition → number of its newest entry; may block, raises ServiceAway or ConfigError."""
        self._ask = ask
        self._stopping = threading.Event()
        self._heads: Mapping[int, int] = {}
        self._at = time.monotonic()
        self._trouble = ""

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._heads = self._ask()
                self._at = time.monotonic()
                self._trouble = ""
            except (ServiceAway, ConfigError) as error:
                if not self._trouble:
                    _log.warning("heads_wait", error=error.what)
                self._trouble = str(error)
            self._stopping.wait(_LOOK_S)

    def stop(self) -> None:
        self._stopping.set()

    def of(self, partition: int) -> int | None:
        """None while it is not known."""
        return self.all().get(partition)

    def all(self) -> Mapping[int, int]:
        """Of every partition; empty while they are not known."""
        return self._heads if time.monotonic() - self._at < _OLD_S else {}

    def among(self, partitions: Callable[[], Mapping[int, object]]) -> Mapping[int, int]:
        """Of those partitions that are known."""
        mine = partitions()
        return {partition: head for partition, head in self.all().items() if partition in mine}

    def standing(self, partitions: Callable[[], Mapping[int, object]]) -> Standing:
        """Of a process that reads these partitions."""
        heads = [
            Station("log", gauges=lambda head=head: {"head": float(head)}, partition=partition)  # type: ignore[misc]
            for partition, head in self.among(partitions).items()
        ]
        return Standing("kafka", lambda: self._trouble, heads)
