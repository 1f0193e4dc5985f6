"""What doors tell each other by PostgreSQL's NOTIFY: JSON within its 8,000 bytes. Best effort; rows hold the truth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import msgspec

from ingest.saved import Retained, SessionKey

CHANNEL = "tocsin_doors"
MOST_BYTES = 7_900

_Item = TypeVar("_Item")


class Came(msgspec.Struct, frozen=True, array_like=True):
    key: SessionKey
    at_us: int


class Status(msgspec.Struct, frozen=True, array_like=True):
    topic: str
    payload: bytes
    qos: int

    @property
    def message(self) -> Retained:
        return Retained(self.topic, self.payload, self.qos)


class Notice(msgspec.Struct, frozen=True, omit_defaults=True):
    """door: who says it.  to: who is meant; everybody where empty.

    came: clients that are at `door` now.  statuses: retained ones, of devices there.  wants: sessions that `door` asks
    `to` for.  moved: sessions that `door` has left to `to`.
    """

    door: str
    to: str = ""
    came: list[Came] = []
    statuses: list[Status] = []
    wants: list[SessionKey] = []
    moved: list[SessionKey] = []


_HEAD_BYTES = 300
"""The two names, and the words between."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Notice)


def tell_all(door: str, came: Iterable[Came], statuses: Iterable[Status]) -> list[str]:
    """The payloads by which everybody hears of clients and statuses."""
    told = [Notice(door, came=part) for part in _parts(came)]
    told += [Notice(door, statuses=part) for part in _parts(statuses)]
    return [_encoder.encode(notice).decode() for notice in told]


def ask(door: str, to: str, wants: Iterable[SessionKey]) -> list[str]:
    return [_encoder.encode(Notice(door, to, wants=part)).decode() for part in _parts(wants)]


def hand_over(door: str, to: str, moved: Iterable[SessionKey]) -> list[str]:
    return [_encoder.encode(Notice(door, to, moved=part)).decode() for part in _parts(moved)]


def decode(payload: str) -> Notice | None:
    """None when it is no notice that is understood here."""
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None


def _parts(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    """As many of them together as fit into one payload."""
    part: list[_Item] = []
    size = _HEAD_BYTES
    for item in items:
        more = len(_encoder.encode(item)) + 1
        if part and size + more > MOST_BYTES:
            yield part
            part, size = [], _HEAD_BYTES
        part.append(item)
        size += more
    if part:
        yield part
