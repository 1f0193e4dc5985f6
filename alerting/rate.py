"""How many messages a channel takes a second: a bucket of tokens. Thread-safe; the clock is an argument."""

from __future__ import annotations

import threading

_ROUNDING = 1e-6
"""A wait that is too short for the clock to see would be asked for again and again."""


class Bucket:
    """Filled at `rate_per_s`; a second's worth, and one at least, may go at once after a quiet time."""

    def __init__(self, rate_per_s: float) -> None:
        if rate_per_s <= 0:
            raise ValueError("the rate is not above 0")
        self._rate_per_s = rate_per_s
        self._most = max(rate_per_s, 1.0)
        self._tokens = self._most
        self._at_s: float | None = None
        self._lock = threading.Lock()

    def take(self, now_s: float) -> float:
        """0 when a token was taken, else the seconds until there is one. now_s: monotonic."""
        with self._lock:
            if self._at_s is not None:
                self._tokens = min(self._tokens + max(now_s - self._at_s, 0.0) * self._rate_per_s, self._most)
            self._at_s = now_s
            if self._tokens >= 1.0 - _ROUNDING:
                self._tokens -= 1.0
                return 0.0
            return (1.0 - self._tokens) / self._rate_per_s

    def spend(self, tokens: float) -> None:
        """Take more, in debt if need be; less than 0 gives back."""
        with self._lock:
            self._tokens = min(self._tokens - tokens, self._most)
