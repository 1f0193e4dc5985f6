"""Who a client of the door is, and what it may do there. Made by the registry at login, read by the door."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Principal:
    """One login. It publishes under its own devices and reads what is addressed to them."""

    id: str
    """Names the login for ever; sessions and wills belong to it."""
    devices: frozenset[str] = frozenset()
    """Device keys, `enterprise/device`."""
    enterprises: frozenset[str] = frozenset()
    """An integrator: every device of these enterprises."""
    alarms: frozenset[str] = frozenset()
    """Enterprises whose alarms it may read."""
    every_alarm: bool = False
    """The alarms of all enterprises."""
    everything: bool = False
    """Any device and any alarm: the anonymous client on loopback."""
    proof: bytes = field(default=b"", repr=False, compare=False)
    """What it has logged in with, as the registry knows it again; empty for one that is remembered by its id."""

    def owns(self, enterprise: str, device: str) -> bool:
        return self.everything or enterprise in self.enterprises or f"{enterprise}/{device}" in self.devices

    def reads_alarms(self, enterprise: str) -> bool:
        return self.everything or self.every_alarm or enterprise in self.alarms

    @property
    def reads_some_alarms(self) -> bool:
        return self.everything or self.every_alarm or bool(self.alarms)


ANONYMOUS = Principal("$anonymous", everything=True)


class Credentials(Protocol):
    def check(self, username: str, password: bytes) -> Principal | None:
        """None when the name is unknown or the secret is wrong. Raises ServiceAway when that cannot be said now."""
        ...

    def certified(self, name: str) -> Principal | None:
        """Of a client whose certificate bears this name. None, and raises, as `check`."""
        ...

    def still(self, principal: Principal) -> Principal | None:
        """What it may do by now; None when its proof opens nothing any more. Never raises."""
        ...

    def changed(self) -> Collection[str]:
        """Ids of the logins that are not what they were at the last call. For one caller."""
        ...
