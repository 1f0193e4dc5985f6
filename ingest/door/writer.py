"""The second half of a round, after its commit: PUBACKs in order of receipt, answers, and farewells."""

from __future__ import annotations

import select
import socket

import numpy as np
import numpy.typing as npt

from ingest.door import sockets
from ingest.door.connection import Connection
from ingest.door.limits import Cause
from ingest.door.newcomers import Newcomers
from ingest.door.reader import Reader
from ingest.door.repeats import Fingerprints
from ingest.door.state import DoorState

I32 = npt.NDArray[np.int32]


class Writer:
    def __init__(
        self, state: DoorState, fingerprints: Fingerprints, newcomers: Newcomers, epoll: select.epoll, reader: Reader
    ) -> None:
        self._state = state
        self._fingerprints = fingerprints
        self._newcomers = newcomers
        self._epoll = epoll
        self._reader = reader
        self.backlogged: set[int] = set()
        """Sockets that did not take all of their answers."""

    def answer(self) -> None:
        """Send what the round owes to its clients, one send a connection, and end the connections that close."""
        state, reader, found = self._state, self._reader, self._reader.found
        numbers, count = reader.numbers, found.count
        pubacks = sockets.acknowledge(
            found.connection[:count], found.qos[:count], found.packet_id[:count], found.reason[:count],
            reader.versions,
        )  # fmt: skip
        state.counts.acknowledged += int(np.count_nonzero((found.qos[:count] == 1) & (found.connection[:count] >= 0)))
        places, marks = self._fingerprints.of_last(reader.buffer, found, len(numbers))
        state.columns.mark[numbers[places]] = marks
        # A socket number that has been used again must not get the PUBACK of the client before.
        wanted = (state.columns.generation[numbers] == reader.generations).astype(np.uint8)
        places_of = {number: place for place, number in enumerate(numbers.tolist())} if state.talking else {}
        for connection in state.talking.values():
            place, answer = places_of.get(connection.number), bytes(connection.out)
            connection.out.clear()
            if place is not None and wanted[place]:
                wanted[place] = 0
                answer = pubacks.bytes[pubacks.start[place] : pubacks.end[place]].tobytes() + answer
            if connection.pledges:
                connection.unsaid += answer
            else:
                self._write(connection, answer)
        state.talking.clear()
        sent = sockets.send(numbers, wanted, pubacks.bytes, pubacks.start, pubacks.end)
        short = (wanted != 0) & (sent != pubacks.end - pubacks.start)
        for place in np.flatnonzero(short).tolist():
            connection = state.connections[int(numbers[place])]
            if sent[place] == sockets.GONE:
                self._lose(connection)
            else:
                rest = pubacks.bytes[pubacks.start[place] + sent[place] : pubacks.end[place]].tobytes()
                self._put_back(connection, rest)
        self._say_farewell()

    def flush(self, ready: I32) -> I32:
        """Send more to those of `ready` that have a backlog; returns the others, which are to be read."""
        waiting = self.backlogged.intersection(ready.tolist())
        for number in waiting:
            connection = self._state.connections[number]
            rest = bytes(connection.backlog)
            connection.backlog.clear()
            self.backlogged.discard(number)
            self._write(connection, rest)
            if not connection.backlog and connection.closing is None:
                self._reader.listen(connection)
                connection.session.pump()
        return ready[~np.isin(ready, list(waiting))] if waiting else ready

    def release(self, connection: Connection) -> None:
        """Send what has waited for the last of a connection's pledges."""
        answer = bytes(connection.unsaid)
        connection.unsaid.clear()
        self._write(connection, answer)
        if not connection.backlog and connection.closing is None:
            self._reader.listen(connection)
            connection.session.pump()

    def pass_time(self, now: float) -> None:
        """Close who has not read its answers for too long."""
        for number in list(self.backlogged):
            connection = self._state.connections[number]
            if now - connection.backlog_since > self._state.settings.unread_s:
                self._state.leave(connection, Cause.UNREAD)

    def _write(self, connection: Connection, answer: bytes) -> None:
        if connection.is_gone:
            return
        if connection.backlog:
            connection.backlog += answer
            return
        try:
            sent = connection.socket.send(answer, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._lose(connection)
            return
        if sent < len(answer):
            self._put_back(connection, answer[sent:])

    def _put_back(self, connection: Connection, rest: bytes) -> None:
        if connection.is_gone:
            return
        connection.backlog += rest
        connection.backlog_since = self._state.monotonic()
        self.backlogged.add(connection.number)
        self._reader.listen(connection)

    def _lose(self, connection: Connection) -> None:
        self._reader.lose(connection)
        self._state.leave(connection, Cause.CUT)

    def _say_farewell(self) -> None:
        state = self._state
        for connection in state.closing:
            number = connection.number
            state.settle(connection)
            self._reader.forget(connection)
            self.backlogged.discard(number)
            state.columns.clear(number)
            del state.connections[number]
            state.rights.leave(connection.login)
            if connection.is_gone:
                connection.socket.close()
            else:
                self._epoll.unregister(number)
                self._newcomers.linger(connection.socket)
        state.closing.clear()
        state.counts.connections = len(state.connections)
