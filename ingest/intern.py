"""Names as small numbers: a table from bytes to dense int32 ids, looked up a whole round at a time.

Extendible hashing: a directory of segments, each a small open-addressing table of 1,024 slots; a full segment
splits in two, so the table grows by some microseconds at a time however large it is. A slot holds 32 bits of the
hash and the place of a record in an arena of bytes; a record holds id, length and key. Every hit is compared byte
by byte. The hash is SipHash-1-3 with a random key, so a client that chooses its names cannot make them collide.
Sources: Fagin et al. (1979), ACM TODS 4(3); Aumasson and Bernstein (2012), "SipHash".
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ingest.arena import Column
from schemas.readings import I64, U8
from scoring.compiled import inlined, kernel

I32 = npt.NDArray[np.int32]
U64 = npt.NDArray[np.uint64]

SEGMENT_BITS = 10
SEGMENT = 1 << SEGMENT_BITS
SEGMENT_FULL = SEGMENT * 3 // 4
"""Keys of a segment at which it splits; the mean load is then about 0.52, and a probe is short."""
DEEPEST = 32 - SEGMENT_BITS
LONGEST_KEY = (1 << 16) - 1
HEAD = 8
"""Bytes before the key in a record: id (4), length (4). Records start at multiples of 8; a place is start / 8."""

COUNT, USED, SEGMENTS, DEPTH = 0, 1, 2, 3
"""Fields of the table's header: keys, places of the arena in use, segments, bits of the directory."""
DONE, FULL_ARENA, FULL_IDS, FULL_SEGMENTS, FULL_DIRECTORY = 0, 1, 2, 3, 4
"""Why a run of additions came back."""


class ByteTable:
    """Keys of 0 to 65,535 bytes, numbered 0, 1, 2 … in the order they were added, never removed.

    One thread at a time. Costs about 28 bytes and the key, rounded up to 8, for each key.
    seed: 16 secret bytes, random where not given.  Buffers are writable, contiguous uint8 (one compiled form).
    """

    __slots__ = ("_arena", "_counts", "_depths", "_directory", "_head", "_key", "_places", "_slots")

    def __init__(self, seed: bytes | None = None) -> None:
        secret = secrets.token_bytes(16) if seed is None else seed
        if len(secret) != 16:
            raise ValueError("a seed has 16 bytes")
        self._key = np.frombuffer(secret, "<u8").copy()
        self._slots = Column(np.uint64, SEGMENT)
        self._counts = Column(np.int32, 64)
        self._depths = Column(np.uint8, 64)
        self._arena = Column(np.uint8, 4096)
        self._places = Column(np.uint32, 512)
        self._directory: I32 = np.zeros(1, np.int32)
        self._head: I64 = np.array([0, 1, 1, 0], np.int64)

    def __len__(self) -> int:
        return int(self._head[COUNT])

    def lookup(self, buffer: U8, starts: I64, ends: I64) -> I32:
        """The ids of the keys `buffer[starts[i]:ends[i]]`, -1 where unknown; (n,) int32.

        Raises IndexError when a key does not lie within the buffer.
        """
        _check(buffer, starts, ends)
        ids = np.empty(len(starts), np.int32)
        _lookup(
            buffer, starts, ends, self._key, self._head, self._directory,
            self._slots.array, self._arena.array, ids,
        )  # fmt: skip
        return ids

    def add_many(self, buffer: U8, starts: I64, ends: I64) -> I32:
        """Like `lookup`, and keys that are unknown are added, each once, in order."""
        _check(buffer, starts, ends)
        if len(starts) and int((ends - starts).max()) > LONGEST_KEY:
            raise ValueError(f"a key has at most {LONGEST_KEY} bytes")
        ids = np.empty(len(starts), np.int32)
        done = 0
        while done < len(starts):
            done, why = _add(
                buffer, starts, ends, done, self._key, self._head, self._directory, self._counts.array,
                self._depths.array, self._slots.array, self._arena.array, self._places.array, ids,
            )  # fmt: skip
            if why != DONE:
                self._grow(why)
        return ids

    def add(self, key: bytes) -> int:
        """The id of `key`, which is added where unknown."""
        return int(self.add_all([key])[0])

    def find(self, key: bytes) -> int:
        """The id of `key`, -1 where unknown."""
        return int(self.find_all([key])[0])

    def add_all(self, keys: Sequence[bytes]) -> I32:
        """`add_many` of keys that are objects."""
        return self.add_many(*_laid_out(keys))

    def find_all(self, keys: Sequence[bytes]) -> I32:
        """`lookup` of keys that are objects."""
        return self.lookup(*_laid_out(keys))

    def get(self, number: int) -> bytes:
        """The key of an id. Raises IndexError when there is no such id."""
        if not 0 <= number < len(self):
            raise IndexError(f"no key has the id {number}")
        arena, start = self._arena.array, int(self._places.array[number]) * 8
        length = int(arena[start + 4 : start + HEAD].view("<u4")[0])
        return arena[start + HEAD : start + HEAD + length].tobytes()

    def columns(self) -> tuple[U64, I64, I32, U64, U8]:
        """Hash key, header, directory, slots and arena, for a kernel that calls `siphash` and `find_key` itself.

        Good until the next addition.
        """
        return self._key, self._head, self._directory, self._slots.array, self._arena.array

    def _grow(self, why: int) -> None:
        if why == FULL_ARENA:
            self._arena.reserve(int(self._head[USED]) * 8 + HEAD + LONGEST_KEY + 8)
        elif why == FULL_IDS:
            self._places.reserve(len(self) + 1)
        elif why == FULL_SEGMENTS:
            segments = int(self._head[SEGMENTS]) + 1
            self._slots.reserve(segments * SEGMENT)
            self._counts.reserve(segments)
            self._depths.reserve(segments)
        elif self._head[DEPTH] < DEEPEST:
            self._directory = np.repeat(self._directory, 2)
            self._head[DEPTH] += 1
        else:
            raise OverflowError("the table of names is full")


def _laid_out(keys: Sequence[bytes]) -> tuple[U8, I64, I64]:
    lengths = np.fromiter(map(len, keys), np.int64, len(keys))
    ends = np.cumsum(lengths)
    # One byte more, since an array of none cannot be made of a buffer of none.
    return np.frombuffer(bytearray(b"".join(keys) + b" "), np.uint8), ends - lengths, ends


def _check(buffer: U8, starts: I64, ends: I64) -> None:
    if len(starts) != len(ends):
        raise ValueError("as many ends as starts")
    if len(starts) and (starts.min() < 0 or (ends < starts).any() or ends.max() > len(buffer)):
        raise IndexError("a key does not lie within the buffer")


@inlined
def load_word(data: Any, at: Any, count: Any) -> Any:
    """`count` (at most 8) bytes of `data` from `at` as a little-endian number."""
    word = np.uint64(0)
    for i in range(count):
        word |= np.uint64(data[at + i]) << np.uint64(8 * i)
    return word


@inlined
def _round(a: Any, b: Any, c: Any, d: Any) -> Any:
    a += b
    b = ((b << np.uint64(13)) | (b >> np.uint64(51))) ^ a
    a = (a << np.uint64(32)) | (a >> np.uint64(32))
    c += d
    d = ((d << np.uint64(16)) | (d >> np.uint64(48))) ^ c
    a += d
    d = ((d << np.uint64(21)) | (d >> np.uint64(43))) ^ a
    c += b
    b = ((b << np.uint64(17)) | (b >> np.uint64(47))) ^ c
    c = (c << np.uint64(32)) | (c >> np.uint64(32))
    return a, b, c, d


@inlined
def siphash(data: Any, start: Any, end: Any, key: Any) -> Any:
    """SipHash-1-3 of `data[start:end]`; key: (2,) uint64."""
    a = key[0] ^ np.uint64(0x736F6D6570736575)
    b = key[1] ^ np.uint64(0x646F72616E646F6D)
    c = key[0] ^ np.uint64(0x6C7967656E657261)
    d = key[1] ^ np.uint64(0x7465646279746573)
    at = start
    while at + 8 <= end:
        word = load_word(data, at, 8)
        d ^= word
        a, b, c, d = _round(a, b, c, d)
        a ^= word
        at += 8
    word = load_word(data, at, end - at) | (np.uint64(end - start) << np.uint64(56))
    d ^= word
    a, b, c, d = _round(a, b, c, d)
    a ^= word
    c ^= np.uint64(0xFF)
    for _ in range(3):
        a, b, c, d = _round(a, b, c, d)
    return a ^ b ^ c ^ d


@inlined
def _segment_of(tag: Any, directory: Any, depth: Any) -> Any:
    return np.int64(directory[np.int64(tag >> np.uint64(32 - depth))])


@inlined
def find_key(data: Any, start: Any, end: Any, tag: Any, depth: Any, directory: Any, slots: Any, arena: Any) -> Any:
    """The id of a key by its tag (upper 32 bits of its hash), or -1 - (the empty slot where it belongs)."""
    base = _segment_of(tag, directory, depth) * SEGMENT
    length = end - start
    place = np.int64(tag & np.uint64(SEGMENT - 1))
    while True:
        slot = slots[base + place]
        if slot == 0:
            return -1 - (base + place)
        if slot >> np.uint64(32) == tag:
            record = np.int64(slot & np.uint64(0xFFFFFFFF)) * 8
            if np.int64(load_word(arena, record + 4, 4)) == length:
                at = 0
                while at < length and data[start + at] == arena[record + HEAD + at]:
                    at += 1
                if at == length:
                    return np.int64(load_word(arena, record, 4))
        place = (place + 1) & (SEGMENT - 1)


@kernel
def _lookup(
    data: Any, starts: Any, ends: Any, key: Any, head: Any, directory: Any, slots: Any, arena: Any, ids: Any
) -> None:
    depth = head[DEPTH]
    for i in range(len(starts)):
        tag = siphash(data, starts[i], ends[i], key) >> np.uint64(32)
        ids[i] = max(-1, find_key(data, starts[i], ends[i], tag, depth, directory, slots, arena))


@inlined
def _split(segment: Any, head: Any, directory: Any, counts: Any, depths: Any, slots: Any) -> None:
    """Move the keys of `segment` whose next bit is set to a new segment."""
    bit = np.uint64(31 - depths[segment])
    fresh = head[SEGMENTS]
    head[SEGMENTS] += 1
    depths[segment] += 1
    depths[fresh] = depths[segment]
    old = slots[segment * SEGMENT : (segment + 1) * SEGMENT].copy()
    slots[segment * SEGMENT : (segment + 1) * SEGMENT] = 0
    counts[segment] = 0
    for slot in old:
        if slot != 0:
            tag = slot >> np.uint64(32)
            home = fresh if (tag >> bit) & np.uint64(1) else segment
            place = np.int64(tag & np.uint64(SEGMENT - 1))
            while slots[home * SEGMENT + place] != 0:
                place = (place + 1) & (SEGMENT - 1)
            slots[home * SEGMENT + place] = slot
            counts[home] += 1
    span = np.int64(1) << (head[DEPTH] - np.int64(depths[fresh]))
    first = np.int64(0)
    while directory[first] != segment:
        first += 1
    for i in range(first + span, first + 2 * span):
        directory[i] = fresh


@kernel
def _add(
    data: Any, starts: Any, ends: Any, done: Any, key: Any, head: Any, directory: Any, counts: Any,
    depths: Any, slots: Any, arena: Any, places: Any, ids: Any,
) -> Any:  # fmt: skip
    """Add from key `done` on; returns how far it came and why it stopped."""
    for i in range(done, len(starts)):
        start, end = starts[i], ends[i]
        tag = siphash(data, start, end, key) >> np.uint64(32)
        while True:
            found = find_key(data, start, end, tag, head[DEPTH], directory, slots, arena)
            if found >= 0:
                ids[i] = found
                break
            segment = _segment_of(tag, directory, head[DEPTH])
            if counts[segment] >= SEGMENT_FULL:
                room = min(len(slots) // SEGMENT, len(counts), len(depths))
                if head[SEGMENTS] + 1 > room:
                    return i, FULL_SEGMENTS
                if depths[segment] == head[DEPTH]:
                    return i, FULL_DIRECTORY
                _split(segment, head, directory, counts, depths, slots)
                continue
            record = head[USED] * 8
            if record + HEAD + end - start > len(arena):
                return i, FULL_ARENA
            if head[COUNT] >= len(places):
                return i, FULL_IDS
            for b in range(4):
                arena[record + b] = (head[COUNT] >> (8 * b)) & 0xFF
                arena[record + 4 + b] = ((end - start) >> (8 * b)) & 0xFF
            for b in range(end - start):
                arena[record + HEAD + b] = data[start + b]
            slots[-1 - found] = (tag << np.uint64(32)) | np.uint64(head[USED])
            places[head[COUNT]] = head[USED]
            counts[segment] += 1
            ids[i] = head[COUNT]
            head[COUNT] += 1
            head[USED] += (HEAD + end - start + 7) // 8
            break
    return len(starts), DONE
