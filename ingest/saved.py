"""What of a door outlives a kill: sessions, subscriptions, wills, retained messages, QoS 2 ids and queued messages.

The door hands its changes to the commit of the round that made them. In one process they are durable with it. Among
several doors their keeper writes them behind it, and clients are answered once what is `SWORN` to them is durable.
What a door asks of the keeper travels with its changes, so that it is asked behind them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias


class SessionKey(NamedTuple):
    """A client id belongs to its login: two logins with one client id have two sessions."""

    principal: str
    client_id: str


@dataclass(frozen=True, slots=True)
class SessionBegun:
    """A new session, connected; in the place of any other of this key."""

    key: SessionKey
    expiry_s: int


@dataclass(frozen=True, slots=True)
class SessionKept:
    """A session that is there was taken up or left."""

    key: SessionKey
    expiry_s: int
    ended_us: int | None
    """When its connection ended; None while it is connected."""


@dataclass(frozen=True, slots=True)
class SessionGone:
    """With its subscriptions, QoS 2 ids and queue; its will is apart."""

    key: SessionKey
    is_ours: bool = True
    """False: also when it is another door's."""


@dataclass(frozen=True, slots=True)
class SessionMoved:
    """It is another door's from now on."""

    key: SessionKey
    door: str


@dataclass(frozen=True, slots=True)
class ClientCame:
    """A client is connected here now, and nowhere else; among several doors only."""

    key: SessionKey
    at_us: int
    has_will: bool
    """False: a will of its last connection is no longer wanted, whichever door has it."""


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
    came_us: int
    """When its client came; of two doors' wills the later one stays."""


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


@dataclass(frozen=True, slots=True)
class SessionAsked:
    """A client wants a session that is not here. Answered by `Fetched`."""

    key: SessionKey


@dataclass(frozen=True, slots=True)
class RetainedAsked:
    """A new subscription wants the retained statuses that match. Answered by `Recalled`."""

    key: SessionKey
    filter: str
    qos: int


@dataclass(frozen=True, slots=True)
class OwnedAsked:
    """Which of these are not ours any more? Answered by `NotOurs`."""

    sessions: frozenset[SessionKey]
    wills: frozenset[SessionKey]


SessionChange: TypeAlias = (
    SessionBegun | SessionKept | SessionGone | SessionMoved | SubscriptionKept | SubscriptionGone | IdStored
    | IdReleased | Queued | Delivered
)  # fmt: skip
ClientChange: TypeAlias = ClientCame | WillKept | WillGone
Question: TypeAlias = SessionAsked | RetainedAsked | OwnedAsked
Change: TypeAlias = SessionChange | ClientChange | Retained | Question

SWORN = (SessionBegun, SubscriptionKept, SubscriptionGone, IdStored, IdReleased)
"""Changes that a client may count on once it is answered."""


@dataclass(frozen=True, slots=True)
class Saved:
    """All of it as it stands after a start, as the changes that would make it; `Queued` in order of number."""

    sessions: Sequence[SessionKept] = ()
    subscriptions: Sequence[SubscriptionKept] = ()
    wills: Sequence[WillKept] = ()
    retained: Sequence[Retained] = ()
    ids: Sequence[IdStored] = ()
    queued: Sequence[Queued] = ()

    def by_session(self) -> dict[SessionKey, Saved]:
        """The same for each session by itself, without wills and retained messages."""
        parts: tuple[Sequence[Any], ...] = (self.sessions, self.subscriptions, self.ids, self.queued)
        found: dict[SessionKey, tuple[list[Any], ...]] = {one.key: ([], [], [], []) for one in self.sessions}
        for place, part in enumerate(parts):
            for one in part:
                if one.key in found:
                    found[one.key][place].append(one)
        return {key: Saved(kept, wanted, (), (), ids, queued) for key, (kept, wanted, ids, queued) in found.items()}


class SessionStore(Protocol):
    def load(self) -> Saved:
        """Read everything that is ours, once, at the start. Raises ServiceAway."""
        ...
