"""A TCP balancer: each connection to it goes to the next of several ports."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Sequence


class Balancer:
    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = itertools.cycle(ports)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def cut(self) -> None:
        """Cut every connection now."""
        for one in list(self._sockets):
            _shut(one)

    def __enter__(self) -> Balancer:
        return self

    def __exit__(self, *_: object) -> None:
        _shut(self._listener)
        self._listener.close()
        self.cut()
        for thread in list(self._threads):
            thread.join(5.0)
        for one in self._sockets:
            one.close()

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                door = socket.create_connection(("127.0.0.1", next(self._ports)), 20)
            except OSError:
                client.close()
                continue
            door.settimeout(None)
            self._sockets += [client, door]
            self._start(_pass_on, client, door)
            self._start(_pass_on, door, client)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
    except OSError:
        pass
    _shut(source)
    _shut(target)


def _shut(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
