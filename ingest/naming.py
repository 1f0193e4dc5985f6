"""Sensors that speak for the first time, compiled: a morning may bring millions of them.

What a message says is never decided here. The keys of a message that may be sensors become a trial table; the compiled
reader reads the message against that, and only sensors of messages that it takes are learnt. So a sensor is new by
the very rules by which its reading is admitted, and what is unusual goes the plain way.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ingest.codecs.tocsin_json import SHORTEST_FIELD, skip_space
from ingest.ports import MessageBatch
from schemas.measures import BY_CODE
from schemas.readings import I64, U8
from schemas.topics import PREFIX
from scoring.blake2b import number_of
from scoring.compiled import inlined, kernel

_TOPIC_HEAD = np.frombuffer(f"{PREFIX}/".encode(), np.uint8)
_TOPIC_TAIL = np.frombuffer(b"/telemetry", np.uint8)
_LONGEST_NAME, _LONGEST_CHANNEL = 64, 16
_MOST_BYTES = 256
"""Of a sensor's declaration: 9 for the id, twice 66, and measure, channel and unit."""
_DOT, _QUOTE, _COLON, _SLASH = 46, 34, 58, 47


class Texts(NamedTuple):
    """Short texts by measure code.  at, size: (codes,) places in `arena`, size -1 where there is no such code."""

    arena: U8
    at: I64
    size: I64


def _texts(of: dict[int, str]) -> Texts:
    at, size = np.zeros(1 + max(of), np.int64), np.full(1 + max(of), -1, np.int64)
    arena = b""
    for code, text in of.items():
        at[code], size[code] = len(arena), len(text.encode())
        arena += text.encode()
    return Texts(np.frombuffer(arena, np.uint8), at, size)


_NAMES = _texts({code: measure.name for code, measure in BY_CODE.items()})
_UNITS = _texts({code: measure.unit for code, measure in BY_CODE.items()})


class Candidates(NamedTuple):
    """Keys that may be sensors, each as often as it stands.

    start, end: (n,) int64 places in the batch's buffer.  message: (n,) int64 index of each's message in the batch.
    code: (n,) uint8 its measure.
    """

    start: I64
    end: I64
    message: I64
    code: U8


def are_telemetry(data: U8, start: I64, end: I64) -> npt.NDArray[np.bool_]:
    """(n,): `data[start[i]:end[i]]` is the topic of a device's telemetry, as `schemas.topics` has it."""
    found = np.empty(len(start), np.bool_)
    _are_telemetry(data, start, end, found)
    return found


def candidates(messages: MessageBatch, which: I64, per_topic: Any, limit: int) -> Candidates:
    """The keys of those of the messages `which` that have only keys of measures.

    per_topic: uint16, how many sensors each topic has; a message that might bring it above `limit` is left out.
    """
    lengths = messages.payload_end[which] - messages.payload_start[which]
    room = int(lengths.sum()) // SHORTEST_FIELD + len(which)
    start, end, message = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64)
    code = np.empty(room, np.uint8)
    count = _find(
        messages.buffer, which, messages.topic_start, messages.topic_end, messages.payload_start,
        messages.payload_end, messages.topic_id, per_topic, limit, _NAMES, start, end, message, code,
        np.empty(len(which), np.int64),
    )  # fmt: skip
    return Candidates(start[:count], end[:count], message[:count], code[:count])


def declared(messages: MessageBatch, found: Candidates, which: I64, ids: I64, per_topic: Any) -> bytes:
    """The sensors of a `Sensors` entry, msgpack one behind the other, of the candidates `which`, each once.

    ids: (len(which),), filled.  per_topic: counts them.
    """
    body = np.empty(len(which) * _MOST_BYTES, np.uint8)
    size = _declare(
        messages.buffer, messages.topic_start, messages.topic_end, messages.topic_id, found, which, _NAMES, _UNITS,
        ids, per_topic, body,
    )  # fmt: skip
    return body[:size].tobytes()


@inlined
def _is_plain(data: Any, start: Any, end: Any, longest: Any, may_dot: Any) -> Any:
    """A name (with dots) or a channel (without), as `schemas.identity` has them."""
    fits = start < end <= start + longest
    for i in range(start, min(end, start + longest)):
        c = data[i]
        letter = 97 <= (c | 32) <= 122
        fits &= letter or 48 <= c <= 57 or c in (95, 45) or (may_dot and c == _DOT)
    return fits


@inlined
def _equal(data: Any, at: Any, other: Any, other_at: Any, size: Any) -> Any:
    same = True
    for i in range(size):
        same &= data[at + i] == other[other_at + i]
    return same


@inlined
def _is_telemetry(data: Any, start: Any, end: Any) -> Any:
    """A device's topic for telemetry."""
    head, tail = len(_TOPIC_HEAD), len(_TOPIC_TAIL)
    if end - start < head + tail + 3:
        return False
    first, last = start + head, end - tail
    if not _equal(data, start, _TOPIC_HEAD, 0, head) or not _equal(data, last, _TOPIC_TAIL, 0, tail):
        return False
    middle = first
    while middle < last and data[middle] != _SLASH:
        middle += 1
    plain = _is_plain(data, first, middle, _LONGEST_NAME, True)
    return plain and _is_plain(data, middle + 1, last, _LONGEST_NAME, True)


@kernel
def _are_telemetry(data: Any, start: Any, end: Any, found: Any) -> None:
    for i in range(len(start)):
        found[i] = _is_telemetry(data, start[i], end[i])


@inlined
def _dot_in(data: Any, start: Any, end: Any) -> Any:
    at = start
    while at < end and data[at] != _DOT:
        at += 1
    return at


@inlined
def _measure_of(data: Any, start: Any, end: Any, names: Texts) -> Any:
    """The code of the measure that a key names, -1 where it names none or its channel is none."""
    dot = _dot_in(data, start, end)
    if dot < end and not _is_plain(data, dot + 1, end, _LONGEST_CHANNEL, False):
        return -1
    for code in range(len(names.size)):
        if names.size[code] == dot - start and _equal(data, start, names.arena, names.at[code], dot - start):
            return code
    return -1


@kernel
def _find(
    data: Any, which: Any, topic_start: Any, topic_end: Any, payload_start: Any, payload_end: Any, topic_id: Any,
    per_topic: Any, limit: Any, names: Texts, out_start: Any, out_end: Any, out_message: Any, out_code: Any,
    claims: Any,
) -> Any:  # fmt: skip
    """Fill the columns of `Candidates`; returns how many. claims: (len(which),), how many keys each message has."""
    count = np.int64(0)
    for w in range(len(which)):
        m = which[w]
        claims[w] = 0
        if not _is_telemetry(data, topic_start[m], topic_end[m]):
            continue
        first = count
        at, end = payload_start[m], payload_end[m]
        fits = True
        while fits and at < end:
            if data[at] != _QUOTE:
                at += 1
                continue
            start = at + 1
            stop = start
            while stop < end and data[stop] != _QUOTE:
                stop += 1
            if stop == end:
                break
            at = skip_space(data, stop + 1, end)
            if at == end or data[at] != _COLON or (stop - start == 2 and data[start] == 116 and data[start + 1] == 115):
                continue
            code = _measure_of(data, start, stop, names)
            fits = bool(code >= 0 and count < len(out_code))
            if fits:
                out_start[count] = start
                out_end[count] = stop
                out_message[count] = m
                out_code[count] = code
                count += 1
        if fits and per_topic[topic_id[m]] + (count - first) <= limit:
            claims[w] = count - first
            per_topic[topic_id[m]] += claims[w]
        else:
            count = first
    # Claimed by all together, so that no two of them pass the limit; who has it is settled when it is learnt.
    for w in range(len(which)):
        per_topic[topic_id[which[w]]] -= claims[w]
    return count


@inlined
def _put(body: Any, at: Any, data: Any, start: Any, size: Any) -> Any:
    """A text of less than 256 bytes in msgpack; returns the place behind it."""
    if size < 32:
        body[at] = 0xA0 | size
    else:
        body[at] = 0xD9
        body[at + 1] = size
        at += 1
    at += 1
    for i in range(size):
        body[at + i] = data[start + i]
    return at + size


@kernel
def _declare(
    data: Any, topic_start: Any, topic_end: Any, topic_id: Any, found: Candidates, which: Any, names: Texts,
    units: Texts, ids: Any, per_topic: Any, body: Any,
) -> Any:  # fmt: skip
    """Fill ids and body; returns the bytes of the body."""
    key = np.empty(_MOST_BYTES, np.uint8)
    scratch = np.empty(24, np.uint64)
    at = np.int64(0)
    for k in range(len(which)):
        c = which[k]
        m = found.message[c]
        first, last = topic_start[m] + len(_TOPIC_HEAD), topic_end[m] - len(_TOPIC_TAIL)
        start, end = found.start[c], found.end[c]
        size = last - first
        for i in range(size):
            key[i] = data[first + i]
        key[size] = _SLASH
        for i in range(start, end):
            key[size + 1 + i - start] = data[i]
        ids[k] = number_of(key, np.int64(0), size + 1 + end - start, scratch)
        per_topic[topic_id[m]] += 1
        body[at] = 0x96
        body[at + 1] = 0xCF
        for i in range(8):
            body[at + 2 + i] = (ids[k] >> (56 - 8 * i)) & 0xFF
        at += 10
        middle = first
        while data[middle] != _SLASH:
            middle += 1
        at = _put(body, at, data, first, middle - first)
        at = _put(body, at, data, middle + 1, last - middle - 1)
        dot = _dot_in(data, start, end)
        at = _put(body, at, data, start, dot - start)
        at = _put(body, at, data, dot + 1, max(np.int64(0), end - dot - 1))
        at = _put(body, at, units.arena, units.at[found.code[c]], units.size[found.code[c]])
    return at
