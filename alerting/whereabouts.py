"""What the registry knows about alarms that are to be told: the names of their places, and whom the enterprise named.

Asked once a turn, by the statement that goes out together with the one that reads the events: it costs no round trip,
an enterprise that is not in the registry costs nothing more, and a contact that was changed is called by its new
number from the next turn on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from alerting.contacts import NOBODY, Contacts, contact_of
from alerting.database import Connection
from alerting.routes import SMS, Recipient
from alerting.sql import load_queries
from schemas.alarms import Grade
from schemas.enterprises import Contact as Entry
from schemas.notifications import Place

_Q = load_queries("alerting")
ACCOUNT = "account:"
"""What the name of an account begins with, as a recipient."""
_UNKNOWN_ZONE = "UTC"


class _Called(msgspec.Struct):
    recipient: str
    grade: int
    us: int


_entries = msgspec.json.Decoder(list[Entry])
_calls = msgspec.json.Decoder(list[_Called])


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """places: by enterprise and device.  contacts, timezones: by enterprise."""

    places: Mapping[tuple[str, str], Place] = field(default_factory=dict)
    contacts: Mapping[str, Contacts] = field(default_factory=dict)
    timezones: Mapping[str, str] = field(default_factory=dict)

    def place(self, enterprise: str, device: str) -> Place | None:
        """None when the registry does not know the enterprise."""
        return self.places.get((enterprise, device))

    def of(self, enterprise: str) -> Contacts:
        return self.contacts.get(enterprise, NOBODY)


def ask_of_events(connection: Connection, partition: int, after: int, limit: int) -> Any:
    """Sends the question about the next events, and returns what `read` takes."""
    return _ask(connection, partition, after, limit, ())


def ask(connection: Connection, pairs: Iterable[tuple[str, str]]) -> Any:
    """The same about (enterprise, device); the device may be empty."""
    return _ask(connection, 0, 0, 0, pairs)


def around(connection: Connection, pairs: Collection[tuple[str, str]], channels: Collection[str]) -> Whereabouts:
    """`ask` and `read` in one; nothing is asked about none."""
    return read(ask(connection, pairs), channels) if pairs else Whereabouts()


def read(asked: Any, channels: Collection[str]) -> Whereabouts:
    """channels: ways by which this house reaches people."""
    places: dict[tuple[str, str], Place] = {}
    contacts: dict[str, Contacts] = {}
    timezones: dict[str, str] = {}
    for enterprise, device, timezone, people, calls, *names in asked.fetchall():
        places[enterprise, device] = Place(*(name or "" for name in names))
        if enterprise in timezones:
            continue
        timezones[enterprise] = timezone or _UNKNOWN_ZONE
        if people is not None:
            found = (contact_of(entry, timezones[enterprise], channels) for entry in _entries.decode(people))
            called = {(one.recipient, Grade(one.grade)): one.us for one in _calls.decode(calls)} if calls else {}
            contacts[enterprise] = Contacts(tuple(one for one in found if one is not None), called)
    return Whereabouts(places, contacts, timezones)


def accounts(connection: Connection, names: Iterable[str]) -> dict[str, Recipient]:
    """Those of the names that are accounts with a phone number, by name: for their test messages."""
    ids = [int(name.removeprefix(ACCOUNT)) for name in names if name.startswith(ACCOUNT)]
    if not ids:
        return {}
    rows = connection.execute(_Q["accounts_to_tell"], {"ids": ids}).fetchall()
    recipients = (Recipient(f"{ACCOUNT}{id_}", SMS, language=language, phone=phone) for id_, language, phone in rows)
    return {recipient.name: recipient for recipient in recipients}


def _ask(connection: Connection, partition: int, after: int, limit: int, pairs: Iterable[tuple[str, str]]) -> Any:
    asked = list(pairs)
    row = {
        "partition": partition,
        "after": after,
        "limit": limit,
        "enterprises": [enterprise for enterprise, _ in asked],
        "devices": [device for _, device in asked],
    }
    return connection.execute(_Q["whereabouts"], row)
