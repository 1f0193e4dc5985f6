"""The first half of a round: every ready socket into one buffer, and what stands there as rows of messages.

Bytes that were received and not taken (an unfinished frame, or frames beyond what one round takes) are kept with their
connection and laid before what it sends next, so a client's order is never changed.
"""

from __future__ import annotations

import math
import select

import numpy as np
import numpy.typing as npt

from ingest.door import sockets
from ingest.door.connection import Connection
from ingest.door.control import Control
from ingest.door.limits import Cause
from ingest.door.scan import Found, Passes, Stop, scan
from ingest.door.state import DoorState
from schemas import mqtt
from schemas.mqtt_fields import Reason
from schemas.readings import I64, U8

I32 = npt.NDArray[np.int32]

_LEAST_SHARE = 4_096
_MOST_SHARE = 256 * 1024
"""Bytes that one socket is asked for in one round."""
_HEAD = 72 * 1024
"""The longest head of a message over the limit: its topic, and what of its payload is kept."""
_CONTROLS = 256
"""Frames of one connection that are not plain PUBLISHes, in one round."""
_BY_HAND = 1_024
"""Rows kept free of the scan, for messages that Python adds."""
_FOR_WILLS = 512 * 1024
_NO_BYTES: U8 = np.zeros(0, np.uint8)


class Reader:
    def __init__(self, state: DoorState, control: Control, epoll: select.epoll) -> None:
        settings = state.settings
        self._state = state
        self._control = control
        self._epoll = epoll
        self._most_tail = max(settings.packet_size, _HEAD)
        self._room = max(settings.round_bytes, self._most_tail + 2 * _MOST_SHARE)
        self.buffer: U8 = np.zeros(self._room + _FOR_WILLS, np.uint8)
        self.found = Found(settings.round_messages + _BY_HAND)
        self.numbers: I32 = np.zeros(0, np.int32)
        self.generations: I64 = np.zeros(0, np.int64)
        self.versions: U8 = _NO_BYTES
        self.filled = 0
        """Bytes of the buffer that are in use."""
        self._pending: set[int] = set()
        """Sockets with whole frames in their tail."""
        self._gone: set[int] = set()
        self._held: set[int] = set()
        self._turn = 0

    def has_pending(self) -> bool:
        connections = self._state.connections
        return any(connections[number].is_read for number in self._pending)

    def hold(self, connection: Connection, rest: bytes) -> None:
        """Take bytes that came with a CONNECT."""
        self._set_tail(connection, rest)
        self._pending.add(connection.number)

    def forget(self, connection: Connection) -> None:
        """A connection is closed."""
        number = connection.number
        for numbers in (self._pending, self._gone, self._held):
            numbers.discard(number)
        self._state.counts.unfinished_bytes -= int(self._state.columns.tail_length[number])

    def read(self, ready: I32) -> None:
        """Receive from the `ready` sockets, take up what was pending, and find the messages of this round."""
        state, columns = self._state, self._state.columns
        self.found.count = self.filled = 0
        numbers = self._with_pending(ready)
        tails = columns.tail_length[numbers]
        wanted = (tails <= self._most_tail).astype(np.uint8)
        for number in self._gone:
            wanted[numbers == number] = 0
        joined = _NO_BYTES
        if tails.any():
            holding = numbers[tails > 0].tolist()
            joined = np.frombuffer(bytearray().join(state.connections[n].tail for n in holding), np.uint8)
        share = min(max(self._room // max(len(numbers), 1), _LEAST_SHARE), _MOST_SHARE)
        done, start, end, received = sockets.receive(numbers, wanted, tails, joined, self.buffer, self._room, share)
        self.numbers = numbers = numbers[:done]
        self.generations = columns.generation[numbers]
        self.versions = columns.version[numbers]
        if not done:
            return
        now = state.monotonic()
        self.filled = int(end[-1])
        state.counts.received_bytes += int(received[received > 0].sum())
        columns.heard[numbers[received > 0]] = now
        self._pending.difference_update(numbers.tolist())
        connections = state.connections
        for place in np.flatnonzero(received == sockets.GONE).tolist():
            self.lose(connections[int(numbers[place])])
        if columns.skip[numbers].any():
            self._skip(start, end)
        passes = Passes(np.arange(done, dtype=np.int32), start, end, self.versions)
        scan(self.buffer, passes, self.found, state.settings.packet_size, state.settings.receive_maximum)
        for place in np.flatnonzero(passes.stop > Stop.UNFINISHED).tolist():
            self._attend(place, passes)
        self._keep_tails(passes, tails[:done], now)
        columns.window[numbers] += passes.messages
        for number in numbers[columns.window[numbers] > state.settings.messages_per_s].tolist():
            self._hold_back(connections[number])
        for number in self._gone - self._pending:
            state.leave(connections[number], Cause.CUT)

    def hold_refused(self) -> None:
        """Hold back the senders of this round that had too many messages refused in this second."""
        numbers, refused = self.numbers, self._state.columns.refused
        for number in numbers[refused[numbers] > self._state.settings.refused_per_s].tolist():
            self._hold_back(self._state.connections[number])

    def lose(self, connection: Connection) -> None:
        """The peer has closed, or the socket failed: it is not waited for any more."""
        if not connection.is_gone:
            connection.is_gone = True
            connection.backlog.clear()
            self._epoll.unregister(connection.number)
            self._gone.add(connection.number)

    def _with_pending(self, ready: I32) -> I32:
        if not self._pending:
            return ready
        connections = self._state.connections
        waiting = [number for number in self._pending if connections[number].is_read]
        joined = np.union1d(ready, np.array(waiting, np.int32)).astype(np.int32)
        # The round may be full before its end: each time somebody else comes first.
        self._turn += 1
        return np.roll(joined, self._turn)

    def _skip(self, start: I64, end: I64) -> None:
        columns = self._state.columns
        for place in np.flatnonzero(columns.skip[self.numbers]).tolist():
            number = int(self.numbers[place])
            skipped = min(int(columns.skip[number]), int(end[place] - start[place]))
            start[place] += skipped
            columns.skip[number] -= skipped
            if columns.skip[number] == 0:
                self._control.skipped(self._state.connections[number], place, self.found)

    def _attend(self, place: int, passes: Passes) -> None:
        """Take what the scan left of one connection, frame by frame, as far as this round goes."""
        state, settings = self._state, self._state.settings
        connection = state.connections[int(self.numbers[place])]
        end, most = int(passes.end[place]), settings.receive_maximum
        stop, at, frame_end = int(passes.stop[place]), int(passes.at[place]), int(passes.frame_end[place])
        found, owed, frames = int(passes.messages[place]), int(passes.owed[place]), 0
        while connection.closing is None:
            is_whole = stop == Stop.CONTROL or (stop == Stop.OVERSIZE and frame_end <= end)
            if is_whole and (frames == _CONTROLS or self.found.count >= self.found.capacity - 1):
                self._pending.add(connection.number)
                break
            if stop == Stop.CONTROL:
                rows = self.found.count
                self._control.take(connection, place, self.buffer, at, frame_end, self.found)
                if self.found.count > rows:
                    found += 1
                    owed += int(self.found.qos[rows] > 0)
            elif stop == Stop.OVERSIZE:
                if not self._control.too_large(
                    connection, place, self.buffer, at, end, frame_end, self.found
                ):  # fmt: skip
                    break
            else:
                self._settle_stop(connection, stop, owed >= most)
                break
            frames += 1
            at = min(frame_end, end)
            one = Passes(
                np.array([place], np.int32), np.array([at], np.int64), np.array([end], np.int64),
                self.versions[place : place + 1],
            )  # fmt: skip
            scan(self.buffer, one, self.found, settings.packet_size, most - owed)
            stop, at, frame_end = int(one.stop[0]), int(one.at[0]), int(one.frame_end[0])
            found += int(one.messages[0])
            owed += int(one.owed[0])
        if connection.closing is not None:
            at = end
        passes.at[place], passes.messages[place] = at, found

    def _settle_stop(self, connection: Connection, stop: int, is_at_its_most: bool) -> None:
        if stop == Stop.MALFORMED:
            self._state.leave(connection, Cause.MALFORMED, Reason.MALFORMED)
        elif stop == Stop.FULL and is_at_its_most and connection.version == mqtt.V5:
            self._state.leave(connection, Cause.RECEIVE_MAXIMUM, Reason.RECEIVE_MAXIMUM_EXCEEDED)
        elif stop == Stop.FULL:
            self._pending.add(connection.number)

    def _keep_tails(self, passes: Passes, before: I64, now: float) -> None:
        state, columns, numbers = self._state, self._state.columns, self.numbers
        left = passes.end - passes.at
        columns.tail_length[numbers] = left
        since = columns.tail_since[numbers]
        is_unfinished = (left > 0) | (columns.skip[numbers] > 0)
        since[is_unfinished & ((passes.at > passes.start) | np.isinf(since))] = now
        since[~is_unfinished] = math.inf
        columns.tail_since[numbers] = since
        state.counts.unfinished_bytes += int(left.sum() - before.sum())
        for place in np.flatnonzero(left).tolist():
            tail = self.buffer[int(passes.at[place]) : int(passes.end[place])].tobytes()
            connection = state.connections[int(numbers[place])]
            connection.tail = tail
            if state.counts.unfinished_bytes > state.settings.unfinished_bytes:
                state.leave(connection, Cause.UNFINISHED_BYTES, Reason.QUOTA_EXCEEDED)
                self._set_tail(connection, b"")

    def _set_tail(self, connection: Connection, tail: bytes) -> None:
        columns, number = self._state.columns, connection.number
        self._state.counts.unfinished_bytes += len(tail) - int(columns.tail_length[number])
        connection.tail = tail
        columns.tail_length[number] = len(tail)
        columns.tail_since[number] = self._state.monotonic() if tail else math.inf

    def _hold_back(self, connection: Connection) -> None:
        if not connection.is_held:
            connection.is_held = True
            self._held.add(connection.number)
            self._state.counts.rate_limited += 1
            self.listen(connection)

    def listen(self, connection: Connection) -> None:
        """Wait for what this connection may do now."""
        if not connection.is_gone:
            self._epoll.modify(connection.number, connection.interest())
        if connection.is_read:
            now, number = self._state.monotonic(), connection.number
            self._state.columns.heard[number] = now
            if self._state.columns.tail_length[number]:
                self._state.columns.tail_since[number] = now

    def begin_second(self) -> None:
        """Another second: nobody has sent anything in it yet."""
        self._state.columns.window[:] = self._state.columns.refused[:] = 0
        held, self._held = self._held, set()
        for number in held:
            connection = self._state.connections[number]
            connection.is_held = False
            self.listen(connection)

    def pass_time(self, now: float, blind_s: float) -> None:
        """Close who has been silent, or has left a frame unfinished, for too long.

        blind_s: seconds in which no socket was read; they count against nobody.
        """
        state, columns = self._state, self._state.columns
        columns.heard += blind_s
        columns.tail_since += blind_s
        for number in np.flatnonzero(now - columns.heard > columns.patience_s).tolist():
            if state.connections[number].is_read:
                state.leave(state.connections[number], Cause.KEEP_ALIVE, Reason.KEEP_ALIVE_TIMEOUT)
        for number in np.flatnonzero(now - columns.tail_since > state.settings.frame_s).tolist():
            if state.connections[number].is_read and number not in self._pending:
                state.leave(state.connections[number], Cause.UNFINISHED_FRAME, Reason.UNSPECIFIED)
