"""Networks between the parts of a cluster, which can be cut: each link forwards connections of one kind to one service.

A cut may be loud (connections are reset, new ones refused) or silent: nothing arrives any more and nobody is told;
afterwards what was on its way is either delivered late or lost with its connection.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from enum import Enum
from typing import Any

Address = tuple[str, int] | str
"""Host and port, or the path of a unix socket."""
_CHUNK = 1 << 16


class Cut(Enum):
    RESET = "reset"
    LATE = "silent, then late"
    LOST = "silent, then lost"


class Link:
    """One link; `Links` makes them."""

    def __init__(self, target: Callable[[], Address], loop: asyncio.AbstractEventLoop) -> None:
        self._target = target
        self._loop = loop
        self._cut: Cut | None = None
        self._flows = asyncio.Event()
        self._flows.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, sock=self._listener)

    async def cut(self, how: Cut) -> None:
        self._cut = how
        if how is Cut.RESET:
            self._reset()
        else:
            self._flows.clear()

    async def mend(self) -> None:
        if self._cut is Cut.LOST:
            self._reset()
        self._cut = None
        self._flows.set()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self._reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _reset(self) -> None:
        for writer in self._writers:
            raw = writer.get_extra_info("socket")
            if raw is not None and raw.family == socket.AF_INET:
                with suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        beyond: asyncio.StreamWriter | None = None
        try:
            if self._cut is Cut.RESET:
                self._reset()
                return
            await self._flows.wait()
            far, beyond = await self._connect()
            self._writers.add(beyond)
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, beyond))
                pumps.create_task(self._pump(far, writer))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            for one in (writer, beyond):
                if one is not None:
                    one.transport.abort()
                    self._writers.discard(one)
            self._tasks.discard(task)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        target = self._target()
        if isinstance(target, str):
            return await asyncio.open_unix_connection(target)
        return await asyncio.open_connection(*target)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until one side ends; then both do."""
        while data := await reader.read(_CHUNK):
            await self._flows.wait()
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError


class Links:
    """Links by name, in a thread of their own. `close` must be called."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="links", daemon=True)
        self._thread.start()
        self._links: dict[str, Link] = {}

    def open(self, name: str, target: Callable[[], Address]) -> int:
        """Start forwarding; returns the port. target: asked anew for each connection."""
        link = self._links[name] = Link(target, self._loop)
        self._wait(link.open())
        return link.port

    def port(self, name: str) -> int:
        return self._links[name].port

    def names(self) -> list[str]:
        return sorted(self._links)

    def cut(self, name: str, how: Cut) -> None:
        self._wait(self._links[name].cut(how))

    def mend(self, name: str) -> None:
        self._wait(self._links[name].mend())

    def close(self) -> None:
        for link in self._links.values():
            self._wait(link.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, doing: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(doing, self._loop).result(30.0)
