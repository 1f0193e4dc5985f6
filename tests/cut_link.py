"""A link to PostgreSQL that can be cut: between the request and its answer, or before the request arrives."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from enum import Enum

from psycopg.conninfo import conninfo_to_dict, make_conninfo


class Fate(Enum):
    """What becomes of one packet from the client."""

    PASS = 0
    SWALLOW = 1
    """It never arrives and the client's side is cut."""
    ANSWER_LOST = 2
    """It arrives, the server does what it says, and the client's side is cut before it hears."""
    LATE = 3
    """The client's side is cut; the packet arrives when `deliver_late` is called."""


class CutLink:
    """Forwards TCP connections to the unix socket of `dsn`; `decide` sees every packet of a client."""

    def __init__(self, dsn: str) -> None:
        parts = conninfo_to_dict(dsn)
        self._target = f"{parts['host']}/.s.PGSQL.5432"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.dsn = make_conninfo(dsn, host="127.0.0.1", port=self._listener.getsockname()[1], sslmode="disable",
                                 gssencmode="disable")  # fmt: skip
        self.decide: Callable[[bytes], Fate] = lambda packet: Fate.PASS
        self._late: list[tuple[socket.socket, bytes]] = []
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._cut = threading.Event()
        self._open = True
        self._start(self._accept)

    def deliver_late(self) -> int:
        """Hand over what was held back; returns how many packets the server still took."""
        taken = 0
        for upstream, packet in self._late:
            try:
                upstream.sendall(packet)
                taken += 1
            except OSError:
                continue
        self._late.clear()
        return taken

    def until_cut(self) -> None:
        """Wait until the first packet has met a fate other than PASS."""
        assert self._cut.wait(20.0)

    def cut(self) -> None:
        """Cut every connection now."""
        for one in self._sockets:
            _shut(one)

    def __enter__(self) -> CutLink:
        return self

    def __exit__(self, *_: object) -> None:
        self._open = False
        _shut(self._listener)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(5.0)
        for one in self._sockets:
            one.close()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while self._open:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            upstream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                upstream.connect(self._target)
            except OSError:
                upstream.close()
                client.close()
                continue
            self._sockets += [client, upstream]
            deaf, answered = threading.Event(), threading.Event()
            self._start(self._requests, client, upstream, deaf, answered)
            self._start(self._answers, client, upstream, deaf, answered)

    def _requests(
        self, client: socket.socket, upstream: socket.socket, deaf: threading.Event, answered: threading.Event
    ) -> None:
        while packet := _receive(client):
            fate = self.decide(packet)
            if fate is not Fate.PASS:
                # From now on nothing reaches the client, so it cannot have heard.
                deaf.set()
                self._cut.set()
            if fate in (Fate.PASS, Fate.ANSWER_LOST):
                try:
                    upstream.sendall(packet)
                except OSError:
                    break
            if fate is Fate.ANSWER_LOST:
                # Cut when the server has done it, or it might be asked before. Half a request gets no answer.
                answered.wait(1.0)
            if fate is Fate.LATE:
                self._late.append((upstream, packet))
            if fate is Fate.SWALLOW:
                _shut(upstream)
            if fate is not Fate.PASS:
                _shut(client)
                return
        _shut(upstream)

    def _answers(
        self, client: socket.socket, upstream: socket.socket, deaf: threading.Event, answered: threading.Event
    ) -> None:
        while packet := _receive(upstream):
            if deaf.is_set():
                answered.set()
            else:
                try:
                    client.sendall(packet)
                except OSError:
                    break
        _shut(client)


def _receive(one: socket.socket) -> bytes:
    try:
        return one.recv(1 << 16)
    except OSError:
        return b""


def _shut(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
