"""What a TLS terminator says of a client before the client's first byte: PROXY protocol, version 2. Pure.

It comes on a socket of its own, whose rights say who may speak there: whoever may is believed. Of all that it says, the
door wants one thing: the name in a client's certificate, if it has one and the terminator has verified it.

Source: HAProxy's "The PROXY protocol", sections 2.2 and 2.2.6.
"""

from __future__ import annotations

from typing import NamedTuple

from ingest.door.greeting import Refusal
from ingest.door.limits import Cause
from schemas.mqtt_fields import Reason

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_HEAD = len(SIGNATURE) + 4
LARGEST = 4_096
"""Of a header; HAProxy's own bound is half of it."""
_ADDRESSES = {0x0: 0, 0x1: 12, 0x2: 36, 0x3: 216}
"""Address family → bytes of both addresses: none, IPv4, IPv6, unix."""
_PROXY, _LOCAL = 0x21, 0x20
_TLS, _COMMON_NAME = 0x20, 0x22
_HAS_CERTIFICATE = 0x02 | 0x04
"""In this connection, or in the one whose TLS session it resumes."""


class Header(NamedTuple):
    """size: bytes that it took.  certified: the name in the client's verified certificate, empty without one."""

    size: int
    certified: str


def read_header(said: bytes | bytearray) -> Header | None:
    """The header at the start of what was received; None while it is unfinished. Raises Refusal."""
    if not SIGNATURE.startswith(bytes(said[: len(SIGNATURE)])):
        raise _malformed()
    if len(said) < _HEAD:
        return None
    command, family = said[12], said[13] >> 4
    size = _HEAD + int.from_bytes(said[14:16], "big")
    if command not in (_PROXY, _LOCAL) or family not in _ADDRESSES or size > LARGEST:
        raise _malformed()
    if len(said) < size:
        return None
    rest = bytes(said[_HEAD:size])
    if command == _LOCAL:
        return Header(size, "")
    if len(rest) < _ADDRESSES[family]:
        raise _malformed()
    return Header(size, _certified(_fields(rest[_ADDRESSES[family] :]).get(_TLS, b"")))


def _certified(tls: bytes) -> str:
    """tls: which parts there are (1 byte), the verdict on the certificate (4, 0: good), more fields."""
    if len(tls) < 5 or not tls[0] & _HAS_CERTIFICATE or any(tls[1:5]):
        return ""
    try:
        return _fields(tls[5:]).get(_COMMON_NAME, b"").decode()
    except UnicodeDecodeError:
        raise _malformed() from None


def _fields(data: bytes) -> dict[int, bytes]:
    """Type (1 byte), length (2), value, one behind the other."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        end = at + 3 + int.from_bytes(data[at + 1 : at + 3], "big")
        if at + 3 > len(data) or end > len(data):
            raise _malformed()
        found[data[at]] = data[at + 3 : end]
        at = end
    return found


def _malformed() -> Refusal:
    return Refusal(Cause.MALFORMED, Reason.MALFORMED)
