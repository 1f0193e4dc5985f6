"""What is to be done about a message after a send: a function of the channel's answer. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from alerting.ports import Answer, Outcome
from schemas.notifications import Status

FIRST_S = 0.5
LONGEST_S = 60.0
_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Settlement:
    """due_us: when it is tried again (`queued`); else the time of the answer."""

    status: Status
    due_us: int


def settle(message: str, answer: Answer, attempt: int, age_s: float, give_up_s: float, now_us: int) -> Settlement:
    """attempt: number of the send that was answered, from 1.  age_s: since the message was due the first time."""
    if answer.outcome is Outcome.ACCEPTED:
        return Settlement(Status.ACCEPTED, now_us)
    wait_s = backoff_s(message, attempt) if answer.retry_after_s is None else max(answer.retry_after_s, FIRST_S)
    if answer.outcome is Outcome.REFUSED or age_s + wait_s > give_up_s:
        return Settlement(Status.FAILED, now_us)
    return Settlement(Status.QUEUED, now_us + round(wait_s * _US))


def backoff_s(message: str, attempt: int) -> float:
    """Doubling from 0.5 s to a minute, less up to a fifth that is the message's own, so that a crowd spreads."""
    whole = min(FIRST_S * 2.0 ** min(attempt - 1, 16), LONGEST_S)
    share = blake2b(f"{message}|{attempt}".encode(), digest_size=1).digest()[0] / 255
    return whole * (1.0 - 0.2 * share)
