"""People's passwords: argon2id, and a bound on how many are checked at once.

A check takes 64 MiB and a tenth of a second on purpose. So a few run at a time, a few more wait, and whoever comes
then is asked to try again: a thousand wrong logins slow down logins, not the machine.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from schemas.errors import ConfigError, ServiceAway

SHORTEST, LONGEST = 10, 200
"""Characters. NIST SP 800-63B asks for 8 at least, and for no rules about which; the longest bounds what is hashed."""
AT_ONCE = 2
WAITING = 8
PATIENCE_S = 5.0

_OBVIOUS = frozenset({"1234567890", "0123456789", "password123", "passw0rd123", "qwertyuiop", "administrator"})


def check_password(password: str, login: str) -> str:
    """The password itself. Raises ConfigError for one that anybody would try."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise ConfigError(
            f"a password has {SHORTEST} to {LONGEST} characters.", field="password", mend="A few words do well."
        )
    easy = password.casefold()
    if easy in _OBVIOUS or easy == login.casefold() or len(set(easy)) < 4:
        raise ConfigError("that password is among the first to be tried.", field="password", mend="Choose another.")
    if "\0" in password:
        raise ConfigError("a password has no NUL.", field="password")
    return password


class Passwords:
    """Thread-safe."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        """hasher: argon2id with the library's parameters (RFC 9106, low memory), or those of a test."""
        self._hasher = hasher or PasswordHasher()
        self._slots = threading.BoundedSemaphore(AT_ONCE)
        self._places = threading.BoundedSemaphore(AT_ONCE + WAITING)
        self._dummy = ""

    def hash(self, password: str) -> str:
        """Raises ServiceAway when too many wait."""
        with self._slot():
            return self._hasher.hash(password)

    def is_right(self, password: str, kept: str) -> bool:
        """Whether `kept` was made of the password; with nothing kept it takes as long and is False.

        Raises ServiceAway when too many wait.
        """
        with self._slot():
            if not self._dummy:
                self._dummy = self._hasher.hash("no password is this one")
            try:
                return self._hasher.verify(kept or self._dummy, password[: LONGEST + 1]) and bool(kept)
            except (VerificationError, InvalidHashError):
                return False

    def is_stale(self, kept: str) -> bool:
        """Made with other parameters than those of today."""
        return self._hasher.check_needs_rehash(kept)

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise ServiceAway("login", "too many log in at this moment.", retry_after_s=PATIENCE_S)
        try:
            if not self._slots.acquire(timeout=PATIENCE_S):
                raise ServiceAway("login", "too many log in at this moment.", retry_after_s=PATIENCE_S)
            try:
                yield
            finally:
                self._slots.release()
        finally:
            self._places.release()
