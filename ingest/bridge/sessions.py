"""The sessions at the broker that bridges read, and who of them reads which.

A bridge of a group has a session of its own, with a shared subscription to the telemetry. One session is common to all:
the statuses of devices come by it (and without a group the telemetry, too), and one bridge at a time reads it. For a
status has no time of its own: by several ways it could overtake a later one; nor do shared subscriptions bring what is
retained. When a bridge dies, another reads its session until nothing is left in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from ingest.bridge.limits import BridgeSettings
from schemas.topics import PREFIX

TELEMETRY = f"{PREFIX}/+/+/telemetry"
STATUS = f"{PREFIX}/+/+/status"


class Role(StrEnum):
    OWN = "own"
    COMMON = "common"
    ADOPTED = "adopted"
    """A dead bridge's, to be read to its end."""


@dataclass(frozen=True, slots=True)
class Held:
    """A session that this bridge may read. wanted, unwanted: filters to subscribe to or give up."""

    client_id: str
    role: Role
    wanted: tuple[str, ...]
    unwanted: tuple[str, ...] = ()


class Leases(Protocol):
    """Which sessions are ours. Every method may be called from any thread and returns at once."""

    def held(self) -> tuple[Held, ...]:
        """The same object as long as nothing changes."""
        ...

    def confirmed_at(self) -> float:
        """Monotonic time at which a look was begun that found us to hold them."""
        ...

    def look(self) -> None:
        """Look now, not at the next turn."""
        ...

    def drained(self, client_id: str) -> None:
        """An adopted session has come to its end."""
        ...


def common_session(settings: BridgeSettings) -> Held:
    if settings.group:
        return Held(f"tocsin-{settings.group}-status", Role.COMMON, (STATUS,))
    return Held("tocsin-all", Role.COMMON, (TELEMETRY, STATUS))


def own_session(settings: BridgeSettings) -> Held | None:
    """None where there are no groups: then the common one has everything."""
    if not settings.group:
        return None
    return Held(f"tocsin-{settings.group}-bridge-{settings.name}", Role.OWN, shared_filters(settings))


def adopted_session(settings: BridgeSettings, client_id: str) -> Held:
    """Nothing more comes into it, so that it has an end."""
    return Held(client_id, Role.ADOPTED, (), shared_filters(settings))


def shared_filters(settings: BridgeSettings) -> tuple[str, ...]:
    return (f"$share/{settings.group}/{TELEMETRY}",)


class Alone:
    """The leases of a bridge that has no others beside it: one session with everything."""

    def __init__(self, settings: BridgeSettings) -> None:
        self._held = (Held(f"tocsin-{settings.name}", Role.COMMON, (TELEMETRY, STATUS)),)

    def held(self) -> tuple[Held, ...]:
        return self._held

    def confirmed_at(self) -> float:
        return float("inf")

    def look(self) -> None:
        """Nobody else could have taken anything."""

    def drained(self, client_id: str) -> None:
        raise ValueError(f"{client_id} is no adopted session")
