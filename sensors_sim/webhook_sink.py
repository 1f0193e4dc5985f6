"""A webhook's far end: takes every POST at once, writes down when it came, whole.

`start(file)` runs it in a process of its own; `python -m sensors_sim.webhook_sink PORT FILE` is that process. FILE gets
one JSON line a message, flushed before the answer goes out: what was answered is in the file whatever is killed next.
Speaks as much of HTTP/1.1 as a client that keeps its connection open needs.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from schemas.notifications import Notification, decode_notification
from sensors_sim.stand_in import StandIn, launch, lines_of

_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
_encode = msgspec.json.Encoder().encode


class Arrival(msgspec.Struct, frozen=True):
    """One POST: when its last byte came, and the message."""

    at_us: int
    body: msgspec.Raw

    def notification(self) -> Notification:
        """Raises msgspec.ValidationError when the body is no notification."""
        return decode_notification(bytes(self.body))


@dataclass(slots=True)
class SinkProcess(StandIn):
    def arrivals(self) -> list[Arrival]:
        """Every message that was answered so far, in order."""
        return [msgspec.json.decode(line, type=Arrival) for line in lines_of(self.file)]


def start(file: Path, port: int = 0) -> SinkProcess:
    """Start a sink that listens on loopback. Raises ServiceAway when it cannot."""
    return SinkProcess(*launch(__name__, file, port, "webhook"))


class _Connection(asyncio.Protocol):
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        at_us = time.time_ns() // 1000
        assert self._transport is not None
        self._buffer += data
        while (head_end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = _content_length(bytes(self._buffer[:head_end]))
            end = head_end + 4 + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[head_end + 4 : end])
            del self._buffer[:end]
            self._file.write(_encode(Arrival(at_us, msgspec.Raw(body or b"null"))) + b"\n")
            self._file.flush()
            self._transport.write(_ANSWER)


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


async def _serve(port: int, file: BinaryIO) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(file), "127.0.0.1", port)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    async with server:
        await server.serve_forever()


def main(arguments: list[str]) -> None:
    port, path = arguments
    with Path(path).open("ab") as file:
        asyncio.run(_serve(int(port), file))


if __name__ == "__main__":
    main(sys.argv[1:])
