"""A round in a cluster: its entries and its refused messages are records of Kafka, its sessions' changes follow.

Changes are handed on only behind the records: a packet id of QoS 2 that is kept says that its message was taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ingest.ports import Kept
from ingest.quarantine import encode_kept
from ingest.saved import Change
from schemas.entries import Payload

Append = Callable[[Sequence[Payload]], object]
"""Returns when all of it is delivered; raises ServiceAway."""
Produce = Callable[[Sequence[tuple[bytes, bytes]]], None]
"""Key and value of the records of `schemas.kafka.QUARANTINE`: returns when all are delivered; raises ServiceAway."""
Keep = Callable[[Sequence[Change]], int]
"""Takes changes of sessions over; the number under which it will be said whether they are durable."""


class RoundRecords:
    """Port `ingest.ports.RoundLog` over Kafka. keep: None where there are no sessions (a bridge)."""

    def __init__(self, append: Append, produce: Produce, keep: Keep | None = None) -> None:
        self._append = append
        self._produce = produce
        self._keep = keep

    def commit(self, payloads: Sequence[Payload], kept: Sequence[Kept], changes: Sequence[Change]) -> int:
        """See the port."""
        if payloads:
            self._append(payloads)
        if kept:
            self._produce([(f"{one.enterprise}/{one.device}".encode(), encode_kept(one)) for one in kept])
        return self._keep(changes) if changes and self._keep is not None else 0
