"""A MessageBatch from topics and payloads, as the door would hand it over."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ingest.ports import MessageBatch

ARRIVAL_US = 1_790_000_000_000_000
"""2026-09-21T14:13:20Z."""


class Door:
    """Numbers topics and arrivals over the life of a test."""

    def __init__(self, arrival_us: int = ARRIVAL_US) -> None:
        self._topics: dict[str, int] = {}
        self.next_arrival_us = arrival_us

    def batch(self, messages: Sequence[tuple[str, bytes]]) -> MessageBatch:
        """Messages (topic, payload); the first arrives at `next_arrival_us`, the others 1 µs apart."""
        buffer = bytearray()
        topics, payloads = [], []
        for topic, payload in messages:
            for part, places in ((topic.encode(), topics), (payload, payloads)):
                places.append((len(buffer), len(buffer) + len(part)))
                buffer += part
        n = len(messages)
        topic_at = np.array(topics, np.int64).reshape(n, 2)
        payload_at = np.array(payloads, np.int64).reshape(n, 2)
        arrival_us = self.next_arrival_us + np.arange(n, dtype=np.int64)
        self.next_arrival_us += n
        ids = [self._topics.setdefault(topic, len(self._topics)) for topic, _ in messages]
        return MessageBatch(
            buffer=np.frombuffer(buffer + b" ", np.uint8),
            topic_start=topic_at[:, 0].copy(),
            topic_end=topic_at[:, 1].copy(),
            payload_start=payload_at[:, 0].copy(),
            payload_end=payload_at[:, 1].copy(),
            topic_id=np.array(ids, np.int32),
            arrival_us=arrival_us,
            client=np.zeros(n, np.int32),
        )
