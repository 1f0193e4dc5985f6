"""Finds the frames in a round's bytes: one compiled pass over what every ready socket gave.

The plain PUBLISHes (whole, QoS 0 or 1, of a device without DUP and, in version 5, without properties) become rows of
`Found`. At anything else the pass over that connection stops and says why, and Python takes over at that byte
(`ingest.door.control`, `ingest.bridge.line`).
Every index is bounded by the bytes received: a frame is read only after its whole length is known to lie before `end`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.mqtt import V5
from schemas.readings import I64, U8
from scoring.compiled import kernel

I32 = npt.NDArray[np.int32]


class Stop(IntEnum):
    """Why the pass over one connection's bytes ended where it did."""

    DRAINED = 0
    """Nothing is left."""
    UNFINISHED = 1
    """The next frame is not whole yet."""
    CONTROL = 2
    """A whole frame that is not a plain PUBLISH."""
    FULL = 3
    """No room for more messages, of the round or of this connection."""
    OVERSIZE = 4
    """The next frame says that it is larger than allowed."""
    MALFORMED = 5
    """The next bytes are no frame: a length of five bytes, or of more than it needs."""


DRAINED, UNFINISHED, CONTROL, FULL, OVERSIZE, MALFORMED = (int(stop) for stop in Stop)


class Found:
    """The messages of a round, as columns with room for `capacity` rows of which `count` are used.

    connection: (n,) int32 place in the round.  Offsets are int64 into the round's buffer, half open.
    qos: 0 or 1 from the scan.  retain, dup: 0 or 1.  reason: what the PUBACK says.  taken: 0 where the message only
    wants its PUBACK, because it was refused or is known already.
    """

    __slots__ = (
        "capacity", "connection", "count", "dup", "packet_id", "payload_end", "payload_start", "qos", "reason",
        "retain", "taken", "topic_end", "topic_start",
    )  # fmt: skip

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.count = 0
        self.connection: I32 = np.zeros(capacity, np.int32)
        self.topic_start: I64 = np.zeros(capacity, np.int64)
        self.topic_end: I64 = np.zeros(capacity, np.int64)
        self.payload_start: I64 = np.zeros(capacity, np.int64)
        self.payload_end: I64 = np.zeros(capacity, np.int64)
        self.packet_id: I32 = np.zeros(capacity, np.int32)
        self.qos: U8 = np.zeros(capacity, np.uint8)
        self.retain: U8 = np.zeros(capacity, np.uint8)
        self.dup: U8 = np.zeros(capacity, np.uint8)
        self.reason: U8 = np.zeros(capacity, np.uint8)
        self.taken: U8 = np.zeros(capacity, np.uint8)

    def add(
        self, connection: int, topic: tuple[int, int], payload: tuple[int, int], qos: int, packet_id: int,
        retain: bool = False, reason: int = 0, taken: bool = True, dup: bool = False,
    ) -> int:  # fmt: skip
        """Add a row by hand; the caller has seen that there is room. Returns its place."""
        row = self.count
        self.connection[row] = connection
        self.topic_start[row], self.topic_end[row] = topic
        self.payload_start[row], self.payload_end[row] = payload
        self.qos[row], self.packet_id[row], self.retain[row] = qos, packet_id, retain
        self.reason[row], self.taken[row], self.dup[row] = reason, taken, dup
        self.count += 1
        return row


class Passes:
    """Where the pass over each of m connections begins, may go to, and ended; columns of m rows.

    connection: place in the round.  start, end: its bytes in the buffer.  version: 4 or 5.
    stop: a `Stop`.  at: first byte not taken.  frame_end: end of the frame at `at` where its length is known, else -1.
    messages: rows found.  owed: those of QoS 1.
    """

    __slots__ = ("at", "connection", "end", "frame_end", "messages", "owed", "start", "stop", "version")

    def __init__(self, connection: I32, start: I64, end: I64, version: U8) -> None:
        self.connection, self.start, self.end, self.version = connection, start, end, version
        count = len(connection)
        self.stop: U8 = np.zeros(count, np.uint8)
        self.at: I64 = np.zeros(count, np.int64)
        self.frame_end: I64 = np.zeros(count, np.int64)
        self.messages: I64 = np.zeros(count, np.int64)
        self.owed: I64 = np.zeros(count, np.int64)


def scan(buffer: U8, passes: Passes, found: Found, largest: int, most: int, *, from_broker: bool = False) -> None:
    """Fill `found` with the plain PUBLISHes and `passes` with where and why each pass ended.

    largest: bytes of a whole frame, above which it is OVERSIZE.  most: QoS 1 messages of one connection.
    from_broker: messages with DUP are rows as well, and properties are passed over: a broker sends none that matter.
    O(frames), independent of payload sizes. Raises IndexError when a range does not lie within the buffer.
    """
    starts, ends = passes.start, passes.end
    if len(starts) and (int(starts.min()) < 0 or int(ends.max()) > len(buffer) or bool((starts > ends).any())):
        raise IndexError("a connection's bytes do not lie within the buffer")
    found.count = _scan(
        buffer, passes.connection, starts, ends, passes.version, largest, most, from_broker, found.count,
        passes.stop, passes.at, passes.frame_end, passes.messages, passes.owed, found.connection, found.topic_start,
        found.topic_end, found.payload_start, found.payload_end, found.packet_id, found.qos, found.retain, found.dup,
        found.reason, found.taken,
    )  # fmt: skip


@kernel
def _scan(
    buffer: U8, connections: I32, starts: I64, ends: I64, versions: U8, largest: int, most: int, from_broker: bool,
    count: int, stop: U8, at: I64, frame_end: I64, messages: I64, owed: I64, out_connection: I32, topic_start: I64,
    topic_end: I64, payload_start: I64, payload_end: I64, packet_id: I32, qos: U8, retain: U8, dup: U8, reason: U8,
    taken: U8,
) -> Any:  # fmt: skip
    capacity = len(out_connection)
    mask = 0xF4 if from_broker else 0xFC
    for c in range(len(connections)):
        position, end, own, asking = starts[c], ends[c], 0, np.int64(0)
        five = versions[c] == V5
        why, frame = DRAINED, np.int64(-1)
        while position < end:
            # The remaining length: one to four bytes of seven bits.
            length, shift, cursor, whole, byte = np.int64(0), 0, position + 1, False, np.int64(0)
            while cursor < end and shift < 28:
                byte = np.int64(buffer[cursor])
                cursor += 1
                length |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    whole = True
                    break
            if not whole:
                why = MALFORMED if shift >= 28 else UNFINISHED
                break
            if byte == 0 and shift > 7:
                why = MALFORMED
                break
            frame = cursor + length
            if frame - position > largest:
                why = OVERSIZE
                break
            if frame > end:
                why = UNFINISHED
                break
            first = buffer[position]
            # Type 3, QoS 0 or 1, DUP only where it is looked for and with QoS 1; anything else is not for here.
            if first & mask != 0x30 or first & 0x0A == 0x08:
                why = CONTROL
                break
            level = (first >> 1) & 1
            fixed = 2 + 2 * np.int64(level) + (1 if five else 0)
            if length < fixed + 1:
                why = CONTROL
                break
            topic = (np.int64(buffer[cursor]) << 8) | np.int64(buffer[cursor + 1])
            if topic == 0 or topic + fixed > length:
                why = CONTROL
                break
            name = cursor + 2
            body = name + topic
            number = np.int64(0)
            if level:
                number = (np.int64(buffer[body]) << 8) | np.int64(buffer[body + 1])
                body += 2
                if number == 0:
                    why = CONTROL
                    break
            if five:
                size, shift, whole = np.int64(0), 0, False
                while body < frame and shift < 28:
                    byte = np.int64(buffer[body])
                    body += 1
                    size |= (byte & 0x7F) << shift
                    shift += 7
                    if byte < 0x80:
                        whole = True
                        break
                if not whole or (size and not from_broker) or body + size > frame:
                    why = CONTROL
                    break
                body += size
            if count >= capacity or (level and asking >= most):
                why = FULL
                break
            out_connection[count] = connections[c]
            topic_start[count] = name
            topic_end[count] = name + topic
            payload_start[count] = body
            payload_end[count] = frame
            packet_id[count] = number
            qos[count] = level
            retain[count] = first & 1
            dup[count] = (first >> 3) & 1
            reason[count] = 0
            taken[count] = 1
            count += 1
            own += 1
            asking += np.int64(level)
            position = frame
        stop[c] = why
        at[c] = position
        frame_end[c] = frame if why in (UNFINISHED, CONTROL, OVERSIZE, FULL) and frame > position else -1
        messages[c] = own
        owed[c] = asking
    return count
