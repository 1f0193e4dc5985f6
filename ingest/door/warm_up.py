"""Loads or compiles the door's kernels before the first client comes, by one message over a pair of sockets."""

from __future__ import annotations

import select
import socket

import numpy as np

from ingest.door import sockets
from ingest.door.repeats import Fingerprints
from ingest.door.scan import Found, Passes, scan
from ingest.intern import ByteTable
from ingest.naming import are_telemetry
from schemas import mqtt

_WAIT_MS = 1000


def compile_kernels() -> None:
    """With a warm cache some tens of milliseconds; with an empty one a few seconds."""
    near, far = socket.socketpair()
    with near, far, select.epoll() as epoll:
        near.setblocking(False)
        epoll.register(near.fileno(), select.EPOLLIN)
        far.sendall(mqtt.encode(mqtt.Publish("a", b"b", 1, packet_id=1), mqtt.V311))
        numbers = sockets.wait(epoll.fileno(), np.zeros((1, sockets.EVENT_WORDS), np.int32), _WAIT_MS)
        buffer, none = np.zeros(64, np.uint8), np.zeros(0, np.uint8)
        one, version = np.ones(1, np.uint8), np.full(1, mqtt.V311, np.uint8)
        _, start, end, _ = sockets.receive(numbers, one, np.zeros(1, np.int64), none, buffer, len(buffer), 32)
        found = Found(1)
        scan(buffer, Passes(np.zeros(1, np.int32), start, end, version), found, len(buffer), 1)
        ByteTable().add_many(buffer, found.topic_start, found.topic_end)
        ByteTable().lookup(buffer, found.topic_start, found.topic_end)
        are_telemetry(buffer, found.topic_start, found.topic_end)
        Fingerprints().of_last(buffer, found, 1)
        pubacks = sockets.acknowledge(found.connection, found.qos, found.packet_id, found.reason, version)
        sockets.send(numbers, one, pubacks.bytes, pubacks.start, pubacks.end)
