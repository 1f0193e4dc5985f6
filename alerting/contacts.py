"""The contacts of an enterprise as recipients: who may be called about which grade at which hour. Pure.

A contact is called by the first of its channels that this house has. Its name as a recipient, `contact:SHOP:ID`, is
what the ledger keeps: the id is the person's, whatever place in the order it has. A phone number stands in the registry
alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from alerting.routes import JOURNAL, LANGUAGES, WEBHOOK, Recipient
from schemas.alarms import Grade
from schemas.enterprises import Contact as Entry
from schemas.hours import is_open_at

_PREFIX = "contact:"
_NOT_FOR_PEOPLE = frozenset({WEBHOOK})
"""URLs come from the routes alone."""


@dataclass(frozen=True, slots=True)
class Contact:
    """Somebody who is called.

    order: its place among the others as of now.  title: what the registry calls the person; never shown with a number.
    """

    recipient: Recipient
    order: int
    title: str
    hours: str = ""

    @property
    def name(self) -> str:
        """As a recipient."""
        return self.recipient.name

    def may_be_called(self, grade: Grade, now_us: int) -> bool:
        """A red is told at any hour; hours that are not known, or not ours to read, are all hours."""
        if grade < self.recipient.least:
            return False
        return grade >= Grade.RED or is_open_at(self.hours, self.recipient.timezone, now_us) is not False


@dataclass(frozen=True, slots=True)
class Contacts:
    """An enterprise's, in order.

    called_us: when a contact (by name) was last called about the enterprise, by the grade it was called for.
    """

    people: tuple[Contact, ...] = ()
    called_us: Mapping[tuple[str, Grade], int] = field(default_factory=dict)

    def named(self, name: str) -> Contact | None:
        return next((contact for contact in self.people if contact.name == name), None)

    def last_called_us(self, name: str, least: Grade) -> int | None:
        """When that contact was last called for `least` or worse; None when it was not."""
        return max((us for (who, grade), us in self.called_us.items() if who == name and grade >= least), default=None)


NOBODY = Contacts()


def contact_name(enterprise: str, id_: int) -> str:
    return f"{_PREFIX}{enterprise}:{id_}"


def is_contact(recipient: str) -> bool:
    """Whether a recipient's name is that of a contact."""
    return recipient.startswith(_PREFIX)


def id_of_contact(recipient: str) -> int:
    """Among those of its enterprise. Raises ValueError when the name is not that of a contact."""
    if not is_contact(recipient):
        raise ValueError(f"{recipient} is not a contact")
    return int(recipient.rpartition(":")[2])


def contact_of(entry: Entry, timezone: str, channels: Collection[str]) -> Contact | None:
    """The registry's entry as one who is called; None when this house has no way to reach it."""
    able = (channel for channel in entry.channels if channel in channels and channel not in _NOT_FOR_PEOPLE)
    channel = next((channel for channel in able if entry.phone or channel == JOURNAL), None)
    if channel is None:
        return None
    recipient = Recipient(
        contact_name(entry.enterprise, entry.id),
        channel,
        Grade.of(entry.least),
        frozenset({entry.enterprise}),
        entry.language if entry.language in LANGUAGES else "en",
        timezone,
        phone=entry.phone,
    )
    return Contact(recipient, entry.order, entry.name, entry.hours)
