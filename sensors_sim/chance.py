"""Chance by counting: a random number is a hash of (seed, step, stream), so nobody's numbers depend on anybody else's.

A shop therefore lives the same day alone and among a thousand, and a run can be repeated from its seed.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
U64 = npt.NDArray[np.uint64]

_MASK = (1 << 64) - 1
_STEP = 0x9E3779B97F4A7C15
_STREAM = 0xD1B54A32D192ED03


def seed_of(seed: int, *names: str) -> int:
    """A 64-bit seed for whatever the names name."""
    text = "|".join((str(seed), *names))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def uniform(seeds: U64, step: int, stream: int) -> F64:
    """One number in (0, 1) for each of `seeds`; shape (n,)."""
    x = seeds + np.uint64((step * _STEP + stream * _STREAM) & _MASK)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)  # the finaliser of splitmix64
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return ((x >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def normal(seeds: U64, step: int, stream: int) -> F64:
    """One standard normal number for each of `seeds` (Box-Muller); uses streams 2·stream and 2·stream + 1."""
    radius = np.sqrt(-2.0 * np.log(uniform(seeds, step, 2 * stream)))
    turn: F64 = np.cos(2.0 * np.pi * uniform(seeds, step, 2 * stream + 1))
    return radius * turn
