"""Tokens of sessions, links and keys, how long they last, and who tries too often. Pure.

Tokens are 256 random bits, so one SHA-256 keeps them.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Generic, TypeVar

Clock = Callable[[], int]
"""Microseconds since 1970."""
SECOND_US = 1_000_000
IDLE_S = 12 * 3600
"""A session that nobody uses ends."""
LONGEST_S = 7 * 24 * 3600
"""And every session does."""
TOUCH_S = 60
"""That a session is used is written down once in so long."""
KEY_PREFIX = "tocsin_"

FAILURES = 5
LOCKS_S = (60, 300, 900)
"""After so many failures a login is locked, and longer after each further round."""
FROM_ONE_ADDRESS = 30
PER_S = 60.0
"""Failures of one address: so many, and then one in PER_S / FROM_ONE_ADDRESS seconds."""
REMEMBERED = 10_000

_K = TypeVar("_K")
_V = TypeVar("_V")


def wall_us() -> int:
    return time.time_ns() // 1000


def new_token() -> str:
    return secrets.token_urlsafe(32)


def digest_of(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogateescape")).digest()


def new_key() -> tuple[str, str, bytes]:
    """id, the key `tocsin_ID_SECRET`, SHA-256 of its secret."""
    id_, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    return id_, f"{KEY_PREFIX}{id_}_{secret}", digest_of(secret)


def parts_of_key(key: str) -> tuple[str, bytes] | None:
    """id and SHA-256 of the secret; None when it has not the form of a key."""
    if not key.startswith(KEY_PREFIX) or len(key) > 200:
        return None
    id_, mark, secret = key.removeprefix(KEY_PREFIX).partition("_")
    return (id_, digest_of(secret)) if mark and id_.isalnum() and secret else None


def lock_s(failed: int) -> int:
    """For how long a login is locked by its `failed`-th failure in a row; 0 when it is not."""
    rounds, rest = divmod(failed, FAILURES)
    return 0 if rest or not rounds else LOCKS_S[min(rounds, len(LOCKS_S)) - 1]


def expiry_us(made_us: int, now_us: int) -> int:
    """When a session that is used now will end."""
    return min(now_us + IDLE_S * SECOND_US, made_us + LONGEST_S * SECOND_US)


class Recent(Generic[_K, _V]):
    """A mapping that forgets its oldest entries. Not thread-safe."""

    def __init__(self, size: int = REMEMBERED) -> None:
        self._size = size
        self._kept: OrderedDict[_K, _V] = OrderedDict()

    def get(self, key: _K) -> _V | None:
        return self._kept.get(key)

    def put(self, key: _K, value: _V) -> None:
        self._kept[key] = value
        self._kept.move_to_end(key)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)

    def drop(self, key: _K) -> None:
        self._kept.pop(key, None)

    def clear(self) -> None:
        self._kept.clear()

    def __len__(self) -> int:
        return len(self._kept)


@dataclass(slots=True)
class _Tries:
    left: float
    at_us: int


class Tries:
    """How often an address (or a login that is nobody's) has failed of late: a bucket each. Not thread-safe."""

    def __init__(self, most: int = FROM_ONE_ADDRESS, per_s: float = PER_S, size: int = REMEMBERED) -> None:
        self._most = most
        self._rate = most / per_s
        self._buckets: Recent[str, _Tries] = Recent(size)

    def wait_s(self, who: str, now_us: int) -> float:
        """How long `who` has to wait until it may try; 0.0: not at all."""
        left = self._left(who, now_us)
        return 0.0 if left >= 1.0 else (1.0 - left) / self._rate

    def count(self, who: str, now_us: int) -> None:
        """One try more."""
        self._buckets.put(who, _Tries(max(0.0, self._left(who, now_us) - 1.0), now_us))

    def _left(self, who: str, now_us: int) -> float:
        known = self._buckets.get(who)
        if known is None:
            return float(self._most)
        gone_s = max(0, now_us - known.at_us) / SECOND_US
        return min(float(self._most), known.left + gone_s * self._rate)
