"""Sockets before their CONNECT and after their last packet, on an epoll of their own.

So they can be served, with a refusal, while the log is away and no device's socket is read.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from dataclasses import dataclass

from ingest.door.connection import Connection
from ingest.door.greeting import Candidate, Greeting, Refusal
from ingest.door.limits import Cause
from ingest.door.proxied import read_header
from ingest.door.state import DoorState
from ingest.saved import SessionAsked, SessionKey
from schemas.mqtt import Connect
from schemas.mqtt_fields import Reason

_READ = 65_536
_ACCEPTED_AT_ONCE = 256


@dataclass(slots=True)
class _Waiting:
    """A client without a CONNECT yet. since: when it came.  said: what it has said."""

    client: socket.socket
    since: float
    said: bytearray
    is_proxied: bool
    """A TLS terminator brings it."""
    certified: str | None = None
    """Once the terminator has said so: the name in its certificate, empty without one."""


@dataclass(frozen=True, slots=True)
class _Parked:
    """A client whose session other doors are asked for. rest: what it has said behind its CONNECT."""

    client: socket.socket
    since: float
    came_us: int
    candidate: Candidate
    rest: bytes


class Newcomers:
    def __init__(
        self, state: DoorState, greeting: Greeting, listener: socket.socket, proxied: socket.socket | None = None
    ) -> None:
        """proxied: listens to a TLS terminator."""
        self._state = state
        self._greeting = greeting
        self._listeners = {one.fileno(): one for one in (listener, proxied) if one is not None}
        self._proxied = proxied
        self._epoll = select.epoll()
        for number in self._listeners:
            self._epoll.register(number, select.EPOLLIN)
        self._is_deaf = False
        """Nobody is accepted until the next `pass_time`."""
        self._waiting: dict[int, _Waiting] = {}
        self._lingering: dict[int, tuple[socket.socket, float]] = {}
        """Drained until the peer closes or the time is up."""
        self._parked: dict[SessionKey, _Parked] = {}

    def fileno(self) -> int:
        return self._epoll.fileno()

    def serve(self, timeout_s: float, is_away: bool, welcome: Callable[[Connection, bytes], None]) -> None:
        """Accept, read and answer whatever is ready.

        welcome: takes a connection that was let in and the bytes after its CONNECT.  is_away: let nobody in.
        """
        for number, _ in self._epoll.poll(timeout_s):
            if number in self._listeners:
                self._accept(self._listeners[number])
            elif number in self._waiting:
                self._hear(number, is_away, welcome)
            elif number in self._lingering:
                self._drain(number)

    def fetched(self, key: SessionKey, is_known: bool, welcome: Callable[[Connection, bytes], None]) -> None:
        """The session that a parked client waited for is here, or there is none; or nobody can say."""
        parked = self._parked.pop(key, None)
        if parked is None:
            return
        client, candidate = parked.client, parked.candidate
        if not is_known:
            self._refuse(client, candidate.packet, Refusal(Cause.AWAY, Reason.SERVER_UNAVAILABLE))
            return
        try:
            connection = self._greeting.admit(client, candidate)
        except Refusal as refusal:
            self._refuse(client, candidate.packet, refusal)
            return
        welcome(connection, parked.rest)

    def came_elsewhere(self, key: SessionKey, at_us: int) -> None:
        """Its client has given up waiting here, and would throw itself out there."""
        parked = self._parked.get(key)
        if parked is not None and parked.came_us < at_us:
            self._overtaken(key)

    def linger(self, client: socket.socket) -> None:
        """Close a socket gently: what the peer has still under way must not reset our last packet."""
        try:
            client.shutdown(socket.SHUT_WR)
            self._epoll.register(client.fileno(), select.EPOLLIN)
        except OSError:
            client.close()
            return
        self._lingering[client.fileno()] = (client, self._state.monotonic() + self._state.settings.linger_s)

    def pass_time(self, now: float) -> None:
        """Close those whose time is up."""
        if self._is_deaf:
            self._is_deaf = False
            for number in self._listeners:
                self._epoll.modify(number, select.EPOLLIN)
        for number, waiting in list(self._waiting.items()):
            if now - waiting.since >= self._state.settings.connect_s:
                del self._waiting[number]
                self._count(Cause.NO_CONNECT)
                waiting.client.close()
        for key, parked in list(self._parked.items()):
            if now - parked.since >= self._state.settings.shared_s:
                del self._parked[key]
                self._refuse(parked.client, parked.candidate.packet, Refusal(Cause.AWAY, Reason.SERVER_UNAVAILABLE))
        for number, (client, until) in list(self._lingering.items()):
            if now >= until:
                del self._lingering[number]
                client.close()

    def close(self) -> None:
        for waiting in self._waiting.values():
            waiting.client.close()
        for lingering in self._lingering.values():
            lingering[0].close()
        for parked in self._parked.values():
            parked.client.close()
        self._waiting.clear()
        self._lingering.clear()
        self._parked.clear()
        self._epoll.close()

    def _count(self, cause: Cause) -> None:
        self._state.counts.refused[cause] += 1

    def _accept(self, listener: socket.socket) -> None:
        settings = self._state.settings
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                client, _peer = listener.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError:
                # Out of files: listening on would turn in circles, so it is tried again in a while.
                self._count(Cause.CONNECTIONS)
                for number in self._listeners:
                    self._epoll.modify(number, 0)
                self._is_deaf = True
                return
            if len(self._waiting) + len(self._lingering) + len(self._parked) >= settings.connections:
                self._count(Cause.CONNECTIONS)
                client.close()
                continue
            client.setblocking(False)
            is_proxied = listener is self._proxied
            if not is_proxied:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._epoll.register(client.fileno(), select.EPOLLIN)
            self._waiting[client.fileno()] = _Waiting(client, self._state.monotonic(), bytearray(), is_proxied)

    def _hear(self, number: int, is_away: bool, welcome: Callable[[Connection, bytes], None]) -> None:
        waiting = self._waiting[number]
        client, said, settings = waiting.client, waiting.said, self._state.settings
        try:
            piece = client.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        said += piece
        packet: Connect | None = None
        try:
            is_introduced = self._is_introduced(waiting)
            size = frame_size(said) if is_introduced else None
            if size is not None and size > min(settings.connect_size, settings.packet_size):
                raise Refusal(Cause.TOO_LARGE, Reason.PACKET_TOO_LARGE)
            if size is None or len(said) < size:
                if not piece:
                    self._forget(number)
                    self._count(Cause.NO_CONNECT)
                    client.close()
                return
            packet = self._greeting.read(bytes(said[:size]))
            if is_away:
                raise Refusal(Cause.AWAY, Reason.SERVER_UNAVAILABLE)
            candidate = self._greeting.check(packet, waiting.certified)
            if self._greeting.must_fetch(candidate):
                self._forget(number)
                self._park(client, candidate, bytes(said[size:]))
                return
            connection = self._greeting.admit(client, candidate)
        except Refusal as refusal:
            self._forget(number)
            self._refuse(client, packet, refusal)
            return
        self._forget(number)
        welcome(connection, bytes(said[size:]))

    @staticmethod
    def _is_introduced(waiting: _Waiting) -> bool:
        """Is the client's own word next? What a terminator says before it is taken off. Raises Refusal."""
        if waiting.is_proxied and waiting.certified is None:
            header = read_header(waiting.said)
            if header is None:
                return False
            del waiting.said[: header.size]
            waiting.certified = header.certified
        return True

    def _park(self, client: socket.socket, candidate: Candidate, rest: bytes) -> None:
        """Nothing more is read from it until its session has come; of several with one session the newest waits."""
        state, key = self._state, candidate.key
        if key in self._parked:
            self._overtaken(key)
        self._parked[key] = _Parked(client, state.monotonic(), state.clock(), candidate, rest)
        state.changes.append(SessionAsked(key))

    def _overtaken(self, key: SessionKey) -> None:
        self._count(Cause.TAKEN_OVER)
        self._parked.pop(key).client.close()

    def _refuse(self, client: socket.socket, packet: Connect | None, refusal: Refusal) -> None:
        self._say(client, self._greeting.refuse(packet, refusal))

    def _forget(self, number: int) -> None:
        del self._waiting[number]
        self._epoll.unregister(number)

    def _say(self, client: socket.socket, answer: bytes) -> None:
        try:
            client.send(answer)
        except OSError:
            client.close()
            return
        self.linger(client)

    def _drain(self, number: int) -> None:
        client, _ = self._lingering[number]
        try:
            if client.recv(_READ):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        del self._lingering[number]
        client.close()


def frame_size(said: bytes | bytearray) -> int | None:
    """Bytes of the first frame, head included; None while its length is unfinished. Raises Refusal.

    Anything but a CONNECT is refused at its first byte.
    """
    if said and said[0] != 0x10:
        raise Refusal(Cause.NO_CONNECT, Reason.PROTOCOL_ERROR)
    length = 0
    for at, byte in enumerate(said[1:5]):
        length |= (byte & 0x7F) << 7 * at
        if byte < 0x80:
            return 2 + at + length
    if len(said) >= 5:
        raise Refusal(Cause.MALFORMED, Reason.MALFORMED)
    return None
