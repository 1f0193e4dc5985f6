"""Accounts as administrators see them, and the SQL of accounts, sessions, links and keys."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from schemas.errors import ConfigError, TocsinError
from schemas.identity import NAME
from schemas.viewers import Role, Viewer

LANGUAGES = ("zh", "en")
_LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}\Z")
RESERVED = frozenset({"house", "tocsin", "system", "engine", "nobody", "anonymous"})
"""What stands in logs for who is no account: whoever had such a login would act under the house's name."""
_PHONE = re.compile(r"(\+[1-9][0-9]{6,14})?\Z")
_DISTRICT = re.compile(r"[0-9]{2,12}\Z")
_BOUND_TO: dict[Role, str] = {
    Role.SUPERVISOR: "districts",
    Role.OWNER: "enterprises",
    Role.INTEGRATOR: "enterprises",
}
"""Role → what it cannot be without: it would see nothing."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Never its password."""

    id: int
    login: str
    name: str
    role: Role
    districts: tuple[str, ...] = ()
    enterprises: tuple[str, ...] = ()
    language: str = "zh"
    phone: str = ""
    has_password: bool = False
    disabled: bool = False
    locked_until: datetime | None = None
    added_at: datetime | None = None

    @property
    def viewer(self) -> Viewer:
        return Viewer(self.login, self.role, self.districts, self.enterprises, self.id, self.language)


class Key(msgspec.Struct, frozen=True):
    """An API key, never its secret."""

    id: str
    login: str
    name: str
    made_at: datetime
    used_at: datetime | None
    revoked_at: datetime | None


class NewKey(msgspec.Struct, frozen=True):
    """The one time that a key is shown."""

    id: str
    key: str


class UnknownAccount(TocsinError):
    def __init__(self, login: str) -> None:
        super().__init__(f"there is no account {login}.", mend="See `tocsin accounts list`.")


class UnknownKey(TocsinError):
    def __init__(self, id_: str) -> None:
        super().__init__(f"there is no API key {id_}.", mend="See `tocsin accounts keys`.")


def check_account(account: Account) -> Account:
    """The account itself. Raises ConfigError, naming the field, when it cannot be so."""
    if not _LOGIN.match(account.login):
        mend = "Use 1 to 64 letters, digits, dots, dashes, underscores or @; a letter or digit first."
        raise ConfigError("it cannot be a login.", field="login", mend=mend)
    if len(account.name) > 100 or "\0" in account.name:
        raise ConfigError("it is longer than 100 characters, or has a NUL.", field="name")
    if account.language not in LANGUAGES:
        raise ConfigError(f"{account.language!r} is not known.", field="language", mend="Use zh or en.")
    if not _PHONE.match(account.phone):
        raise ConfigError("it is not a phone number.", field="phone", mend="Write it as +8613800000000.")
    _check_all(account.districts, _DISTRICT, "districts", "A district is its code of GB/T 2260, in digits.")
    _check_all(account.enterprises, NAME, "enterprises", "Write their codes, as in the topics of their devices.")
    needed = _BOUND_TO.get(account.role)
    if needed and not getattr(account, needed) and not (account.role is Role.INTEGRATOR and account.districts):
        raise ConfigError(f"{account.role} without {needed} would see nothing.", field=needed, mend="Name one.")
    return account


def check_new_login(login: str) -> None:
    """Raises ConfigError for a login that is not given to anybody; accounts of before keep theirs."""
    if login.casefold() in RESERVED:
        raise ConfigError(f"{login} is not given to an account.", field="login", mend="Choose another.")


def _check_all(words: Iterable[str], form: re.Pattern[str], field: str, mend: str) -> None:
    for word in words:
        if not form.match(word):
            raise ConfigError(f"{word!r} is not one.", field=field, mend=mend)


def account_of(row: tuple[Any, ...]) -> Account:
    """Of `COLUMNS`."""
    id_, login, name, role, districts, enterprises, language, phone, has_password, disabled, locked_until, added = row
    return Account(
        id=id_,
        login=login,
        name=name,
        role=Role(role),
        districts=tuple(districts),
        enterprises=tuple(enterprises),
        language=language,
        phone=phone,
        has_password=has_password,
        disabled=disabled,
        locked_until=locked_until,
        added_at=added,
    )


def moment(us: int) -> datetime:
    return datetime.fromtimestamp(us / 1e6, UTC)


def micros(at: datetime) -> int:
    return round(at.timestamp() * 1e6)


COLUMNS = """a.id, a.login, a.name, a.role, a.districts, a.enterprises, a.language, a.phone, a.password <> '',
       a.disabled, a.locked_until, a.added_at"""

TO_LOG_IN = "SELECT id, password, failed, locked_until, disabled FROM accounts WHERE login = %(login)s"
COUNT_FAILURE = "UPDATE accounts SET failed = failed + 1 WHERE id = %(account)s RETURNING failed"
LOCK = "UPDATE accounts SET locked_until = %(until)s WHERE id = %(account)s"
FORGIVE = "UPDATE accounts SET failed = 0, locked_until = NULL WHERE id = %(account)s AND (failed > 0)"
REHASH = "UPDATE accounts SET password = %(new)s WHERE id = %(account)s AND password = %(old)s"

ADD_SESSION = """
    INSERT INTO sessions (token_sha256, account, made_at, seen_at, expires_at, agent)
    VALUES (%(digest)s, %(account)s, %(now)s, %(now)s, %(until)s, %(agent)s)
"""
SWEEP_SESSIONS = "DELETE FROM sessions WHERE expires_at <= %(now)s"
SWEEP_LINKS = "DELETE FROM login_links WHERE expires_at <= %(now)s"
TOUCH_SESSION = "UPDATE sessions SET seen_at = %(now)s, expires_at = %(until)s WHERE token_sha256 = %(digest)s"
END_SESSION = "DELETE FROM sessions WHERE token_sha256 = %(digest)s RETURNING account"
END_SESSIONS = "DELETE FROM sessions WHERE account = %(account)s"
OF_SESSION = f"""
    SELECT s.made_at, s.seen_at, {COLUMNS} FROM sessions s JOIN accounts a ON a.id = s.account
     WHERE s.token_sha256 = %(digest)s AND s.expires_at > %(now)s AND NOT a.disabled
"""  # noqa: S608  our own list of columns

ADD_LINK = """
    INSERT INTO login_links (token_sha256, account, expires_at)
    SELECT %(digest)s, id, %(until)s FROM accounts WHERE login = %(login)s AND NOT disabled RETURNING account
"""
USE_LINK = f"""
    UPDATE login_links l SET used_at = %(now)s FROM accounts a
     WHERE l.token_sha256 = %(digest)s AND l.used_at IS NULL AND l.expires_at > %(now)s
       AND a.id = l.account AND NOT a.disabled
    RETURNING {COLUMNS}
"""  # noqa: S608  our own list of columns
END_LINKS = "DELETE FROM login_links WHERE account = %(account)s"

ALONE = "SELECT pg_advisory_xact_lock(7090441932005)"
"""One at a time changes who there is: two must not each remove the other as the last but one administrator."""
ADMINISTRATORS = "SELECT count(*) FROM accounts WHERE role = 'administrator' AND NOT disabled"
NOBODY = "SELECT NOT EXISTS (SELECT FROM accounts)"
NOBODY_GETS_IN = """
    SELECT NOT EXISTS (SELECT FROM accounts WHERE role = 'administrator' AND NOT disabled AND password <> '')
       AND NOT EXISTS (SELECT FROM sessions JOIN accounts a ON a.id = account
                        WHERE expires_at > %(now)s AND NOT a.disabled AND a.role = 'administrator')
       AND NOT EXISTS (SELECT FROM login_links JOIN accounts a ON a.id = account
                        WHERE used_at IS NULL AND expires_at > %(now)s AND NOT a.disabled AND a.role = 'administrator')
"""
FIRST_ADMINISTRATOR = """
    SELECT login FROM accounts WHERE role = 'administrator' AND NOT disabled ORDER BY login <> 'admin', id LIMIT 1
"""
ADD = f"""
    INSERT INTO accounts AS a (login, name, role, districts, enterprises, language, phone, password, added_at)
    VALUES (%(login)s, %(name)s, %(role)s, %(districts)s, %(enterprises)s, %(language)s, %(phone)s, %(password)s,
            %(now)s)
    ON CONFLICT (login) DO NOTHING RETURNING {COLUMNS}
"""  # noqa: S608  our own list of columns
CHANGE = f"""
    UPDATE accounts a SET name = %(name)s, role = %(role)s, districts = %(districts)s, enterprises = %(enterprises)s,
           language = %(language)s, phone = %(phone)s, disabled = %(disabled)s,
           password = coalesce(%(password)s, password)
     WHERE id = %(account)s RETURNING {COLUMNS}
"""  # noqa: S608  our own list of columns
LIST = f"SELECT {COLUMNS} FROM accounts a ORDER BY login"  # noqa: S608  our own list of columns
ONE = f"SELECT {COLUMNS} FROM accounts a WHERE login = %(login)s"  # noqa: S608  our own list of columns
ONE_HELD = f"{ONE} FOR UPDATE"
OWN_PASSWORD = "SELECT password FROM accounts WHERE id = %(account)s"  # noqa: S105  a question

ADD_KEY = """
    INSERT INTO api_keys (id, account, name, secret_sha256, made_at)
    VALUES (%(id)s, %(account)s, %(name)s, %(digest)s, %(now)s)
"""
KEYS = """
    SELECT k.id, a.login, k.name, k.made_at, k.used_at, k.revoked_at FROM api_keys k JOIN accounts a ON a.id = k.account
     WHERE %(login)s::text IS NULL OR a.login = %(login)s ORDER BY k.made_at, k.id
"""
REVOKE = """
    UPDATE api_keys k SET revoked_at = coalesce(revoked_at, %(now)s) FROM accounts a
     WHERE k.id = %(id)s AND a.id = k.account AND (%(login)s::text IS NULL OR a.login = %(login)s) RETURNING a.login
"""
OF_KEY = f"""
    SELECT k.secret_sha256, k.used_at, {COLUMNS} FROM api_keys k JOIN accounts a ON a.id = k.account
     WHERE k.id = %(id)s AND k.revoked_at IS NULL AND NOT a.disabled
"""  # noqa: S608  our own list of columns
TOUCH_KEY = "UPDATE api_keys SET used_at = %(now)s WHERE id = %(id)s"
