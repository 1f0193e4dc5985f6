"""Who may come in: logins with passwords, one-time links, sessions, keys of programs, and the accounts behind them."""

from __future__ import annotations

import hmac
import threading
from typing import Any

from argon2 import PasswordHasher
from msgspec import structs

from database.connections import Connection, Connections
from registry import account_rows as rows
from registry import audit
from registry.account_book import AccountBook, columns_of, one_value
from registry.account_rows import Account, UnknownAccount, micros, moment
from registry.passwords import Passwords, check_password
from registry.sessions import (
    SECOND_US,
    TOUCH_S,
    Clock,
    Recent,
    Tries,
    digest_of,
    expiry_us,
    lock_s,
    new_token,
    parts_of_key,
    wall_us,
)
from schemas.errors import ConfigError, TocsinError
from schemas.viewers import Act, Role, Viewer, house

CACHED_US = 3 * SECOND_US
"""How long a session or a key is believed without asking: for so long may one go on that was ended elsewhere."""
LINK_S = 15 * 60
FIRST_LINK_S = 24 * 3600
LONGEST_LINK_S = 7 * 24 * 3600


class LoginRefused(TocsinError):
    """The same words, whatever was wrong."""

    def __init__(self) -> None:
        super().__init__("login or password is wrong.", mend="Try again, or ask an administrator for a login link.")


class LinkRefused(TocsinError):
    """Used, expired, altered, or never made: the same words for all."""

    def __init__(self) -> None:
        super().__init__("this link does not open anything any more.", mend="Ask an administrator for a new one.")


class LockedOut(TocsinError):
    """Too many failures: of this login, or from this address.

    until_us: when it may be tried again.  wait_s: in how many seconds.
    """

    def __init__(self, until_us: int, now_us: int) -> None:
        self.until_us = until_us
        self.wait_s = max(1, -(-(until_us - now_us) // SECOND_US))
        super().__init__(
            f"too many logins failed; the next may be tried in {self.wait_s} s.",
            mend="Wait, or ask an administrator for a login link.",
        )


class Accounts(AccountBook):
    """Thread-safe. Raises ServiceAway when PostgreSQL is away."""

    def __init__(self, dsn: str, clock: Clock = wall_us, hasher: PasswordHasher | None = None) -> None:
        """clock: the machine's own; a house whose time hurries would log everybody out in minutes."""
        super().__init__(Connections(dsn, "tocsin accounts"), clock, Passwords(hasher))
        self._lock = threading.Lock()
        self._addresses = Tries()
        self._strangers: Recent[str, tuple[int, int]] = Recent()
        """Logins that are nobody's: (failures, locked until), so that they answer as those that are somebody's."""
        self._known: Recent[bytes, tuple[Viewer | None, int]] = Recent()

    def close(self) -> None:
        self._connections.close()

    # --- coming in ---

    def log_in(self, login: str, password: str, agent: str = "", address: str = "") -> str:
        """The token of a new session. Takes as long for an unknown login as for a wrong password.

        agent: the browser's own name.  address: where it comes from; empty counts for none.
        Raises LoginRefused, LockedOut, and ServiceAway when too many log in at once.
        """
        now_us = self._clock()
        self._refuse_address(address, now_us)
        with self._connections.transaction(None) as connection:
            row = connection.execute(rows.TO_LOG_IN, {"login": login[:100]}).fetchone() if "\0" not in login else None
        if row is None:
            self._stranger(login[:100], password, address, now_us)
        assert row is not None
        account, kept, _, locked_until, disabled = row
        if locked_until is not None and micros(locked_until) > now_us:
            raise LockedOut(micros(locked_until), now_us)
        if not self._passwords.is_right(password, kept) or disabled:
            self._failed(account, login, address, now_us)
        fresh = self._passwords.hash(password) if self._passwords.is_stale(kept) else None
        with self._connections.transaction(None) as connection:
            connection.execute(rows.FORGIVE, {"account": account})
            if fresh:
                connection.execute(rows.REHASH, {"account": account, "old": kept, "new": fresh})
            audit.record(connection, _named(login), "log_in")
            return self._open(connection, account, agent, now_us)

    def follow_link(self, token: str, agent: str = "", address: str = "") -> str:
        """The token of a new session for a login link, which opens nothing from then on. Raises LinkRefused."""
        now_us = self._clock()
        self._refuse_address(address, now_us)
        with self._connections.transaction(None) as connection:
            row = connection.execute(rows.USE_LINK, {"digest": digest_of(token), "now": moment(now_us)}).fetchone()
            audit.record(connection, rows.account_of(row).viewer if row else None, "follow_link", refused=row is None)
            if row is not None:
                connection.execute(rows.FORGIVE, {"account": row[0]})
                return self._open(connection, row[0], agent, now_us)
        self._count(address, now_us)
        raise LinkRefused

    def make_link(self, login: str, lasts_s: int = LINK_S, viewer: Viewer | None = None) -> str:
        """The token of a link that logs `login` in, once, within `lasts_s`.

        Raises UnknownAccount, NotAllowed, and NeedsPerson for a program's own account.
        """
        viewer = viewer or house()
        viewer.must(Act.CHANGE_ACCOUNTS)
        if login == viewer.name:
            viewer.must_be_no_key("make a login link of its own account")
        if not 0 < lasts_s <= LONGEST_LINK_S:
            raise ConfigError(f"a link lasts up to {LONGEST_LINK_S} s.", field="lasts_s")
        token = new_token()
        until = moment(self._clock() + lasts_s * SECOND_US)
        with self._connections.transaction(None) as connection:
            row = {"digest": digest_of(token), "login": login, "until": until}
            if connection.execute(rows.ADD_LINK, row).fetchone() is None:
                raise UnknownAccount(login)
            audit.record(connection, viewer, "make_link", login)
        return token

    def ensure_first_administrator(self) -> str | None:
        """When there is no account, make `admin` without a password; the token of a link for it, shown once.

        Also when no administrator could get in any more (the first link ran out unused). None otherwise.
        """
        with self._connections.transaction(None) as connection:
            connection.execute(rows.ALONE)
            now = moment(self._clock())
            if one_value(connection, rows.NOBODY):
                admin = Account(id=0, login="admin", name="", role=Role.ADMINISTRATOR)
                connection.execute(rows.ADD, columns_of(admin) | {"now": now, "password": ""})
                audit.record(connection, house(), "add_account", "admin", detail="the first administrator")
            elif not one_value(connection, rows.NOBODY_GETS_IN, {"now": now}):
                return None
            login = one_value(connection, rows.FIRST_ADMINISTRATOR)
        return self.make_link(login, FIRST_LINK_S) if login else None

    # --- being in ---

    def viewer_of(self, token: str) -> Viewer | None:
        """Who a session is of; None when it ended, expired, or its account is disabled."""
        digest = digest_of(token)
        return self._of(digest, lambda connection, now_us: self._of_session(connection, digest, now_us))

    def viewer_of_key(self, key: str) -> Viewer | None:
        """Whose program a key opens for; None when it is revoked, wrong, or its account is disabled."""
        parts = parts_of_key(key)
        if parts is None:
            return None
        return self._of(digest_of(key), lambda connection, now_us: self._of_key(connection, *parts, now_us))

    def known(self, token: str) -> tuple[bool, Viewer | None]:
        """Whether a session's or key's answer is still fresh, and which it is. Never blocks."""
        with self._lock:
            found = self._known.get(digest_of(token))
        return (True, found[0]) if found is not None and found[1] > self._clock() else (False, None)

    def log_out(self, token: str) -> None:
        digest = digest_of(token)
        with self._connections.transaction(None) as connection:
            connection.execute(rows.END_SESSION, {"digest": digest})
        with self._lock:
            self._known.drop(digest)

    def change_own_password(self, viewer: Viewer, old: str, new: str, agent: str = "") -> str:
        """old: not asked for while there is none (a new account, or one whose password was taken away).

        Ends every session of the account, this one too; the token of a new one. Raises LoginRefused, LockedOut,
        ConfigError, NeedsPerson.
        """
        viewer.must_be_no_key("change the password of its account")
        with self._connections.transaction(None) as connection:
            kept = one_value(connection, rows.OWN_PASSWORD, {"account": viewer.account})
        if kept is None:
            raise UnknownAccount(viewer.name)
        check_password(new, viewer.name)
        now_us = self._clock()
        if kept:
            self._refuse_address(f"own {viewer.name}", now_us)
            if not self._passwords.is_right(old, kept):
                self._count(f"own {viewer.name}", now_us)
                raise LoginRefused
        self._write(viewer, viewer.name, "change_password", {"password": new})
        with self._connections.transaction(None) as connection:
            return self._open(connection, viewer.account, agent, now_us)

    # --- how ---

    def _open(self, connection: Connection, account: int, agent: str, now_us: int) -> str:
        token = new_token()
        now = moment(now_us)
        connection.execute(rows.SWEEP_SESSIONS, {"now": now})
        connection.execute(rows.SWEEP_LINKS, {"now": now})
        row = {
            "digest": digest_of(token), "account": account, "now": now,
            "until": moment(expiry_us(now_us, now_us)), "agent": agent.replace("\0", "")[:200],
        }  # fmt: skip
        connection.execute(rows.ADD_SESSION, row)
        return token

    def _of(self, digest: bytes, ask: Any) -> Viewer | None:
        now_us = self._clock()
        with self._lock:
            found = self._known.get(digest)
        if found is not None and found[1] > now_us:
            return found[0]
        with self._connections.transaction(None) as connection:
            viewer: Viewer | None = ask(connection, now_us)
        with self._lock:
            if viewer is None:
                self._known.drop(digest)  # what is made up is not worth a place
            else:
                self._known.put(digest, (viewer, now_us + CACHED_US))
        return viewer

    def _of_session(self, connection: Connection, digest: bytes, now_us: int) -> Viewer | None:
        row = connection.execute(rows.OF_SESSION, {"digest": digest, "now": moment(now_us)}).fetchone()
        if row is None:
            return None
        made_at, seen_at, *account = row
        if now_us - micros(seen_at) >= TOUCH_S * SECOND_US:
            until = moment(expiry_us(micros(made_at), now_us))
            connection.execute(rows.TOUCH_SESSION, {"digest": digest, "now": moment(now_us), "until": until})
        return rows.account_of(tuple(account)).viewer

    def _of_key(self, connection: Connection, id_: str, digest: bytes, now_us: int) -> Viewer | None:
        row = connection.execute(rows.OF_KEY, {"id": id_}).fetchone()
        if row is None or not hmac.compare_digest(bytes(row[0]), digest):
            return None
        if row[1] is None or now_us - micros(row[1]) >= TOUCH_S * SECOND_US:
            connection.execute(rows.TOUCH_KEY, {"id": id_, "now": moment(now_us)})
        return structs.replace(rows.account_of(row[2:]).viewer, key=id_)

    def _forget(self) -> None:
        with self._lock:
            self._known.clear()

    def _refuse_address(self, address: str, now_us: int) -> None:
        if not address:
            return
        with self._lock:
            wait_s = self._addresses.wait_s(address, now_us)
        if wait_s:
            raise LockedOut(now_us + round(wait_s * SECOND_US), now_us)

    def _count(self, address: str, now_us: int) -> None:
        if address:
            with self._lock:
                self._addresses.count(address, now_us)

    def _stranger(self, login: str, password: str, address: str, now_us: int) -> None:
        """Answers for a login that is nobody's as for one that is somebody's; always raises."""
        with self._lock:
            failed, until_us = self._strangers.get(login) or (0, 0)
        if until_us > now_us:
            raise LockedOut(until_us, now_us)
        self._passwords.is_right(password, "")
        locked = lock_s(failed + 1) * SECOND_US
        with self._lock:
            self._strangers.put(login, (failed + 1, now_us + locked if locked else 0))
        self._count(address, now_us)
        with self._connections.transaction(None) as connection:
            # Not what was typed: some type their password there.
            audit.record(connection, None, "log_in", refused=True, detail="no such login")
        raise LoginRefused

    def _failed(self, account: int, login: str, address: str, now_us: int) -> None:
        """Counts a failure; always raises."""
        self._count(address, now_us)
        with self._connections.transaction(None) as connection:
            failed = one_value(connection, rows.COUNT_FAILURE, {"account": account})
            locked = lock_s(failed)
            if locked:
                connection.execute(rows.LOCK, {"account": account, "until": moment(now_us + locked * SECOND_US)})
            detail = f"locked for {locked} s" if locked else ""
            audit.record(connection, _named(login), "log_in", refused=True, detail=detail)
        raise LoginRefused


def _named(login: str) -> Viewer:
    """For the log of acts, which wants the name alone."""
    return Viewer(login, Role.OWNER)
