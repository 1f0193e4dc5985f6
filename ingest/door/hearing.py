"""Alarms on their way to a door's subscribers: what the workers say in Kafka, every door of a cluster publishes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import structlog

from schemas.errors import ServiceAway
from schemas.kafka import ALARMS_STATE

Record = tuple[str, bytes, bytes]
"""(Kafka's topic, key, value): the key is the MQTT topic, the value its payload; an empty one deletes."""
Read = Callable[[float], Sequence[Record]]
"""Waits so many seconds at most for records; raises ServiceAway."""
Publish = Callable[[str, bytes, int, bool], None]
"""`Door.publish`: topic, payload, qos, retain."""

_WAIT_S = 0.5
_QOS = 1
_log = structlog.get_logger(__name__)


class Hearing:
    """`run` blocks until `stop`. read: of `schemas.kafka.ALARMS` what comes, of ALARMS_STATE all there is."""

    def __init__(self, read: Read, publish: Publish) -> None:
        self._read = read
        self._publish = publish
        self._stopping = threading.Event()
        self._trouble = ""
        self.heard = 0

    def trouble(self) -> str:
        """Why subscribers hear of no alarms; empty when they do."""
        return self._trouble

    def run(self) -> None:
        """Kafka away is waited for; a door that closes ends it."""
        while not self._stopping.is_set():
            try:
                records = self._read(_WAIT_S)
                self._trouble = ""
            except ServiceAway as away:
                if not self._trouble:
                    _log.warning("alarms_wait", error=str(away))
                self._trouble = str(away)
                self._stopping.wait(away.retry_after_s)
                continue
            try:
                for topic, key, value in records:
                    self._publish(key.decode(errors="replace"), value, _QOS, topic == ALARMS_STATE)
                    self.heard += 1
            except ServiceAway:
                return

    def stop(self) -> None:
        self._stopping.set()
