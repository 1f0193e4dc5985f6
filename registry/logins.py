"""Who may log in: secrets, and all logins in memory, so that two thousand returning devices cost no query.

Secrets are random and long, so one SHA-256 keeps them; a slow hash is for people's passwords.
"""

from __future__ import annotations

import hmac
import re
import secrets
import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import NamedTuple

from registry.sessions import parts_of_key
from schemas.errors import ConfigError, ServiceAway
from schemas.principals import Principal

_SECRET_BYTES = 24
"""192 bits; 32 characters to type."""
_NAME = re.compile(r"[A-Za-z0-9._/-]{1,129}\Z")
_NO_DIGEST = bytes(32)
"""What an unknown name's secret is compared with, so that it takes as long as a known one's."""
CERTIFICATE = b"certificate"
"""The proof of who came in by one; as long as no digest."""
ACCOUNT = "$account/"
"""Before the name of an account's principal; no login's own name begins so."""


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


@dataclass(frozen=True, slots=True)
class AccountLogin:
    """A person's or program's account at the door: with one of its API keys it reads the alarms that it may see.

    name: its login, the user name.  keys: id → SHA-256 of the secret.  alarms: enterprises; None: of all.
    """

    name: str
    keys: Mapping[str, bytes]
    alarms: frozenset[str] | None

    @property
    def id(self) -> str:
        """Of the principal: a device's login may have the same name, and is somebody else."""
        return f"{ACCOUNT}{self.name}"

    @property
    def principal(self) -> Principal:
        return Principal(self.id, alarms=self.alarms or frozenset(), every_alarm=self.alarms is None)


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
        self._accounts: Mapping[str, AccountLogin] = {}
        self._changed: set[str] = set()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._logins or ()) + len(self._accounts)

    def replace(self, logins: Iterable[Login], accounts: Iterable[AccountLogin] = ()) -> None:
        before, accounts_before = self._logins or {}, self._accounts
        now, accounts_now = {one.id: one for one in logins}, {one.name: one for one in accounts}
        changed = {id_ for id_, one in before.items() if now.get(id_) != one}
        changed |= {one.id for name, one in accounts_before.items() if accounts_now.get(name) != one}
        self._accounts, self._logins = accounts_now, now
        with self._lock:
            self._changed |= changed

    def check(self, username: str, password: bytes) -> Principal | None:
        """The principal, or None. Takes the same time whether the name or the secret is wrong.

        An account comes in by its login and one of its API keys. Raises ServiceAway when the logins have never been
        read.
        """
        logins = self._logins
        if logins is None:
            raise ServiceAway("registry", "the logins have not been read yet.")
        key = parts_of_key(password.decode(errors="replace"))
        if key is not None:
            account = self._accounts.get(username)
            digest = account.keys.get(key[0], _NO_DIGEST) if account else _NO_DIGEST
            if hmac.compare_digest(key[1], digest) and account is not None:
                return replace(account.principal, proof=key[1])
        login = logins.get(username)
        digest = digest_of(password)
        is_right = hmac.compare_digest(digest, login.digest if login else _NO_DIGEST)
        return replace(login.principal, proof=digest) if login is not None and is_right else None

    def certified(self, name: str) -> Principal | None:
        """Of a client whose verified certificate bears the name of a login; accounts come in by their keys alone."""
        if self._logins is None:
            raise ServiceAway("registry", "the logins have not been read yet.")
        login = self._logins.get(name)
        return replace(login.principal, proof=CERTIFICATE) if login is not None else None

    def still(self, principal: Principal) -> Principal | None:
        """See the port."""
        proof = principal.proof
        if principal.id.startswith(ACCOUNT):
            account = self._accounts.get(principal.id.removeprefix(ACCOUNT))
            if account is None or (proof and proof not in account.keys.values()):
                return None
            return replace(account.principal, proof=proof)
        login = (self._logins or {}).get(principal.id)
        if login is None or (proof and proof not in (login.digest, CERTIFICATE)):
            return None
        return replace(login.principal, proof=proof)

    def changed(self) -> Collection[str]:
        """See the port."""
        if not self._changed:
            return ()
        with self._lock:
            found, self._changed = self._changed, set()
        return found
