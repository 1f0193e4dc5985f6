"""A stand-in for the SMS carrier: speaks as much of Twilio's Messages API as a sender uses, on loopback.

`start(file)` runs it in a process of its own; `python -m sensors_sim.carrier PORT FILE` is that process. FILE gets one
JSON line a message that was taken, flushed before the answer goes out. Nobody is texted.

It is told by `PUT /behave` how to be: `{"answers": ["201", "429", "500", "slow", "error_in_200", "garbage"],
"delivers_after_s": 2, "fails": ["+861..."]}`. `answers` are used up one a message, then every message is taken.
A number in `fails` is given up after it was taken (30005).
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qsl

import httpx
import msgspec

from sensors_sim.stand_in import StandIn, launch, lines_of

SLOW_S = 8.0
"""Longer than a sender waits."""
_LARGEST = 65_536
_MESSAGES = re.compile(r"/2010-04-01/Accounts/(\w+)/Messages(?:/(\w+))?\.json\Z")
_E164 = re.compile(r"\+[1-9]\d{6,14}\Z")


class Behaviour(msgspec.Struct, forbid_unknown_fields=True):
    answers: list[str] = []
    delivers_after_s: float = 0.0
    fails: list[str] = []


class Text(msgspec.Struct, frozen=True):
    """One message that was taken."""

    sid: str
    at_us: int
    to: str
    body: str


@dataclass(slots=True)
class Carrier(StandIn):
    def texts(self) -> list[Text]:
        """Every message that was taken so far, in order."""
        return [msgspec.json.decode(line, type=Text) for line in lines_of(self.file)]

    def behave(self, behaviour: Behaviour) -> None:
        httpx.put(f"{self.url}/behave", content=msgspec.json.encode(behaviour), trust_env=False).raise_for_status()


def start(file: Path, port: int = 0) -> Carrier:
    """Start a carrier that listens on loopback. Raises ServiceAway when it cannot."""
    return Carrier(*launch(__name__, file, port, "carrier"))


class Refused(Exception):
    """An error in the API's own shape."""

    def __init__(self, status: int, code: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers

    def body(self) -> dict[str, Any]:
        return {"code": self.code, "message": str(self), "more_info": "", "status": self.status}


class Desk:
    """What the carrier knows and how it answers. Time is an argument, in seconds."""

    def __init__(self, file: BinaryIO) -> None:
        self.behaviour = Behaviour()
        self._file = file
        self._texts: dict[str, Text] = {}

    def next_answer(self) -> str:
        return self.behaviour.answers.pop(0) if self.behaviour.answers else "201"

    def take(self, account: str, form: dict[str, str], now_s: float, answer: str) -> dict[str, Any]:
        """A message that is asked for. Raises Refused."""
        if answer == "429":
            raise Refused(429, 20429, "Too Many Requests", **{"Retry-After": "1"})
        if answer == "500":
            raise Refused(500, 20500, "Internal Server Error")
        to, body = form.get("To", ""), form.get("Body", "")
        if not _E164.match(to):
            raise Refused(400, 21211, "The 'To' number is not a valid phone number.")
        if not body:
            raise Refused(400, 21602, "Message body is required.")
        if not (form.get("From") or form.get("MessagingServiceSid")):
            raise Refused(400, 21603, "A 'From' phone number is required.")
        text = Text(f"SM{len(self._texts) + 1:032x}", round(now_s * 1e6), to, body)
        if answer == "error_in_200":
            return self._shown(account, text, "failed", 30008)
        self._texts[text.sid] = text
        self._file.write(msgspec.json.encode(text) + b"\n")
        self._file.flush()
        return self._shown(account, text, "queued", None)

    def show(self, account: str, sid: str, now_s: float) -> dict[str, Any]:
        """What became of a message. Raises Refused."""
        text = self._texts.get(sid)
        if text is None:
            raise Refused(404, 20404, "The requested resource was not found.")
        if now_s < text.at_us / 1e6 + self.behaviour.delivers_after_s:
            return self._shown(account, text, "sent", None)
        failed = text.to in self.behaviour.fails
        return self._shown(account, text, "undelivered" if failed else "delivered", 30005 if failed else None)

    @staticmethod
    def _shown(account: str, text: Text, status: str, code: int | None) -> dict[str, Any]:
        return {
            "sid": text.sid, "account_sid": account, "to": text.to, "body": text.body, "status": status,
            "error_code": code, "error_message": None, "num_segments": "1", "direction": "outbound-api",
            "date_created": None, "date_sent": None, "date_updated": None,
        }  # fmt: skip


class _Connection(asyncio.Protocol):
    """As much of HTTP/1.1 as a client that keeps its connection open needs."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._buffer += data
        while (head_end := self._buffer.find(b"\r\n\r\n")) >= 0:
            first, *lines = self._buffer[:head_end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            end = head_end + 4 + int(headers.get("content-length", 0))
            if end > _LARGEST:
                self._transport.close()
                return
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[head_end + 4 : end])
            del self._buffer[:end]
            method, path, _ = first.split(" ", 2)
            self._answer(method, path.partition("?")[0], body)

    def _answer(self, method: str, path: str, body: bytes) -> None:
        if (method, path) == ("PUT", "/behave"):
            self._desk.behaviour = msgspec.json.decode(body, type=Behaviour)
            self._send(200, {})
            return
        found = _MESSAGES.match(path)
        if not found:
            self._refuse(Refused(404, 20404, "The requested resource was not found."))
            return
        account, sid = found.groups()
        answer = self._desk.next_answer() if method == "POST" else ""
        try:
            if method == "GET" and sid:
                self._send(200, self._desk.show(account, sid, time.time()))
                return
            made = self._desk.take(account, dict(parse_qsl(body.decode())), time.time(), answer)
        except Refused as refused:
            self._refuse(refused)
            return
        if answer == "slow":
            asyncio.get_running_loop().call_later(SLOW_S, self._send, 201, made)
        elif answer == "garbage":
            self._write(201, b"<html>")
        else:
            self._send(200 if answer == "error_in_200" else 201, made)

    def _refuse(self, refused: Refused) -> None:
        self._send(refused.status, refused.body(), refused.headers)

    def _send(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self._write(status, msgspec.json.encode(body), headers)

    def _write(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        assert self._transport is not None
        if self._transport.is_closing():
            return
        said = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in said.items())
        self._transport.write(f"HTTP/1.1 {status} Answer\r\n{head}\r\n".encode("latin-1") + body)


async def _serve(port: int, file: BinaryIO) -> None:
    desk = Desk(file)
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(desk), "127.0.0.1", port)
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
