"""Fingerprints of messages, by which a repeated one is known: SipHash twice, so no two messages meet by chance.

One fingerprint a connection and round is taken, of its last QoS 1 message, so a message costs nothing.
"""

from __future__ import annotations

import secrets

import numpy as np
import numpy.typing as npt

from ingest.door.scan import Found
from ingest.intern import siphash
from schemas.readings import I64, U8
from scoring.compiled import kernel

I32 = npt.NDArray[np.int32]
U64 = npt.NDArray[np.uint64]


class Fingerprints:
    def __init__(self) -> None:
        self._keys = np.frombuffer(bytearray(secrets.token_bytes(32)), np.uint64).reshape(2, 2)

    def of(self, buffer: U8, found: Found, rows: I64) -> U64:
        """(k, 2) uint64 over topic, packet id and payload of the given rows."""
        out = np.zeros((len(rows), 2), np.uint64)
        _fingerprints(
            buffer, found.topic_start, found.topic_end, found.payload_start, found.payload_end, found.packet_id,
            rows, self._keys, out,
        )  # fmt: skip
        return out

    def of_last(self, buffer: U8, found: Found, connections: int) -> tuple[I64, U64]:
        """Which connections of the round have a QoS 1 message, and the fingerprint of each one's last."""
        last = np.full(connections, -1, np.int64)
        _last(found.connection, found.qos, found.taken, found.count, last)
        having = np.flatnonzero(last >= 0)
        return having, self.of(buffer, found, last[having])


@kernel
def _last(connection: I32, qos: U8, taken: U8, count: int, last: I64) -> None:
    for m in range(count):
        if connection[m] >= 0 and qos[m] == 1 and taken[m]:
            last[connection[m]] = m


@kernel
def _fingerprints(
    buffer: U8, topic_start: I64, topic_end: I64, payload_start: I64, payload_end: I64, packet_id: I32,
    rows: I64, keys: U64, out: U64,
) -> None:  # fmt: skip
    for k in range(len(rows)):
        m = rows[k]
        for half in range(2):
            topic = siphash(buffer, topic_start[m], topic_end[m], keys[half])
            payload = siphash(buffer, payload_start[m], payload_end[m], keys[half])
            spread = topic * np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(packet_id[m])
            out[k, half] = (payload ^ spread * np.uint64(0xC2B2AE3D27D4EB4F)) | np.uint64(1)
