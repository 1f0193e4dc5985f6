"""The scan, slow and obvious: what the compiled one must say of any bytes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ingest.door.scan import Found, Passes, Stop, scan


@dataclass
class Told:
    """Messages as (connection, topic, payload, qos, packet id, retain, dup); of each connection stop, place, length."""

    messages: list[tuple[int, bytes, bytes, int, int, int, int]] = field(default_factory=list)
    ends: list[tuple[Stop, int, int]] = field(default_factory=list)


def naive(pieces: list[tuple[bytes, int]], largest: int, most: int, capacity: int, from_broker: bool = False) -> Told:
    told = Told()
    for connection, (data, version) in enumerate(pieces):
        at, owed = 0, 0
        while True:
            stop, frame, message = _next(data[at:], version, largest, from_broker)
            if message is not None and ((message[2] and owed >= most) or len(told.messages) >= capacity):
                stop, message = Stop.FULL, None
            if message is None:
                told.ends.append((stop, at, -1 if frame is None else at + frame))
                break
            assert frame is not None
            told.messages.append((connection, *message))
            owed += message[2]
            at += frame
    return told


def _next(
    data: bytes, version: int, largest: int, from_broker: bool
) -> tuple[Stop, int | None, tuple[bytes, bytes, int, int, int, int] | None]:
    if not data:
        return Stop.DRAINED, None, None
    length, used = 0, 0
    while True:
        if used == 4:
            return Stop.MALFORMED, None, None
        if len(data) < 2 + used:
            return Stop.UNFINISHED, None, None
        byte = data[1 + used]
        length += (byte % 128) * 128**used
        used += 1
        if byte < 128:
            break
    if used > 1 and byte == 0:
        return Stop.MALFORMED, None, None
    frame = 1 + used + length
    if frame > largest:
        return Stop.OVERSIZE, frame, None
    if len(data) < frame:
        return Stop.UNFINISHED, frame, None
    body = data[1 + used : frame]
    qos, retain, dup = data[0] >> 1 & 3, data[0] & 1, data[0] >> 3 & 1
    if data[0] >> 4 != 3 or qos > 1 or len(body) < 2 or (dup and not (from_broker and qos)):
        return Stop.CONTROL, frame, None
    size = int.from_bytes(body[:2], "big")
    topic, rest = body[2 : 2 + size], body[2 + size :]
    if len(topic) < max(size, 1) or len(rest) < 2 * qos + (version == 5):
        return Stop.CONTROL, frame, None
    packet_id = int.from_bytes(rest[: 2 * qos], "big")
    rest = rest[2 * qos :]
    if qos and not packet_id:
        return Stop.CONTROL, frame, None
    if version == 5:
        size, used = 0, 0
        while True:
            if used == 4 or used == len(rest):
                return Stop.CONTROL, frame, None
            byte = rest[used]
            size += (byte % 128) * 128**used
            used += 1
            if byte < 128:
                break
        if (size and not from_broker) or len(rest) < used + size:
            return Stop.CONTROL, frame, None
        rest = rest[used + size :]
    return Stop.DRAINED, frame, (topic, rest, qos, packet_id, retain, dup)


def compiled(
    pieces: list[tuple[bytes, int]], largest: int, most: int, capacity: int, from_broker: bool = False
) -> Told:
    data = b"".join(piece for piece, _ in pieces)
    # Nothing may be read beyond the end: what stands there is a frame that would be found.
    buffer = np.frombuffer(bytearray(data + b"\x30\x04\x00\x01a!"), np.uint8)
    ends = np.cumsum([len(piece) for piece, _ in pieces]).astype(np.int64)
    starts = ends - np.array([len(piece) for piece, _ in pieces], np.int64)
    passes = Passes(np.arange(len(pieces), dtype=np.int32), starts, ends, np.array([v for _, v in pieces], np.uint8))
    found = Found(capacity)
    scan(buffer, passes, found, largest, most, from_broker=from_broker)
    told = Told()
    for m in range(found.count):
        topic = buffer[found.topic_start[m] : found.topic_end[m]].tobytes()
        payload = buffer[found.payload_start[m] : found.payload_end[m]].tobytes()
        told.messages.append(
            (int(found.connection[m]), topic, payload, int(found.qos[m]), int(found.packet_id[m]),
             int(found.retain[m]), int(found.dup[m]))
        )  # fmt: skip
    for c, start in enumerate(starts.tolist()):
        frame_end = int(passes.frame_end[c])
        told.ends.append(
            (Stop(int(passes.stop[c])), int(passes.at[c]) - start, -1 if frame_end < 0 else frame_end - start)
        )
    return told
