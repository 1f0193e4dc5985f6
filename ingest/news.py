"""What a door hears of the other doors, and of its own changes on their way into PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from ingest.saved import Retained, Saved, SessionKey


@dataclass(frozen=True, slots=True)
class Written:
    """The changes that were committed under this number: durable, or not known to be."""

    number: int
    is_durable: bool


@dataclass(frozen=True, slots=True)
class Fetched:
    """The session that was asked for is ours now. saved: empty when there is none; None: nobody can say."""

    key: SessionKey
    saved: Saved | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A client of this session is at another door, which waits for it."""

    key: SessionKey
    door: str


@dataclass(frozen=True, slots=True)
class CameElsewhere:
    """A client has connected at another door."""

    key: SessionKey
    at_us: int


@dataclass(frozen=True, slots=True)
class Adopted:
    """Sessions and wills of a door that is no more: ours now."""

    saved: Saved


@dataclass(frozen=True, slots=True)
class LookAgain:
    """PostgreSQL was away, or we were taken for dead: what we have may be others' by now."""


@dataclass(frozen=True, slots=True)
class NotOurs:
    keys: frozenset[SessionKey]


@dataclass(frozen=True, slots=True)
class StatusHeard:
    """A retained status that a device has published at another door; an empty payload deletes."""

    message: Retained


@dataclass(frozen=True, slots=True)
class Recalled:
    """Retained statuses that a new subscription matches."""

    key: SessionKey
    filter: str
    qos: int
    found: Sequence[Retained]


News: TypeAlias = (
    Written | Fetched | Wanted | CameElsewhere | Adopted | LookAgain | NotOurs | StatusHeard | Recalled
)  # fmt: skip


class Peers(Protocol):
    """The other doors, by way of PostgreSQL. What is asked of them goes with a round's changes."""

    @property
    def is_away(self) -> bool:
        """PostgreSQL does not answer: nothing can be fetched or sworn."""
        ...

    def attach(self, hear: Callable[[News], None]) -> None:
        """`hear` is called from a thread of the peers, and returns at once."""
        ...
