"""The registry's tables. Whoever changes a device's facts tells the engine, by a control entry, in the same commit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import psycopg

from registry.devices import Device, check_facts
from registry.logins import AccountLogin, Grant, KnownLogins, Login, check_name, digest_of, new_secret
from schemas.entries import DeviceFacts, encode
from schemas.errors import ConfigError, ServiceAway
from schemas.identity import NAME, id_of, partition_of
from schemas.viewers import Act, Role, Viewer

Connection = psycopg.Connection[tuple[Any, ...]]

_NOTICES_A_CUT: dict[str, Any] = {
    "connect_timeout": 5, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}  # fmt: skip
"""A server that is gone without a word would be waited for a quarter of an hour, and a renewed secret with it."""

_ADD_DEVICE = "INSERT INTO devices (enterprise, device, id, facts) VALUES (%s, %s, %s, %s::text::jsonb)"
_SET_FACTS = "UPDATE devices SET facts = %s::text::jsonb WHERE enterprise = %s AND device = %s"
_LIST_DEVICES = """
    SELECT facts::text, added_at FROM devices WHERE %(enterprise)s::text IS NULL OR enterprise = %(enterprise)s
     ORDER BY enterprise, device
"""
_GET_FACTS = "SELECT facts::text FROM devices WHERE enterprise = %s AND device = %s FOR UPDATE"
_TELL_ENGINE = "INSERT INTO control_outbox (body, partition) VALUES (%s, %s)"
_PARTITIONS = "SELECT partitions FROM log_layout FOR SHARE"
_ADD_LOGIN = "INSERT INTO logins (id, secret_sha256) VALUES (%s, %s)"
_ADD_GRANT = "INSERT INTO grants (login, role, enterprise, device) VALUES (%s, %s, %s, %s)"
_OUT_OF_SERVICE = """
    SELECT enterprise || '/' || device FROM devices WHERE (facts->>'out_of_service')::boolean
"""
_RENEW = "UPDATE logins SET secret_sha256 = %s WHERE id = %s"
_VERSION = "SELECT version FROM logins_version"
_LOAD_LOGINS = """
    SELECT id, secret_sha256,
           coalesce(array_agg(ARRAY[role, enterprise, device] ORDER BY role, enterprise, device)
                    FILTER (WHERE role IS NOT NULL), '{}')
      FROM logins LEFT JOIN grants ON login = id GROUP BY id
"""
_LOAD_ACCOUNTS = """
    SELECT login, role, districts, enterprises, array_agg(k.id), array_agg(k.secret_sha256),
           ARRAY(SELECT code FROM enterprises WHERE district = ANY (a.districts))
      FROM accounts AS a JOIN api_keys AS k ON k.account = a.id AND k.revoked_at IS NULL
     WHERE NOT a.disabled GROUP BY a.id
"""

_facts = msgspec.json.Decoder(DeviceFacts)


@contextmanager
def open_registry(dsn: str) -> Iterator[Connection]:
    """A connection whose work is committed at the end. Raises ServiceAway when PostgreSQL does not answer."""
    try:
        with psycopg.connect(dsn, application_name="tocsin-registry", **_NOTICES_A_CUT) as connection:
            yield connection
    except psycopg.OperationalError as error:
        raise ServiceAway("PostgreSQL", str(error).strip() or type(error).__name__) from error


def add_device(connection: Connection, facts: DeviceFacts, *, login: bool = True) -> str:
    """Add a device and its login `enterprise/device`; returns the secret, which is kept nowhere.

    login: False for a device that speaks by another's login; there is no secret then, it is empty.

    Raises ConfigError when a fact cannot be true or the device is there already.
    """
    check_facts(facts)
    key = f"{facts.enterprise}/{facts.device}"
    with connection.transaction():
        try:
            row = (facts.enterprise, facts.device, id_of(key), _json(facts))
            connection.execute(_ADD_DEVICE, row)
        except psycopg.errors.UniqueViolation as error:
            if error.diag.constraint_name == "devices_id_key":
                raise ConfigError(f"the number of {key} is another device's.", mend="Choose another name.") from error
            mend = "Change it with `tocsin devices set`, or give it a new secret with `tocsin devices renew`."
            raise ConfigError(f"{key} is there already.", mend=mend) from error
        tell_engine(connection, facts)
        return add_login(connection, key, [Grant("devices", facts.enterprise, facts.device)]) if login else ""


def facts_of(connection: Connection, enterprise: str, device: str) -> DeviceFacts:
    """A device's facts, held until the transaction ends. Raises ConfigError when there is no such device."""
    row = connection.execute(_GET_FACTS, (enterprise, device)).fetchone()
    if row is None:
        raise ConfigError(f"there is no device {enterprise}/{device}.", mend="See `tocsin devices list`.")
    return _facts.decode(row[0])


def set_facts(connection: Connection, facts: DeviceFacts) -> None:
    """Replace a device's facts whole and tell the engine. Raises ConfigError as `add_device` and `facts_of` do."""
    check_facts(facts)
    with connection.transaction():
        if facts_of(connection, facts.enterprise, facts.device) != facts:
            connection.execute(_SET_FACTS, (_json(facts), facts.enterprise, facts.device))
            tell_engine(connection, facts)


def list_devices(connection: Connection, enterprise: str | None = None) -> list[Device]:
    """Every device, or those of one enterprise, by name."""
    rows = connection.execute(_LIST_DEVICES, {"enterprise": enterprise}).fetchall()
    return [Device(_facts.decode(facts), added_at) for facts, added_at in rows]


def out_of_service(connection: Connection) -> frozenset[str]:
    """Keys of the devices whose alarms tell nobody meanwhile."""
    return frozenset(key for (key,) in connection.execute(_OUT_OF_SERVICE).fetchall())


def add_login(connection: Connection, name: str, grants: Sequence[Grant]) -> str:
    """Add a login for an integrator, an enterprise or a device; returns the secret, which is kept nowhere.

    Raises ConfigError when the name is taken or not a name, or a grant names nothing that can be.
    """
    check_name(name)
    for grant in grants:
        if not NAME.match(grant.enterprise) or (grant.device and not NAME.match(grant.device)):
            raise ConfigError(f"{grant.enterprise}/{grant.device} is not a device or an enterprise.")
    secret = new_secret()
    with connection.transaction():
        try:
            connection.execute(_ADD_LOGIN, (name, digest_of(secret.encode())))
        except psycopg.errors.UniqueViolation as error:
            mend = "Choose another name, or give it a new secret with `tocsin devices renew`."
            raise ConfigError(f"the login {name} is there already.", mend=mend) from error
        with connection.cursor() as cursor:
            cursor.executemany(_ADD_GRANT, [(name, *grant) for grant in grants])
    return secret


def renew_secret(connection: Connection, name: str) -> str:
    """A new secret in place of the old one, which opens nothing from then on. Raises ConfigError for another name."""
    secret = new_secret()
    if connection.execute(_RENEW, (digest_of(secret.encode()), name)).rowcount == 0:
        raise ConfigError(f"there is no login {name}.", mend="See `tocsin devices list`.")
    return secret


class LoginFollower:
    """Keeps `logins` as the database says; `refresh` is meant for a thread that calls it about once a second."""

    def __init__(self, dsn: str, logins: KnownLogins) -> None:
        self._dsn = dsn
        self._logins = logins
        self._version = -1
        self._connection: Connection | None = None

    def refresh(self) -> bool:
        """Read the logins again if they have changed; True if they had. Raises ServiceAway."""
        try:
            if self._connection is None:
                self._connection = psycopg.connect(
                    self._dsn, autocommit=True, application_name="tocsin-logins", **_NOTICES_A_CUT
                )
            row = self._connection.execute(_VERSION).fetchone()
            assert row is not None
            if row[0] == self._version:
                return False
            # The version is read first: a change in between is read now and once more at the next call.
            rows = self._connection.execute(_LOAD_LOGINS).fetchall()
            accounts = self._connection.execute(_LOAD_ACCOUNTS).fetchall()
        except psycopg.OperationalError as error:
            self.close()
            raise ServiceAway("PostgreSQL", str(error).strip() or type(error).__name__) from error
        self._logins.replace(
            (Login(name, bytes(digest), tuple(Grant(*grant) for grant in grants)) for name, digest, grants in rows),
            filter(None, map(_account, accounts)),
        )
        self._version = row[0]
        return True

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _account(row: tuple[Any, ...]) -> AccountLogin | None:
    """What an account reads at the door; None when it sees no alarms."""
    login, role, districts, enterprises, ids, digests, of_districts = row
    viewer = Viewer(login, Role(role), tuple(districts), tuple(enterprises))
    if not viewer.may(Act.SEE_ALARMS):
        return None
    keys = {id_: bytes(digest) for id_, digest in zip(ids, digests, strict=True)}
    return AccountLogin(login, keys, None if viewer.sees_all else frozenset([*enterprises, *of_districts]))


def _json(facts: DeviceFacts) -> str:
    return msgspec.json.encode(facts).decode()


def tell_engine(connection: Connection, facts: DeviceFacts) -> None:
    """Ask for the facts to enter the log, in the partition of their enterprise."""
    connection.execute(_TELL_ENGINE, (encode(facts), partition_of(facts.enterprise, partitions(connection))))


def partitions(connection: Connection) -> int:
    """Of the log; they stay as many until the transaction ends."""
    row = connection.execute(_PARTITIONS).fetchone()
    assert row is not None
    count: int = row[0]
    return count
