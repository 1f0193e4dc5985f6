"""What of a door outlives a kill: sessions, subscriptions, wills, retained messages, QoS 2 ids and queued messages.

The door hands its changes to the commit of the round that made them, and answers its client after that commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias


class SessionKey(NamedTuple):
    """A client id belongs to its login: two logins with one client id have two sessions."""

    principal: str
    client_id: str


@dataclass(frozen=True, slots=True)
class SessionKept:
    key: SessionKey
    expiry_s: int
    ended_us: int | None
    """When its connection ended; None while it is connected."""


@dataclass(frozen=True, slots=True)
class SessionGone:
    """With its subscriptions, QoS 2 ids and queue; its will is apart."""

    key: SessionKey


@dataclass(frozen=True, slots=True)
class SubscriptionKept:
    key: SessionKey
    filter: str
    qos: int
    no_local: bool
    retain_as_published: bool


@dataclass(frozen=True, slots=True)
class SubscriptionGone:
    key: SessionKey
    filter: str


@dataclass(frozen=True, slots=True)
class WillKept:
    key: SessionKey
    topic: str
    payload: bytes
    qos: int
    retain: bool
    delay_s: int
    keep_alive_s: float


@dataclass(frozen=True, slots=True)
class WillGone:
    """Published, or no longer wanted."""

    key: SessionKey


@dataclass(frozen=True, slots=True)
class Retained:
    """An empty payload deletes."""

    topic: str
    payload: bytes
    qos: int


@dataclass(frozen=True, slots=True)
class IdStored:
    """A QoS 2 message was taken under this packet id."""

    key: SessionKey
    packet_id: int


@dataclass(frozen=True, slots=True)
class IdReleased:
    key: SessionKey
    packet_id: int


@dataclass(frozen=True, slots=True)
class Queued:
    """A QoS 1 message waits for a persistent session's client."""

    key: SessionKey
    number: int
    topic: str
    payload: bytes
    retain: bool


@dataclass(frozen=True, slots=True)
class Delivered:
    """The client has acknowledged it, or it was dropped from a full queue."""

    key: SessionKey
    number: int


Change: TypeAlias = (
    SessionKept | SessionGone | SubscriptionKept | SubscriptionGone | WillKept | WillGone | Retained | IdStored
    | IdReleased | Queued | Delivered
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Saved:
    """All of it as it stands after a start, as the changes that would make it; `Queued` in order of number."""

    sessions: Sequence[SessionKept] = ()
    subscriptions: Sequence[SubscriptionKept] = ()
    wills: Sequence[WillKept] = ()
    retained: Sequence[Retained] = ()
    ids: Sequence[IdStored] = ()
    queued: Sequence[Queued] = field(default=())


class SessionStore(Protocol):
    def load(self) -> Saved:
        """Read everything, once, at the start. Raises ServiceAway."""
        ...

    def write(self, cursor: Any, changes: Sequence[Change]) -> None:
        """Write `changes` in order within the caller's transaction; writing them twice is harmless."""
        ...
