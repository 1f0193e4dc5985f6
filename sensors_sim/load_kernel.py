"""The load generator's loop as one compiled call: due messages out, acknowledgements in, both written down.

Open loop: a message has an intended time that does not move because an earlier one was slow.  A message leaves late
only when its connection may not (socket full, or `window` messages unacknowledged).  All times are µs since 1970.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scoring.compiled import inlined, kernel
from sensors_sim import libc
from sensors_sim.frames import packet_id, stamp
from sensors_sim.load_tables import Conn, Count, Setting

I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
U8 = npt.NDArray[np.uint8]

CHUNK_BYTES = 65_536
RECEIVE_BYTES = 65_536
EVENTS = 1024
_FOREVER = 1 << 62

# enums are not for kernels: their numbers are
(
    _FD,
    _FIRST,
    _END,
    _NEXT,
    _SERIAL,
    _ACKED,
    _ORDINAL,
    _UNSENT_AT,
    _UNSENT_END,
    _LAST_MS,
    _PHASE,
    _TAIL,
    _DEAD,
    _FAULTS,
) = (int(c) for c in Conn)
_INTERVAL_NS, _BURST, _WINDOW, _QUANTUM, _STOP, _ID_AT, _TS_AT, _EPOLL, _MOST = (int(s) for s in Setting)
_BLOCKS, _ACKS, _NEXT_ALARM = (int(c) for c in Count)
_SEND, _RECV, _EPOLL_WAIT = libc.send, libc.recv, libc.epoll_wait
_PPOLL, _NANOSLEEP, _CLOCK = libc.ppoll, libc.nanosleep, libc.clock_gettime
_EINTR, _EAGAIN, _DONT_WAIT = libc.EINTR, libc.EAGAIN, libc.DONT_WAIT
_WORDS, _AT_FD = libc.EPOLL_WORDS, libc.EPOLL_FD
_errno = libc.errno


@inlined
def _now_us(clock: I64) -> int:
    _CLOCK(0, clock.ctypes.data)
    return int(clock[0] * 1_000_000 + clock[1] // 1000)


@inlined
def _flush(conn: I64, frames: I64) -> None:
    """Send what waits; conn: one row of the table.  frames: (1,) the address of the first row."""
    while conn[_UNSENT_AT] < conn[_UNSENT_END]:
        size = conn[_UNSENT_END] - conn[_UNSENT_AT]
        sent = _SEND(np.int32(conn[_FD]), frames[0] + conn[_UNSENT_AT], np.uint64(size), _DONT_WAIT)
        if sent >= 0:
            conn[_UNSENT_AT] += sent
            continue
        error = _errno()
        if error == _EINTR:
            continue
        if error != _EAGAIN:
            conn[_DEAD] = error
        return


@inlined
def _receive(index: int, conn: I64, tail: U8, inbox: U8, acks: I64, counts: I64, clock: I64) -> None:
    """Read the socket dry and count PUBACKs; any other packet is a fault."""
    before = conn[_ACKED]
    while True:
        kept = conn[_TAIL]
        inbox[:kept] = tail[:kept]
        size = len(inbox) - kept
        got = _RECV(np.int32(conn[_FD]), inbox.ctypes.data + kept, np.uint64(size), _DONT_WAIT)
        if got <= 0:
            if got == 0:
                conn[_DEAD] = -1
            else:
                error = _errno()
                if error == _EINTR:
                    continue
                if error != _EAGAIN:
                    conn[_DEAD] = error
            break
        end = kept + got
        at = 0
        while at + 4 <= end:
            expected = packet_id(conn[_ACKED])
            right = inbox[at] == 0x40 and inbox[at + 1] == 2
            if not right or (np.int64(inbox[at + 2]) << 8 | np.int64(inbox[at + 3])) != expected:
                conn[_FAULTS] += 1
            conn[_ACKED] += 1
            at += 4
        conn[_TAIL] = end - at
        tail[: end - at] = inbox[at:end]
        if got < size:
            break
    if conn[_ACKED] != before:
        ack = acks[counts[_ACKS]]
        ack[0] = index
        ack[1] = conn[_ACKED]
        ack[2] = _now_us(clock)
        counts[_ACKS] += 1


@inlined
def _write_block(
    index: int, conn: I64, row: int, count: int, ordinal: int, now: int, rows: U8, settings: I64, value_at: I64,
    digits: U8, blocks: I64, counts: I64, frames: I64,
) -> None:  # fmt: skip
    stamp(rows, row, count, conn[_SERIAL], now // 1000, settings[_ID_AT], settings[_TS_AT], value_at, digits)
    block = blocks[counts[_BLOCKS]]
    block[0] = index
    block[1] = conn[_SERIAL]
    block[2] = count
    block[3] = row
    block[4] = ordinal
    block[5] = now
    counts[_BLOCKS] += 1
    conn[_SERIAL] += count
    conn[_LAST_MS] = now // 1000
    conn[_UNSENT_AT] = row * rows.shape[1]
    conn[_UNSENT_END] = (row + count) * rows.shape[1]
    _flush(conn, frames)


@inlined
def _send_due(
    index: int, conn: I64, now: int, rows: U8, settings: I64, value_at: I64, digits: U8, blocks: I64, counts: I64,
    frames: I64,
) -> int:  # fmt: skip
    """Send what is due on one connection; returns when its next message is due, or `now` if it is held up."""
    if conn[_DEAD] != 0:
        return _FOREVER
    interval, burst = settings[_INTERVAL_NS], settings[_BURST]
    most = max(1, CHUNK_BYTES // rows.shape[1])
    _flush(conn, frames)
    while True:
        due = np.int64(_FOREVER)
        if interval > 0:
            since = (now - conn[_PHASE]) * 1000
            due = (since // interval + 1) * burst if since >= 0 else np.int64(0)
        wanted = min(due, settings[_MOST]) - conn[_ORDINAL]
        if conn[_ORDINAL] == settings[_MOST]:
            return _FOREVER if conn[_UNSENT_AT] == conn[_UNSENT_END] else now
        if wanted <= 0:
            return int(conn[_PHASE] + conn[_ORDINAL] // burst * interval // 1000)
        if conn[_UNSENT_AT] < conn[_UNSENT_END] or counts[_BLOCKS] == len(blocks):
            return now
        if conn[_NEXT] == conn[_END]:
            if conn[_LAST_MS] >= now // 1000:
                return now
            conn[_NEXT] = conn[_FIRST]
        room = settings[_WINDOW] - (conn[_SERIAL] - conn[_ACKED])
        count = min(wanted, room, conn[_END] - conn[_NEXT], most)
        if count <= 0:
            return now
        first, ordinal = conn[_NEXT], conn[_ORDINAL]
        conn[_NEXT] += count
        conn[_ORDINAL] += count
        _write_block(index, conn, first, count, ordinal, now, rows, settings, value_at, digits, blocks, counts, frames)


@kernel
def pump(
    until_us: int,
    rows: U8,
    value_at: I64,
    conns: I64,
    due_us: I64,
    tails: U8,
    conn_of_fd: I32,
    settings: I64,
    alarms: I64,
    blocks: I64,
    acks: I64,
    counts: I64,
    events: I32,
    inbox: U8,
) -> None:
    """Work until `until_us`, or until `blocks` or `acks` must be taken away.

    conns: (k, 14) `Conn`.  due_us: (k,) when a connection must be looked at again, at first 0.
    tails: (k, 4).  alarms: (a, 3) intended time, connection, row; by time.
    blocks: (b, 6) `Block`.  acks: (c, 3) `Ack`, c of at least k + 1.  counts: (3,) `Count`.
    """
    clock, pause = np.zeros(2, np.int64), np.zeros(2, np.int64)
    polled = np.zeros(2, np.int32)  # struct pollfd: descriptor, then events and revents in one word
    digits = np.zeros(13, np.uint8)
    frames = np.zeros(1, np.int64)
    frames[0] = rows.ctypes.data
    polled[0] = settings[_EPOLL]
    polled[1] = 1  # POLLIN
    while True:
        ready = _EPOLL_WAIT(np.int32(settings[_EPOLL]), events.ctypes.data, np.int32(EVENTS), np.int32(0))
        for i in range(ready):
            index = conn_of_fd[events[i * _WORDS + _AT_FD]]
            if conns[index, _DEAD] == 0:
                _receive(index, conns[index], tails[index], inbox, acks, counts, clock)
        now = _now_us(clock)
        next_us = until_us
        if now < settings[_STOP]:
            while counts[_NEXT_ALARM] < len(alarms) and counts[_BLOCKS] < len(blocks):
                alarm = alarms[counts[_NEXT_ALARM]]
                if alarm[0] > now:
                    next_us = min(next_us, alarm[0])
                    break
                index = alarm[1]
                conn = conns[index]
                held = conn[_SERIAL] - conn[_ACKED] >= settings[_WINDOW]
                if conn[_DEAD] == 0 and (held or conn[_UNSENT_AT] < conn[_UNSENT_END]):
                    next_us = now
                    break
                if conn[_DEAD] == 0:
                    ordinal = -1 - counts[_NEXT_ALARM]
                    _write_block(
                        index, conn, alarm[2], 1, ordinal, now, rows, settings, value_at, digits, blocks, counts, frames
                    )
                counts[_NEXT_ALARM] += 1
            for index in range(len(conns)):
                if due_us[index] <= now:
                    due_us[index] = _send_due(
                        index, conns[index], now, rows, settings, value_at, digits, blocks, counts, frames
                    )
                next_us = min(next_us, due_us[index])
        else:
            for index in range(len(conns)):
                if conns[index, _DEAD] == 0:
                    _flush(conns[index], frames)
        if counts[_BLOCKS] == len(blocks) or counts[_ACKS] + len(conns) >= len(acks):
            return
        now = _now_us(clock)
        if now >= until_us:
            return
        # held up, or just behind: look again in a millisecond, or as soon as an answer comes
        wait = next_us - now if next_us > now else 1000
        wait = min(max(wait, settings[_QUANTUM]), until_us - now)
        pause[0] = 0
        pause[1] = wait * 1000
        if wait >= 1_000_000:
            pause[0] = wait // 1_000_000
            pause[1] = wait % 1_000_000 * 1000
        if settings[_QUANTUM] > 0:
            _NANOSLEEP(pause.ctypes.data, 0)
        else:
            _PPOLL(polled.ctypes.data, np.uint64(1), pause.ctypes.data, 0)
