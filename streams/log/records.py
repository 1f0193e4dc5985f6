"""An entry as a Kafka record, and back: key = one byte, the kind; value = the entry's bytes; number = offset + 1."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from schemas.entries import EntryKind, Payload, Sensors, decode, encode, kind_of
from schemas.errors import CorruptState
from schemas.readings import ReadingBatch
from scoring.declarations import declarations, picked

_KEYS = {kind: bytes([kind]) for kind in EntryKind}
_MOST_READINGS = 1 << 16
"""In a record: 2.2 MB, far below what a topic takes; a reader is never handed more at once."""
_MOST_SENSORS = 1 << 13


def records_of(payload: Payload) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of the records that say `payload`, in order; more than one where it is long."""
    key = _KEYS[kind_of(payload)]
    if isinstance(payload, ReadingBatch) and len(payload) > _MOST_READINGS:
        for start in range(0, len(payload), _MOST_READINGS):
            yield key, encode(payload.take(slice(start, start + _MOST_READINGS)))
    elif isinstance(payload, Sensors) and len(payload) > _MOST_SENSORS:
        told = declarations(payload)
        for start in range(0, len(payload), _MOST_SENSORS):
            yield key, encode(picked(told, np.arange(start, min(start + _MOST_SENSORS, len(payload)))))
    else:
        yield key, encode(payload)


def payload_of(key: bytes | None, value: bytes | None) -> Payload:
    """What a record says. Raises CorruptState when it is not an entry."""
    if key is None or len(key) != 1 or value is None:
        raise CorruptState("a record of the log has no kind or no value.")
    try:
        kind = EntryKind(key[0])
    except ValueError:
        raise CorruptState(f"a record of the log is of kind {key[0]}, which this Tocsin does not know.") from None
    return decode(kind, value)
