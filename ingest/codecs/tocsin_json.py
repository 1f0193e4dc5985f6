"""Our JSON, compiled: all telemetry and status messages of a round in one pass over their bytes.

The kernel takes only what admission takes without a word: an object, or an array of objects, of keys that are known for
their topic and numbers (booleans, for flags) that are physical, with a `ts` that can be used. Whatever else it meets,
from a new sensor to a broken payload, it gives back untouched, and `ingest.admission` answers it in full. So the two
need never be compared for their words, only for readings, which a property and a fuzzer do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ingest.admission import AHEAD_US
from ingest.codecs.numbers import read_number
from ingest.codecs.times import YEAR_2000_US, read_rfc3339
from ingest.intern import DEPTH, find_key, siphash
from ingest.pairs import index_of
from ingest.ports import MessageBatch
from schemas.measures import MEASURES
from schemas.readings import F64, I64, U8, Origin, Quality, ReadingBatch
from scoring.compiled import inlined, kernel

if TYPE_CHECKING:
    from ingest.sensors import SensorTable

TAKEN, NEW, UNSURE, OUTSIDE = 0, 1, 2, 3
"""What became of a message: all its readings are here; it names a sensor that is not known yet; it is for the obvious
way; its bytes do not lie within the buffer."""

SHORTEST_FIELD = 7
"""Bytes of `"co":1,`: no payload holds more readings than its length over this, plus one."""
_LONGEST_KEY = 56
"""Bytes of a key that may be known; the longest measure with the longest channel has 38."""


def _bounds() -> F64:
    """(codes, 5): physical low and high, instrument low and high, 1 for flags; by measure code."""
    table = np.zeros((max(m.code for m in MEASURES) + 1, 5))
    for m in MEASURES:
        table[m.code] = (*m.physical, *m.instrument, float(m.flag))
    return table


_BOUNDS = _bounds()
_LIVE, _REPLAY = int(Origin.LIVE), int(Origin.REPLAY)
_GOOD, _OUT_OF_RANGE = int(Quality.GOOD), int(Quality.OUT_OF_RANGE)


@dataclass(frozen=True, slots=True)
class Decoded:
    """message: (readings,) int32, the index in the batch of each reading.  state: (n,) uint8, TAKEN, NEW or UNSURE of
    each message that was asked for."""

    readings: ReadingBatch
    message: npt.NDArray[np.int32]
    state: U8


def decode(messages: MessageBatch, which: I64, sensors: SensorTable) -> Decoded:
    """Read the messages `which` (indices, ascending) of the batch.

    Raises IndexError when a payload or a topic does not lie within the buffer.
    """
    lengths = messages.payload_end[which] - messages.payload_start[which]
    room = int(lengths.sum()) // SHORTEST_FIELD + len(which)
    state = np.empty(len(which), np.uint8)
    message, index = np.empty(room, np.int32), np.empty(room, np.int32)
    sensor_id, event, arrival = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64)
    value, quality, origin = np.empty(room), np.empty(room, np.uint8), np.empty(room, np.uint8)
    hash_key, head, directory, slots, arena = sensors.keys.columns()
    count = _scan(
        messages.buffer, which, messages.topic_start, messages.topic_end, messages.payload_start,
        messages.payload_end, messages.topic_id, messages.arrival_us, hash_key, head, directory, slots, arena,
        sensors.pairs, sensors.seed, sensors.ids.array, sensors.measures.array, _BOUNDS, state, message, index,
        sensor_id, event, arrival, value, quality, origin,
    )  # fmt: skip
    if count < 0:
        raise IndexError("a message does not lie within its buffer")
    # Copied, since they live on in the log's tail: a slice would keep the room that was not needed.
    readings = ReadingBatch(
        sensor_id[:count].copy(), event[:count].copy(), arrival[:count].copy(), value[:count].copy(),
        quality[:count].copy(), origin[:count].copy(),
    )  # fmt: skip
    return Decoded(readings, message[:count].copy(), state)


@inlined
def skip_space(data: Any, at: Any, end: Any) -> Any:
    """The index of the next byte that is not JSON's white space."""
    while at < end and data[at] <= 32 and (data[at] == 32 or data[at] == 10 or data[at] == 13 or data[at] == 9):
        at += 1
    return at


@inlined
def _is_word(data: Any, at: Any, end: Any, word: Any) -> Any:
    """`data[at:end]` starts with the bytes of `word`."""
    if end - at < len(word):
        return False
    same = True
    for i in range(len(word)):
        same &= data[at + i] == word[i]
    return same


@inlined
def _key_of(name: Any, end: Any, hash_key: Any, depth: Any, directory: Any, slots: Any, arena: Any) -> Any:
    """The number of the key `name[:end]`, negative when it is not known."""
    start = np.int64(0)  # typed, or the helpers would be compiled a second time for a literal
    tag = siphash(name, start, end, hash_key) >> np.uint64(32)
    return find_key(name, start, end, tag, depth, directory, slots, arena)


@inlined
def _read_ts(data: Any, at: Any, end: Any) -> Any:
    """A `ts` value at `data[at]`: (index behind it, µs since 1970), µs < 0 when not sure."""
    if data[at] == 34:
        start = at + 1
        at = start
        while at < end and data[at] != 34 and at - start < 40:
            at += 1
        if at == end or data[at] != 34:
            return at, np.int64(-1)
        return at + 1, read_rfc3339(data, start, at)
    start = at
    whole = np.int64(0)
    while at < end and 48 <= data[at] <= 57 and at - start < 14:
        whole = whole * 10 + np.int64(data[at] - 48)
        at += 1
    if at == start or (data[start] == 48 and at - start > 1):
        return at, np.int64(-1)
    us = whole * 1000
    if at < end and data[at] == 46:
        at += 1
        point = at
        scale = np.int64(100)
        while at < end and 48 <= data[at] <= 57:
            if scale == 0:
                return at, np.int64(-1)
            us += np.int64(data[at] - 48) * scale
            scale //= 10
            at += 1
        if at == point:
            return at, np.int64(-1)
    return at, us


_TRUE = np.frombuffer(b"true", np.uint8)
_FALSE = np.frombuffer(b"false", np.uint8)
_ONLINE = np.frombuffer(b"online", np.uint8)
_OFFLINE = np.frombuffer(b"offline", np.uint8)
_TELEMETRY = np.frombuffer(b"/telemetry", np.uint8)
_STATUS = np.frombuffer(b"/status", np.uint8)


@kernel
def _scan(
    data: Any, which: Any, topic_start: Any, topic_end: Any, payload_start: Any, payload_end: Any, topic_id: Any,
    arrival_us: Any, hash_key: Any, head: Any, directory: Any, slots: Any, arena: Any, pairs: Any, seed: Any,
    sensor_ids: Any, measures: Any, bounds: Any, state: Any, message: Any, out_index: Any, out_id: Any, out_event: Any,
    out_arrival: Any, out_value: Any, out_quality: Any, out_origin: Any,
) -> Any:  # fmt: skip
    """Fill the columns and `state`; returns the number of readings, or -1 when a message is outside the buffer.

    out_index: the dense index of each reading's sensor, to find a key that stands twice in an object.
    """
    name = np.empty(64, np.uint8)
    depth = head[DEPTH]
    count = np.int64(0)
    for w in range(len(which)):
        m = which[w]
        at, end = payload_start[m], payload_end[m]
        topic, topic_stop = topic_start[m], topic_end[m]
        if at < 0 or end < at or end > len(data) or topic < 0 or topic_stop < topic or topic_stop > len(data):
            return np.int64(-1)
        first = count
        verdict = UNSURE
        if _is_word(data, max(topic, topic_stop - 7), topic_stop, _STATUS):
            online = end - at == 6 and _is_word(data, at, end, _ONLINE)
            if online or (end - at == 7 and _is_word(data, at, end, _OFFLINE)):
                for i in range(6):
                    name[i] = _ONLINE[i]
                key = _key_of(name, np.int64(6), hash_key, depth, directory, slots, arena)
                index = index_of(pairs, seed, topic_id[m], key)
                verdict = NEW
                if index >= 0:
                    verdict = TAKEN
                    message[count] = m
                    out_id[count] = sensor_ids[index]
                    out_event[count] = out_arrival[count] = arrival_us[m]
                    out_value[count] = 1.0 if online else 0.0
                    out_quality[count] = _GOOD
                    out_origin[count] = _LIVE
                    count += 1
            state[w] = verdict
            continue
        if not _is_word(data, max(topic, topic_stop - 10), topic_stop, _TELEMETRY):
            state[w] = UNSURE
            continue
        at = skip_space(data, at, end)
        is_array = at < end and data[at] == 91
        if is_array:
            at = skip_space(data, at + 1, end)
        latest = arrival_us[m] + AHEAD_US
        while at < end and data[at] == 123:  # one object a turn
            at = skip_space(data, at + 1, end)
            of_object = count
            event = np.int64(-1)
            whole = False
            while at < end and data[at] == 34:  # one field a turn
                at += 1
                # A known key is plain, so nothing else need be said of its characters; one with an escape is not known.
                length = 0
                while at < end and data[at] != 34 and length < _LONGEST_KEY:
                    name[length] = data[at]
                    length += 1
                    at += 1
                at = skip_space(data, at + 1, end)
                if at >= end or data[at] != 58:
                    break
                at = skip_space(data, at + 1, end)
                if at >= end:
                    break
                if length == 2 and name[0] == 116 and name[1] == 115:
                    if event != -1:
                        break
                    at, event = _read_ts(data, at, end)
                    if event < YEAR_2000_US or event > latest:
                        break
                else:
                    key = _key_of(name, np.int64(length), hash_key, depth, directory, slots, arena)
                    index = index_of(pairs, seed, topic_id[m], key)
                    if index < 0:
                        verdict = NEW
                        break
                    row = bounds[measures[key]]
                    if data[at] == 116 or data[at] == 102:
                        is_true = data[at] == 116
                        if row[4] == 0.0 or not _is_word(data, at, end, _TRUE if is_true else _FALSE):
                            break
                        at += 4 if is_true else 5
                        value = 1.0 if is_true else 0.0
                    else:
                        sure, at, value = read_number(data, at, end)
                        if not sure or not row[0] <= value <= row[1]:
                            break
                        if row[4] != 0.0 and not (value == 0.0 or value == 1.0):  # noqa: PLR1714 - no set in a kernel
                            break
                    twice = False
                    for i in range(of_object, count):
                        twice |= out_index[i] == index
                    if twice:
                        break
                    message[count] = m
                    out_index[count] = index
                    out_id[count] = sensor_ids[index]
                    out_arrival[count] = arrival_us[m]
                    out_value[count] = value + 0.0
                    out_quality[count] = _GOOD if row[2] <= value <= row[3] else _OUT_OF_RANGE
                    out_origin[count] = _REPLAY if is_array else _LIVE
                    count += 1
                at = skip_space(data, at, end)
                if at >= end:
                    break
                if data[at] == 125:
                    at = skip_space(data, at + 1, end)
                    whole = True
                    break
                if data[at] != 44:
                    break
                at = skip_space(data, at + 1, end)
            if not whole or count == of_object or (is_array and event == -1):
                break
            for i in range(of_object, count):
                out_event[i] = arrival_us[m] if event == -1 else event
            if not is_array:
                if at == end:
                    verdict = TAKEN
                break
            if at < end and data[at] == 44:
                at = skip_space(data, at + 1, end)
                continue
            if at < end and data[at] == 93 and skip_space(data, at + 1, end) == end:
                verdict = TAKEN
            break
        if verdict != TAKEN:
            count = first
        state[w] = verdict
    return count
