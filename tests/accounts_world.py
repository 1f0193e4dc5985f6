"""Accounts for tests: a clock that is set by hand, and an argon2 that costs a thousandth."""

from __future__ import annotations

from argon2 import PasswordHasher

from registry.accounts import Accounts
from schemas.viewers import Role, Viewer, house

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PASSWORD = "four words of brass"
NOON_US = 1_790_000_000_000_000
SECOND_US = 1_000_000
SCOPES: dict[Role, dict[str, tuple[str, ...]]] = {
    Role.OPERATOR: {},
    Role.SUPERVISOR: {"districts": ("310101",)},
    Role.OWNER: {"enterprises": ("shop-1",)},
    Role.INTEGRATOR: {"enterprises": ("shop-1",)},
    Role.ADMINISTRATOR: {},
}


class SetClock:
    """Microseconds since 1970, moved by the test."""

    def __init__(self, now_us: int = NOON_US) -> None:
        self.now_us = now_us

    def __call__(self) -> int:
        return self.now_us

    def forward(self, seconds: float) -> None:
        self.now_us += round(seconds * SECOND_US)


def make_accounts(dsn: str, clock: SetClock | None = None) -> Accounts:
    return Accounts(dsn, clock or SetClock(), CHEAP)


def people_of_every_role(accounts: Accounts) -> dict[Role, Viewer]:
    """An account of each role, its login the role's word, with `PASSWORD`; scopes are `SCOPES`."""
    return {role: accounts.add(house(), role.value, role, password=PASSWORD, **SCOPES[role]).viewer for role in Role}
