"""Which sensor a topic's number and a key's number stand for: a dense index, found by compiled look-ups.

A sensor costs its pair and a place in a table, 15 bytes, since the texts of topics and keys are kept once and not for
each sensor. The pair is mixed with a secret before it is a hash; mixing loses nothing, so equal means the same pair.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scoring import slots
from scoring.compiled import inlined, kernel
from scoring.layout import NONE, IdTable

_FIRST, _SECOND = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_HALF = np.uint64(33)


@inlined
def _mixed(seed: Any, topic: Any, key: Any) -> Any:
    """The finaliser of MurmurHash3, a bijection of 64 bits."""
    pair = ((np.uint64(topic) << np.uint64(32)) | np.uint64(key)) ^ seed
    pair = (pair ^ (pair >> _HALF)) * _FIRST
    pair = (pair ^ (pair >> _HALF)) * _SECOND
    return np.int64(pair ^ (pair >> _HALF))


@inlined
def index_of(pairs: IdTable, seed: Any, topic: Any, key: Any) -> Any:
    """The index of a pair, NONE when it is not known or `key` is negative.  seed: uint64."""
    if key < 0:
        return np.int64(NONE)
    return np.int64(slots.find(pairs, _mixed(seed, topic, key)))


@kernel
def find_pairs(pairs: IdTable, seed: Any, topics: Any, keys: Any, found: Any) -> None:
    """found[i] = `index_of` the pair i; all (n,)."""
    for i in range(len(topics)):
        found[i] = index_of(pairs, seed, topics[i], keys[i])


@kernel
def add_pairs(pairs: IdTable, seed: Any, topics: Any, keys: Any, count: Any, found: Any) -> Any:
    """Like `find_pairs`, and the unknown are added from index `count` on; returns how many pairs there are then.

    -1 when there is no more room.
    """
    one = np.empty(1, np.int64)
    for i in range(len(topics)):
        found[i] = index_of(pairs, seed, topics[i], keys[i])
        if found[i] == NONE:
            one[0] = _mixed(seed, topics[i], keys[i])
            if count == len(pairs.ids) or slots.add(pairs, one, count) < 1:
                return -1
            found[i] = count
            count += 1
    return count
