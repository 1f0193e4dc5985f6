"""Who may log in: secrets, and all logins in memory, so that two thousand returning devices cost no query.

Secrets are random and long, so one SHA-256 keeps them; a slow hash is for people's passwords.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from schemas.errors import ConfigError, ServiceAway
from schemas.principals import Principal

_SECRET_BYTES = 24
"""192 bits; 32 characters to type."""
_NAME = re.compile(r"[A-Za-z0-9._/-]{1,129}\Z")
_NO_DIGEST = bytes(32)
"""What an unknown name's secret is compared with, so that it takes as long as a known one's."""


class Grant(NamedTuple):
    """role: `devices` (publish; device empty: all of the enterprise) or `alarms` (read)."""

    role: str
    enterprise: str
    device: str = ""


@dataclass(frozen=True, slots=True)
class Login:
    """id: the user name.  digest: SHA-256 of the secret."""

    id: str
    digest: bytes
    grants: tuple[Grant, ...]

    @property
    def principal(self) -> Principal:
        publishes = [grant for grant in self.grants if grant.role == "devices"]
        return Principal(
            id=self.id,
            devices=frozenset(f"{g.enterprise}/{g.device}" for g in publishes if g.device),
            enterprises=frozenset(g.enterprise for g in publishes if not g.device),
            alarms=frozenset(g.enterprise for g in self.grants if g.role == "alarms"),
        )


def check_name(name: str) -> str:
    """The name of a login itself. Raises ConfigError for one that no client could send, or that is ours (`$…`)."""
    if not _NAME.match(name):
        mend = "Use 1 to 129 letters, digits, dots, dashes, underscores or slashes."
        raise ConfigError(f"{name!r} cannot be the name of a login.", mend=mend)
    return name


def new_secret() -> str:
    """A secret for a device: 32 characters, 192 random bits."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def digest_of(secret: bytes) -> bytes:
    return sha256(secret).digest()


class KnownLogins:
    """All logins in memory (port `schemas.principals.Credentials`); replaced whole, from any thread."""

    def __init__(self) -> None:
        self._logins: Mapping[str, Login] | None = None

    def __len__(self) -> int:
        return len(self._logins or ())

    def replace(self, logins: Iterable[Login]) -> None:
        self._logins = {login.id: login for login in logins}

    def check(self, username: str, password: bytes) -> Principal | None:
        """The principal, or None. Takes the same time whether the name or the secret is wrong.

        Raises ServiceAway when the logins have never been read.
        """
        logins = self._logins
        if logins is None:
            raise ServiceAway("registry", "the logins have not been read yet.")
        login = logins.get(username)
        is_right = hmac.compare_digest(digest_of(password), login.digest if login else _NO_DIGEST)
        return login.principal if login is not None and is_right else None
