"""Whoever was let in stays only while the session lasts: sockets and streams are ended when it does.

A page holds its socket for hours, and a program its stream. Both are looked at again every few seconds in which
something goes over them (a socket's own pings do).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from starlette.types import Message, Receive, Scope, Send

LOOK_AGAIN_S = 5.0
_POLICY = 1008
"""The code with which a socket is closed whose session has ended."""

Still = Callable[[], Awaitable[bool]]
"""Whether whoever was let in is so still. Takes an error for yes: a database that is away logs nobody out."""


class Stay:
    """Wraps one connection's `receive` and `send`."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        still: Still,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._is_socket = scope["type"] == "websocket"
        self._receive = receive
        self._send = send
        self._still = still
        self._clock = clock
        self._looked = clock()
        self._over = asyncio.Event()
        self._open = False
        self._streams = False

    async def receive(self) -> Message:
        """The next message, or the end."""
        if self._over.is_set():
            return self._end()
        message = asyncio.ensure_future(self._receive())
        over = asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait({message, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
            if not message.done():
                message.cancel()
        if self._over.is_set():
            return self._end()
        got = message.result()
        if self._is_socket and got["type"] == "websocket.receive" and await self._ended():
            return self._end()
        return got

    async def send(self, message: Message) -> None:
        """Passes it on, unless the session has ended."""
        if self._over.is_set():
            return
        kind = message["type"]
        if kind == "websocket.accept":
            self._open = True
        elif kind == "http.response.start":
            types = [value for name, value in message.get("headers", ()) if name.lower() == b"content-type"]
            self._streams = any(value.startswith(b"text/event-stream") for value in types)
        elif (kind == "websocket.send" or self._streams) and await self._ended():
            return
        await self._send(message)

    async def _ended(self) -> bool:
        if self._over.is_set():
            return True
        now = self._clock()
        if now - self._looked < LOOK_AGAIN_S:
            return False
        self._looked = now
        if await self._still():
            return False
        self._over.set()
        if self._is_socket and self._open:
            await self._send({"type": "websocket.close", "code": _POLICY, "reason": "the session has ended"})
        elif not self._is_socket:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        return True

    def _end(self) -> Message:
        return {"type": "websocket.disconnect", "code": _POLICY} if self._is_socket else {"type": "http.disconnect"}
