"""What alerting expects of a channel, a clock and the world outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from alerting.routes import Recipient
from schemas.notifications import ChannelFacts, Notification

Clock = Callable[[], int]
"""Microseconds since 1970."""

Failpoint = Callable[[str], None]
"""Called at a named place where a test may end the process."""

Publish = Callable[[str, bytes, int, bool], None]
"""topic, payload, QoS, retain. Returns when the door has it; raises ServiceAway when it cannot take it now."""


class Outcome(StrEnum):
    ACCEPTED = "accepted"
    AGAIN = "again"
    """Not taken; it may be tried again."""
    REFUSED = "refused"
    """Not taken, and never will be."""
    UNKNOWN = "unknown"
    """It may have been taken: the answer never came. It is tried again under the same id."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A channel's answer to one message.

    retry_after_s: when it may be tried again, None to leave it to the outbox's back-off.
    detail: one word or code for the ledger; never payload, secret or address.
    reference: the far end's own name of the message, by which it can be asked what became of it.
    """

    outcome: Outcome
    detail: str = ""
    retry_after_s: float | None = None
    reference: str = ""


class Arrival(StrEnum):
    """What a carrier knows of a message that it has accepted."""

    ON_ITS_WAY = "on_its_way"
    DELIVERED = "delivered"
    FAILED = "failed"
    """It never will arrive."""
    UNKNOWN = "unknown"
    """The carrier did not say now; ask again."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """A carrier's answer about one message. detail: one word or code for the ledger."""

    arrival: Arrival
    detail: str = ""


class Channel(Protocol):
    """Sends messages. Called from several threads at once, up to `facts.concurrency` for each recipient."""

    @property
    def facts(self) -> ChannelFacts: ...

    def send(self, recipient: Recipient, messages: Sequence[Notification]) -> Sequence[Answer]:
        """One answer for each message, in order; at most `facts.batch`. May block, must end, does not raise."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class Tracks(Protocol):
    """A channel whose far end can be asked, later, whether a message has come to its person."""

    def track(self, references: Sequence[str]) -> Sequence[Tracked]:
        """One answer for each of `Answer.reference`, in order. May block, must end, does not raise."""
        ...
