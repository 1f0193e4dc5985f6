"""What a device reads on its `errors` topic: JSON that names each refused field, why, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ingest.ports import Refused
from schemas.errors import Reject

_encoder = msgspec.json.Encoder()


class _Answer(msgspec.Struct):
    arrival: int
    rejects: tuple[Reject, ...]


def encode_errors(refused: Refused) -> bytes:
    """`{"arrival": µs since 1970, "rejects": [{"code", "field", "reason", "mend"}, …]}`."""
    return _encoder.encode(_Answer(refused.arrival_us, refused.rejects))


def encode_rejects(rejects: Iterable[Reject]) -> str:
    """The list of rejects alone, as quarantine keeps it."""
    return _encoder.encode(tuple(rejects)).decode()
