"""What a TLS terminator says of a client: PROXY protocol, version 2, byte by byte."""

from __future__ import annotations

import pytest

from ingest.door.greeting import Refusal
from ingest.door.proxied import LARGEST, SIGNATURE, Header, read_header

KITCHEN = "shop-1/kitchen"


def field(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + len(value).to_bytes(2, "big") + value


def tls(name: str | None, *, verdict: int = 0, has: int = 0x07) -> bytes:
    """The field of TLS: with a certificate of this name, or without one."""
    parts = field(0x21, b"TLSv1.3") + (field(0x22, name.encode()) if name is not None else b"")
    return field(0x20, bytes([has]) + verdict.to_bytes(4, "big") + parts)


def header(fields: bytes = b"", *, command: int = 0x21, family: int = 0x11, addresses: int = 12) -> bytes:
    body = bytes(addresses) + fields
    return SIGNATURE + bytes([command, family]) + len(body).to_bytes(2, "big") + body


def test_the_name_of_a_verified_certificate_is_read() -> None:
    """Whatever the addresses are, and whatever stands beside it."""
    for family, addresses in ((0x11, 12), (0x21, 36), (0x31, 216), (0x00, 0)):
        said = header(field(0x01, b"mqtt") + tls(KITCHEN) + field(0xE0, b""), family=family, addresses=addresses)
        assert read_header(said + b"\x10CONNECT") == Header(len(said), KITCHEN)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        (b"", "no TLS"),
        (tls(None, has=0x01), "no certificate"),
        (tls(KITCHEN, has=0x01), "a name without a certificate is hearsay"),
        (tls(KITCHEN, verdict=1), "not verified"),
        (tls(KITCHEN, verdict=0x01000000), "not verified, in the first of the four bytes"),
        (tls(None), "a certificate without a name"),
    ],
)
def test_without_a_verified_certificate_there_is_no_name(fields: bytes, why: str) -> None:
    found = read_header(header(fields))
    assert found is not None
    assert found.certified == "", why


def test_a_check_of_the_terminators_own_bears_no_client() -> None:
    said = header(tls(KITCHEN), command=0x20)
    assert read_header(said) == Header(len(said), "")


def test_every_beginning_of_a_header_is_waited_for() -> None:
    """TCP cuts where it likes."""
    said = header(tls(KITCHEN))
    assert all(read_header(said[:size]) is None for size in range(len(said)))


@pytest.mark.parametrize(
    "said",
    [
        b"\x10\x0c\0\x04MQTT",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        header(command=0x11),
        header(command=0x22),
        header(family=0x41),
        header(addresses=11),
        header(b"\x20\0"),
        header(b"\x20\0\x05\0"),
        header(field(0x20, b"\x07\0\0\0\0\x22\0\x09x")),
        header(field(0x20, b"\x07\0\0\0\0" + field(0x22, b"\xff"))),
        SIGNATURE + b"\x21\x11" + (LARGEST).to_bytes(2, "big"),
    ],
)
def test_what_is_no_header_is_refused(said: bytes) -> None:
    """A client that came to the terminator's socket by itself says its CONNECT there."""
    with pytest.raises(Refusal):
        read_header(said)
