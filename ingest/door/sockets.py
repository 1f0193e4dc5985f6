"""Many sockets in one compiled call: wait, receive and send without holding the interpreter's lock.

A Python `recv` gives the lock away and waits for it again, for every socket, beside the threads that judge and store;
here a round does so once for each of the three. The functions of the C library are called by name (so the compiled code
can be cached); they need compilation, NUMBA_DISABLE_JIT=1 leaves nothing to call. Linux only, as is `epoll`.
"""

from __future__ import annotations

import errno
import platform
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from numba import types

from schemas.readings import I64, U8
from scoring.compiled import kernel

I32 = npt.NDArray[np.int32]

_types: Any = types
_numba: Any = numba
_carray = _numba.carray
_external = _types.ExternalFunction
_epoll_wait = _external("epoll_wait", _types.int32(_types.int32, _types.uintp, _types.int32, _types.int32))
_recv = _external("recv", _types.intp(_types.int32, _types.uintp, _types.uintp, _types.int32))
_send = _external("send", _types.intp(_types.int32, _types.uintp, _types.uintp, _types.int32))
_errno = _external("__errno_location", _types.CPointer(_types.int32)())

EVENT_WORDS = 3 if platform.machine() in ("x86_64", "AMD64") else 4
"""`struct epoll_event` as int32 words: packed on x86-64, else padded so that its data lies at 8."""
_DATA = EVENT_WORDS - 2
_DONT_WAIT = 0x40
_NO_SIGNAL = 0x4000
_INTERRUPTED = errno.EINTR
_TRY_AGAIN = (errno.EAGAIN, errno.EINTR)

GONE = -1
"""Of `received` and `sent`: the peer closed the connection or the socket failed."""


def wait(epoll: int, events: I32, timeout_ms: int) -> I32:
    """Socket numbers that are ready, at most as many as `events` has rows.

    epoll: file number of an epoll instance whose events carry their socket's number.  events: (n, EVENT_WORDS) int32,
    scratch.  timeout_ms: 0 does not wait.  A signal ends the wait early. Raises OSError.
    """
    count = int(_wait(epoll, events, timeout_ms))
    if count < 0:
        raise OSError(-count, "epoll_wait failed")
    return np.ascontiguousarray(events[:count, _DATA])


@kernel
def _wait(epoll: int, events: I32, timeout_ms: int) -> Any:
    count = _epoll_wait(np.int32(epoll), np.uintp(events.ctypes.data), np.int32(len(events)), np.int32(timeout_ms))
    if count >= 0:
        return count
    number = _carray(_errno(), 1)[0]
    return 0 if number == _INTERRUPTED else -number


def receive(
    sockets: I32, ready: U8, tail_length: I64, tails: U8, buffer: U8, room: int, share: int
) -> tuple[int, I64, I64, I64]:
    """Lay each connection's unfinished bytes and what its socket gives one behind the other into `buffer`.

    sockets: (n,) socket numbers.  ready: (n,) 0 where only the unfinished bytes are wanted.  tail_length: (n,), and
    tails: all of them joined in order.  room: bytes of `buffer` to fill.  share: bytes to ask of one socket at most.
    Returns how many connections fitted (the rest is for the next round), and for those start and end in the buffer and
    bytes received, GONE where the connection ended.
    """
    count = len(sockets)
    start, end, received = np.zeros(count, np.int64), np.zeros(count, np.int64), np.zeros(count, np.int64)
    room = min(room, len(buffer))
    if count and (int(tail_length.min()) < 0 or int(tail_length.sum()) != len(tails)):
        raise IndexError("the unfinished bytes are not as many as they are said to be")
    done = int(_receive(sockets, ready, tail_length, tails, buffer, room, share, start, end, received))
    return done, start[:done], end[:done], received[:done]


@kernel
def _receive(
    sockets: I32, ready: U8, tail_length: I64, tails: U8, buffer: U8, room: int, share: int,
    start: I64, end: I64, received: I64,
) -> Any:  # fmt: skip
    base = buffer.ctypes.data
    position, taken = np.int64(0), np.int64(0)
    for i in range(len(sockets)):
        tail = tail_length[i]
        # At least a byte must be free, or the answer of the socket could not be told from its end.
        if position + tail >= room:
            return i
        for k in range(tail):
            buffer[position + k] = tails[taken + k]
        taken += tail
        start[i] = position
        position += tail
        if ready[i]:
            asked = min(share, room - position)
            count = _recv(np.int32(sockets[i]), np.uintp(base + position), np.uintp(asked), np.int32(_DONT_WAIT))
            if count > 0:
                received[i] = count
                position += count
            elif count == 0:
                received[i] = GONE
            else:
                number = _carray(_errno(), 1)[0]
                received[i] = 0 if number in _TRY_AGAIN else GONE
        end[i] = position
    return len(sockets)


def send(sockets: I32, wanted: U8, buffer: U8, start: I64, end: I64) -> I64:
    """Send `buffer[start[i]:end[i]]` to each socket with `wanted[i]`; returns bytes sent, GONE where it failed."""
    if len(start) and (int(start.min()) < 0 or int(end.max()) > len(buffer) or bool((start > end).any())):
        raise IndexError("an answer does not lie within the buffer")
    sent = np.zeros(len(sockets), np.int64)
    _send_all(sockets, wanted, buffer, start, end, sent)
    return sent


@kernel
def _send_all(sockets: I32, wanted: U8, buffer: U8, start: I64, end: I64, sent: I64) -> None:
    base = buffer.ctypes.data
    for i in range(len(sockets)):
        size = end[i] - start[i]
        if wanted[i] and size > 0:
            count = _send(
                np.int32(sockets[i]), np.uintp(base + start[i]), np.uintp(size), np.int32(_DONT_WAIT | _NO_SIGNAL)
            )
            if count >= 0:
                sent[i] = count
            else:
                number = _carray(_errno(), 1)[0]
                sent[i] = 0 if number in _TRY_AGAIN else GONE


class Pubacks:
    """The PUBACKs of a round, for each of m connections one run of bytes in order of receipt."""

    __slots__ = ("bytes", "end", "start")

    def __init__(self, connections: int, messages: int) -> None:
        self.bytes: U8 = np.zeros(5 * messages, np.uint8)
        self.start: I64 = np.zeros(connections, np.int64)
        self.end: I64 = np.zeros(connections, np.int64)


def acknowledge(connection: I32, qos: U8, packet_id: I32, reason: U8, version: U8) -> Pubacks:
    """Write the PUBACK of every QoS 1 message; only version 5 is told a reason.

    connection: (n,) places in the round, below the m rows of `version`; a negative one is nobody's.
    """
    out = Pubacks(len(version), len(connection))
    if len(connection) and int(connection.max()) >= len(version):
        raise IndexError("a message belongs to a connection that is not in the round")
    _acknowledge(connection, qos, packet_id, reason, version, out.bytes, out.start, out.end)
    return out


@kernel
def _acknowledge(
    connection: I32, qos: U8, packet_id: I32, reason: U8, version: U8, out: U8, start: I64, end: I64
) -> None:
    for m in range(len(connection)):
        c = connection[m]
        if c >= 0 and qos[m] == 1:
            end[c] += 5 if version[c] == 5 and reason[m] != 0 else 4
    position = np.int64(0)
    for c in range(len(version)):
        size = end[c]
        start[c] = end[c] = position
        position += size
    for m in range(len(connection)):
        c = connection[m]
        if c >= 0 and qos[m] == 1:
            told = version[c] == 5 and reason[m] != 0
            at = end[c]
            out[at] = 0x40
            out[at + 1] = 3 if told else 2
            out[at + 2] = packet_id[m] >> 8
            out[at + 3] = packet_id[m] & 0xFF
            if told:
                out[at + 4] = reason[m]
            end[c] = at + (5 if told else 4)
