"""BLAKE2b for kernels: the numbers that names stand for, without a Python object a name.

`schemas.identity.id_of` is the meaning; this is the same function over bytes. Source: RFC 7693.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scoring.compiled import inlined, kernel

BLOCK = 128
_DIGEST = 8
_ROUNDS = 12
_IV = np.array(
    [
        0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
        0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
    ],
    np.uint64,
)  # fmt: skip
_FIRST = np.uint64(int(_IV[0]) ^ 0x01010000 ^ _DIGEST)
"""The first word of the state: no key, digest of 8 bytes, one leaf."""
_ORDER = np.array(
    [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
        [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
        [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
        [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
        [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
        [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
        [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
        [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
        [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
    ],
    np.uint8,
)
"""Which words of the block each round mixes in."""
_POSITIVE = np.uint64((1 << 63) - 1)


@inlined
def _mix(a: Any, b: Any, c: Any, d: Any, x: Any, y: Any) -> Any:
    a = a + b + x
    d ^= a
    d = (d >> np.uint64(32)) | (d << np.uint64(32))
    c = c + d
    b ^= c
    b = (b >> np.uint64(24)) | (b << np.uint64(40))
    a = a + b + y
    d ^= a
    d = (d >> np.uint64(16)) | (d << np.uint64(48))
    c = c + d
    b ^= c
    b = (b >> np.uint64(63)) | (b << np.uint64(1))
    return a, b, c, d


@inlined
def _compress(state: Any, words: Any, count: Any, is_last: Any) -> None:
    """One block, `words`, into `state`; count: bytes up to its end."""
    v0, v1, v2, v3 = state[0], state[1], state[2], state[3]
    v4, v5, v6, v7 = state[4], state[5], state[6], state[7]
    v8, v9, v10, v11 = _IV[0], _IV[1], _IV[2], _IV[3]
    v12, v13, v14, v15 = _IV[4] ^ np.uint64(count), _IV[5], _IV[6], _IV[7]
    if is_last:
        v14 = ~v14
    for turn in range(_ROUNDS):
        o = _ORDER[turn % 10]
        v0, v4, v8, v12 = _mix(v0, v4, v8, v12, words[o[0]], words[o[1]])
        v1, v5, v9, v13 = _mix(v1, v5, v9, v13, words[o[2]], words[o[3]])
        v2, v6, v10, v14 = _mix(v2, v6, v10, v14, words[o[4]], words[o[5]])
        v3, v7, v11, v15 = _mix(v3, v7, v11, v15, words[o[6]], words[o[7]])
        v0, v5, v10, v15 = _mix(v0, v5, v10, v15, words[o[8]], words[o[9]])
        v1, v6, v11, v12 = _mix(v1, v6, v11, v12, words[o[10]], words[o[11]])
        v2, v7, v8, v13 = _mix(v2, v7, v8, v13, words[o[12]], words[o[13]])
        v3, v4, v9, v14 = _mix(v3, v4, v9, v14, words[o[14]], words[o[15]])
    state[0] ^= v0 ^ v8
    state[1] ^= v1 ^ v9
    state[2] ^= v2 ^ v10
    state[3] ^= v3 ^ v11
    state[4] ^= v4 ^ v12
    state[5] ^= v5 ^ v13
    state[6] ^= v6 ^ v14
    state[7] ^= v7 ^ v15


@kernel
def number_of(data: Any, start: Any, end: Any, scratch: Any) -> Any:
    """`id_of` the text `data[start:end]`, int64; data: uint8.  scratch: (24,) uint64, for nobody else meanwhile."""
    state, words = scratch[:8], scratch[8:24]
    state[:] = _IV
    state[0] = _FIRST
    at: Any = np.int64(start)
    while True:
        words[:] = 0
        size: Any = min(np.int64(end) - at, BLOCK)
        for i in range(size):
            words[i >> 3] |= np.uint64(data[at + i]) << np.uint64(8 * (i & 7))
        at += size
        is_last = at >= end
        _compress(state, words, at - np.int64(start), is_last)
        if is_last:
            return np.int64(state[0] & _POSITIVE)


def scratch_of() -> Any:
    """What `number_of` works in."""
    return np.zeros(24, np.uint64)
