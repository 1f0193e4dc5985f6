"""Two hundred devices that remember what was acknowledged to them, in one thread.

A message keeps its packet until it is acknowledged: after a reconnect everything unacknowledged goes out again, in
order, with DUP set and the same bytes.  `Feeder.messages` is the judge's own file: what was sent, when, and when it was
acknowledged.  Times are µs since 1970.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import msgspec

from schemas.mqtt import V311, Connect, Publish, encode
from schemas.topics import device_topic

_WINDOW = 40
_encode = msgspec.json.encode
Port = Callable[[], int]
"""Asked before each try to connect: there may be several doors, and they come and go. 0: there is none."""


def now_us() -> int:
    return time.time_ns() // 1000


@dataclass(slots=True)
class Message:
    enterprise: str
    device: str
    values: dict[str, float]
    ts_ms: int | None
    sent_us: int = 0
    """When it was first written to a socket; 0: never."""
    acked_us: int = 0
    came_us: int = 0
    """When it came to Tocsin, by the store, for one with `ts`: a broker acknowledges what its bridge has not yet."""
    resends: int = 0
    acknowledged: asyncio.Event = field(default_factory=asyncio.Event)

    def packet(self, packet_id: int, dup: bool) -> bytes:
        body = self.values if self.ts_ms is None else {"ts": self.ts_ms, **self.values}
        topic = device_topic(self.enterprise, self.device, "telemetry")
        return encode(Publish(topic, _encode(body), qos=1, dup=dup, packet_id=packet_id), V311)


class Client(asyncio.Protocol):
    """One MQTT session. Sends in order, never gives up."""

    def __init__(self, name: str, port: Port, chance: random.Random) -> None:
        self.name, self._port, self._chance = name, port, chance
        self._waiting: deque[Message] = deque()
        self._in_flight: dict[int, Message] = {}
        self._next_id = 0
        self._transport: asyncio.Transport | None = None
        self._ready = False
        self._buffer = bytearray()
        self._closing = False
        self.connects = 0

    def send(self, message: Message) -> None:
        self._waiting.append(message)
        self._pump()

    @property
    def unacknowledged(self) -> int:
        return len(self._waiting) + len(self._in_flight)

    @property
    def is_ready(self) -> bool:
        """Let in, and not cut since."""
        return self._ready

    def cut(self) -> None:
        """Reset the connection under the session, as a network does: no DISCONNECT, no FIN."""
        if self._transport is not None:
            raw = self._transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()

    def close(self) -> None:
        self._closing = True
        if self._transport is not None:
            self._transport.close()

    async def keep_connected(self) -> None:
        """Connect, and again whenever the connection goes, until `close`."""
        loop = asyncio.get_running_loop()
        while not self._closing:
            try:
                self._lost = loop.create_future()
                await loop.create_connection(lambda: self, "127.0.0.1", self._port())
                await self._lost
            except OSError:
                pass
            if not self._closing:
                await asyncio.sleep(self._chance.uniform(0.05, 0.3))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._buffer.clear()
        transport.write(encode(Connect(f"chaos-{self.name}", clean=False, keep_alive_s=60), V311))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport, self._ready = None, False
        if not self._lost.done():
            self._lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        at = now_us()
        while len(self._buffer) >= 2 and len(self._buffer) >= 2 + self._buffer[1]:
            kind, body = self._buffer[0] >> 4, bytes(self._buffer[2 : 2 + self._buffer[1]])
            del self._buffer[: 2 + len(body)]
            if kind == 2 and body[1] == 0:
                self._resume()
            elif kind == 4:
                self._acknowledged(int.from_bytes(body, "big"), at)
            elif kind == 2 and self._transport is not None:
                self._transport.abort()  # refused for now: the log is away, or too many at once
        self._pump()

    def _resume(self) -> None:
        self._ready = True
        self.connects += 1
        assert self._transport is not None
        for packet_id, message in self._in_flight.items():
            message.resends += 1
            self._transport.write(message.packet(packet_id, dup=True))

    def _acknowledged(self, packet_id: int, at: int) -> None:
        message = self._in_flight.pop(packet_id, None)
        if message is not None:
            message.acked_us = at
            message.acknowledged.set()

    def _pump(self) -> None:
        while self._ready and self._transport is not None and self._waiting and len(self._in_flight) < _WINDOW:
            message = self._waiting.popleft()
            self._next_id = self._next_id % 65_535 + 1
            self._in_flight[self._next_id] = message
            message.sent_us = now_us()
            self._transport.write(message.packet(self._next_id, dup=False))


Story = Callable[["Feeder", Client], Coroutine[Any, Any, None]]


class Feeder:
    """Runs one story a client in a thread of its own."""

    def __init__(self, port: Port, seed: int) -> None:
        self.messages: list[Message] = []
        self.began_us = now_us()
        self.ended = asyncio.Event()
        self._chance = random.Random(seed)
        self._port = port
        self.clients: list[Client] = []
        self._stories: list[tuple[Story, Client]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="feeder", daemon=True)

    def add(self, name: str, story: Story, port: Port | None = None) -> None:
        """port: None for the feeder's own."""
        client = Client(name, port or self._port, random.Random(f"{name}-{self._chance.random()}"))
        self.clients.append(client)
        self._stories.append((story, client))

    def start(self) -> None:
        self._thread.start()
        self.began_us = now_us()
        self._tasks = asyncio.run_coroutine_threadsafe(self._run(), self._loop)

    async def _run(self) -> None:
        connections = [asyncio.create_task(client.keep_connected()) for client in self.clients]
        await asyncio.gather(*(story(self, client) for story, client in self._stories))
        for client in self.clients:
            while client.unacknowledged:
                await asyncio.sleep(0.05)
            client.close()
        await asyncio.gather(*connections)

    def send(
        self, client: Client, enterprise: str, device: str, values: dict[str, float], ts_ms: int | None = None
    ) -> Message:
        message = Message(enterprise, device, values, ts_ms)
        self.messages.append(message)
        client.send(message)
        return message

    def cut(self, count: int) -> None:
        """Reset the connections of `count` clients."""
        for client in self._chance.sample(self.clients, count):
            self._loop.call_soon_threadsafe(client.cut)

    def finish(self, patience_s: float) -> None:
        """Tell the stories to end and wait until everything is acknowledged. Raises TimeoutError if it never is."""
        self._loop.call_soon_threadsafe(self.ended.set)
        try:
            self._tasks.result(patience_s)
        except TimeoutError:
            left = {client.name: client.unacknowledged for client in self.clients if client.unacknowledged}
            raise TimeoutError(f"never acknowledged: {left}") from None
        finally:
            self.stop()

    def stop(self) -> None:
        """End the thread; nothing happens the second time."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.01))
        self._loop.close()

    async def pause(self, seconds: float) -> bool:
        """Wait `seconds`, or less if the load ends; True when it has ended."""
        try:
            await asyncio.wait_for(self.ended.wait(), seconds)
        except TimeoutError:
            return False
        return True
