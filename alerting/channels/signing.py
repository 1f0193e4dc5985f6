"""How a webhook message is signed, and how its receiver checks that it is ours and fresh.

`Tocsin-Signature: v1=HEX`, where HEX is HMAC-SHA256 with the shared secret over `Tocsin-Timestamp`, a full stop and
the raw body. A receiver refuses timestamps more than five minutes off and, within them, ids (`Tocsin-Id`) that it has
taken already.
"""

from __future__ import annotations

import hmac

REPLAY_WINDOW_S = 300
_SCHEME = "v1="


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """timestamp: whole seconds since 1970."""
    return _SCHEME + hmac.new(secret.encode(), f"{timestamp}.".encode() + body, "sha256").hexdigest()


def refusal(secret: str, timestamp: str, signature: str, body: bytes, now_s: float) -> str:
    """Why a receiver must not believe the message; empty when it may. Takes the headers as they came."""
    if not (timestamp.isascii() and timestamp.isdigit()):
        return "the timestamp is not a number of seconds"
    if abs(now_s - int(timestamp)) > REPLAY_WINDOW_S:
        return "the timestamp is more than five minutes off"
    if not hmac.compare_digest(sign(secret, int(timestamp), body).encode(), signature.encode()):
        return "the signature does not fit"
    return ""
