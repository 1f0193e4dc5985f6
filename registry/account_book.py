"""The accounts themselves: an administrator's view of them, one's own, keys of programs, and the log of acts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import structs

from database.connections import Connection, Connections
from registry import account_rows as rows
from registry import audit
from registry.account_rows import (
    Account,
    Key,
    NewKey,
    UnknownAccount,
    UnknownKey,
    check_account,
    check_new_login,
    moment,
)
from registry.passwords import Passwords, check_password
from registry.sessions import Clock, new_key
from schemas.errors import ConfigError
from schemas.viewers import Act, Role, Viewer


class AccountBook:
    """Thread-safe. Raises ServiceAway when PostgreSQL is away."""

    def __init__(self, connections: Connections, clock: Clock, passwords: Passwords) -> None:
        self._connections = connections
        self._clock = clock
        self._passwords = passwords

    # --- one's own ---

    def me(self, viewer: Viewer) -> Account:
        with self._connections.transaction(None) as connection:
            return account_named(connection, viewer.name)

    def change_own_language(self, viewer: Viewer, language: str) -> Account:
        return self._write(viewer, viewer.name, "change_language", {"language": language})

    # --- accounts ---

    def list(self, viewer: Viewer) -> list[Account]:
        """By login. Raises NotAllowed."""
        viewer.must(Act.CHANGE_ACCOUNTS)
        with self._connections.transaction(None) as connection:
            return [rows.account_of(row) for row in connection.execute(rows.LIST).fetchall()]

    def one(self, viewer: Viewer, login: str) -> Account:
        """Raises NotAllowed, UnknownAccount."""
        viewer.must(Act.CHANGE_ACCOUNTS)
        with self._connections.transaction(None) as connection:
            return account_named(connection, login)

    def add(
        self,
        viewer: Viewer,
        login: str,
        role: Role,
        *,
        name: str = "",
        districts: tuple[str, ...] = (),
        enterprises: tuple[str, ...] = (),
        language: str = "zh",
        phone: str = "",
        password: str = "",
    ) -> Account:
        """password: empty, and nobody comes in but by a link. Raises NotAllowed, ConfigError."""
        viewer.must(Act.CHANGE_ACCOUNTS)
        check_new_login(login)
        account = check_account(
            Account(
                id=0,
                login=login,
                name=name,
                role=role,
                districts=districts,
                enterprises=enterprises,
                language=language,
                phone=phone,
            )
        )
        kept = self._passwords.hash(check_password(password, login)) if password else ""
        with self._connections.transaction(None) as connection:
            row = columns_of(account) | {"now": moment(self._clock()), "password": kept}
            made = connection.execute(rows.ADD, row).fetchone()
            if made is None:
                raise ConfigError(f"the login {login} is there already.", field="login", mend="Choose another.")
            audit.record(connection, viewer, "add_account", login, detail=said_of(account))
            return rows.account_of(made)

    def change(self, viewer: Viewer, login: str, *, sees_all: bool = False, **changes: Any) -> Account:
        """name, role, districts, enterprises, language, phone, disabled, password (empty: only a link opens it).

        sees_all: an operator without districts and enterprises; it takes away those that there are. Nobody comes to
        see all by an empty list: that would be a slip as soon as a wish.

        Whoever is disabled, gets another password, role or scope must log in anew. Raises NotAllowed,
        UnknownAccount, NeedsPerson for the password of a program's own account, and ConfigError also when nobody
        would be left to change accounts.
        """
        viewer.must(Act.CHANGE_ACCOUNTS)
        if login == viewer.name and "password" in changes:
            viewer.must_be_no_key("change the password of its account")
        if sees_all:
            if changes.get("districts") or changes.get("enterprises"):
                mend = "Leave out sees_all, or the lists."
                raise ConfigError("it cannot see all, and some alone.", field="sees_all", mend=mend)
            changes |= {"districts": (), "enterprises": ()}
        return self._write(viewer, login, "change_account", changes, may_widen=sees_all)

    def disable(self, viewer: Viewer, login: str) -> Account:
        """From now on it opens nothing: no password, no session, no link, no key."""
        return self.change(viewer, login, disabled=True)

    # --- keys of programs ---

    def make_key(self, viewer: Viewer, name: str, login: str = "") -> NewKey:
        """A key that lets a program do what its account may do. login: another's needs CHANGE_ACCOUNTS.

        Raises NotAllowed, NeedsPerson for a program's own account, UnknownAccount, ConfigError.
        """
        login = self._own_or_others(viewer, login)
        if login == viewer.name:
            viewer.must_be_no_key("make keys of its account")
        if not 0 < len(name) <= 100 or "\0" in name:
            raise ConfigError("a key has a name of 1 to 100 characters.", field="name")
        id_, key, digest = new_key()
        with self._connections.transaction(None) as connection:
            account = account_named(connection, login)
            now = moment(self._clock())
            row = {"id": id_, "account": account.id, "name": name, "digest": digest, "now": now}
            connection.execute(rows.ADD_KEY, row)
            audit.record(connection, viewer, "make_key", login, detail=f"{id_} {name}")
        return NewKey(id_, key)

    def keys(self, viewer: Viewer) -> Sequence[Key]:
        """One's own; an administrator's view is of all."""
        mine = None if viewer.may(Act.CHANGE_ACCOUNTS) else viewer.name
        with self._connections.transaction(None) as connection:
            return [Key(*row) for row in connection.execute(rows.KEYS, {"login": mine}).fetchall()]

    def revoke_key(self, viewer: Viewer, id_: str) -> None:
        """It opens nothing any more; a program gives up its own key, and no other of its account.

        Raises UnknownKey, also for another's, and NeedsPerson.
        """
        mine = None if viewer.may(Act.CHANGE_ACCOUNTS) else viewer.name
        with self._connections.transaction(None) as connection:
            row = {"id": id_, "login": mine, "now": moment(self._clock())}
            found = connection.execute(rows.REVOKE, row).fetchone() if "\0" not in id_ else None
            if found is None:
                raise UnknownKey(id_)
            if found[0] == viewer.name and id_ != viewer.key:
                viewer.must_be_no_key("revoke another key of its account")
            audit.record(connection, viewer, "revoke_key", found[0], detail=id_)
        self._forget()

    # --- the log of acts ---

    def audit(
        self,
        viewer: Viewer,
        limit: int = 100,
        before: int | None = None,
        *,
        who: str | None = None,
        act: str | None = None,
        refused: bool | None = None,
    ) -> audit.AuditPage:
        """A page of the log of acts, newest first. Raises NotAllowed."""
        with self._connections.transaction(None) as connection:
            return audit.entries(connection, viewer, limit, before, who=who, act=act, refused=refused)

    def record(
        self, viewer: Viewer | None, act: str, subject: str = "", enterprise: str = "", refused: bool = False,
        detail: str = "",
    ) -> None:  # fmt: skip
        """Write one line into the log of acts, in a transaction of its own."""
        with self._connections.transaction(None) as connection:
            audit.record(connection, viewer, act, subject, enterprise, refused, detail)

    # --- how ---

    def _forget(self) -> None:
        """Called when an account or a key has changed: what was believed of it may be wrong."""

    def _own_or_others(self, viewer: Viewer, login: str) -> str:
        if login and login != viewer.name:
            viewer.must(Act.CHANGE_ACCOUNTS)
        return login or viewer.name

    def _write(
        self, viewer: Viewer, login: str, act: str, changes: dict[str, Any], *, may_widen: bool = False
    ) -> Account:
        changes = dict(changes)
        password: str | None = changes.pop("password", None)
        kept = self._passwords.hash(check_password(password, login)) if password else password
        with self._connections.transaction(None) as connection:
            connection.execute(rows.ALONE)
            before = account_named(connection, login, held=True)
            after = check_account(structs.replace(before, **changes))
            _check_widening(before, after, may_widen)
            row = columns_of(after) | {"account": before.id, "disabled": after.disabled, "password": kept}
            changed = connection.execute(rows.CHANGE, row).fetchone()
            assert changed is not None
            if _rules(before) and not _rules(after) and not one_value(connection, rows.ADMINISTRATORS):
                raise ConfigError(
                    f"{login} is the last administrator.", field="login", mend="Make somebody else one first."
                )
            if kept is not None or before.viewer.scope != after.viewer.scope or before.role != after.role:
                connection.execute(rows.END_SESSIONS, {"account": before.id})
                connection.execute(rows.END_LINKS, {"account": before.id})
            if after.disabled:
                connection.execute(rows.END_SESSIONS, {"account": before.id})
                connection.execute(rows.END_LINKS, {"account": before.id})
            elif kept is not None or before.disabled:
                connection.execute(rows.FORGIVE, {"account": before.id})
            audit.record(connection, viewer, act, login, detail=said_of(after, before, kept is not None))
        self._forget()
        return rows.account_of(changed)


def account_named(connection: Connection, login: str, *, held: bool = False) -> Account:
    query = rows.ONE_HELD if held else rows.ONE
    row = connection.execute(query, {"login": login}).fetchone() if "\0" not in login else None
    if row is None:
        raise UnknownAccount(login)
    return rows.account_of(row)


def _check_widening(before: Account, after: Account, asked: bool) -> None:
    """Raises ConfigError when an account would see everything that did not, and nobody said so."""
    by_role = after.role is Role.ADMINISTRATOR
    if asked and not by_role and not after.viewer.sees_all:
        mend = "Only operators do, and administrators in any case."
        raise ConfigError(f"no {after.role} sees everything.", field="sees_all", mend=mend)
    if after.viewer.sees_all and not (before.viewer.sees_all or by_role or asked):
        field = "enterprises" if before.enterprises and not before.districts else "districts"
        mend = "Name some, or say sees_all (`--sees-all`) if that is meant."
        raise ConfigError("without them it would see everything.", field=field, mend=mend)


def _rules(account: Account) -> bool:
    return account.role is Role.ADMINISTRATOR and not account.disabled


def one_value(connection: Connection, query: Any, row: dict[str, Any] | None = None) -> Any:
    found = connection.execute(query, row).fetchone()
    return found[0] if found else None


def columns_of(account: Account) -> dict[str, Any]:
    return {
        "login": account.login,
        "name": account.name,
        "role": account.role.value,
        "districts": list(account.districts),
        "enterprises": list(account.enterprises),
        "language": account.language,
        "phone": account.phone,
    }


def said_of(account: Account, before: Account | None = None, password: bool = False) -> str:
    """What of an account is new, for the log of acts, in codes: pages put them into words. Never a phone number."""
    known = before or Account(id=0, login=account.login, name="", role=account.role)
    fields = ("role", "districts", "enterprises", "language", "disabled")
    words = [
        f"{field}={','.join(value) if isinstance(value, tuple) else value}"
        for field in fields
        if (value := getattr(account, field)) != getattr(known, field) or (before is None and field == "role")
    ]
    words += ["sees all"] if account.viewer.sees_all and not (before and before.viewer.sees_all) else []
    words += ["a new name"] if before and before.name != account.name else []
    words += ["a new phone number"] if before and before.phone != account.phone else []
    words += ["password"] if password else []
    return "; ".join(words)
