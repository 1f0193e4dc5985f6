"""The registry as people and programs see it: in lists, in the API, on pages. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from registry.contacts import HIDDEN
from schemas.enterprises import Contact, District, Enterprise, Zone
from schemas.errors import ConfigError

LONGEST_PAGE = 1000
_CURSOR_MEND = "Take `next` of the page before, or leave it out."
_words = msgspec.json.Decoder(list[str])
_numbers = msgspec.json.Decoder(list[int])


class EnterpriseView(Enterprise, frozen=True, kw_only=True):
    district_name: str
    district_name_en: str
    version: int
    """Rises with every change of the enterprise itself: hand it back with a change, so that none is lost."""
    added_at: datetime


class ContactView(Contact, frozen=True, kw_only=True):
    version: int
    """Rises with every change of it: hand it back with a change, so that none is lost."""


def as_contact(contact: Contact) -> Contact:
    """Without its version."""
    fields: dict[str, Any] = {field: getattr(contact, field) for field in Contact.__struct_fields__}
    return Contact(**fields)


class EnterprisePage(msgspec.Struct, frozen=True):
    """By code. next: hand it back as `cursor` for the next page; empty on the last."""

    enterprises: list[EnterpriseView]
    next: str = ""


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """A device: where it hangs, what people call it, and its facts (schemas.entries.DeviceFacts)."""

    enterprise: str
    device: str
    zone: str = ""
    """Empty: not said."""
    name: str = ""
    name_en: str = ""
    rated_current_a: float | None = None
    period_s: float | None = None
    supply: str | None = None
    heat_class: str | None = None
    trade: str | None = None
    """Of the enterprise, where not said otherwise."""
    profiles: tuple[str, ...] = ()
    out_of_service: bool = False
    gateway: str | None = None
    """The device of the enterprise through which it speaks."""


class DeviceView(Placed, frozen=True, kw_only=True):
    zone_name: str
    zone_name_en: str
    added_at: datetime
    sensors: list[str] = []
    """`measure[.channel]` that it has spoken of."""


def as_placed(device: DeviceView) -> Placed:
    """What of it may be changed."""
    fields: dict[str, Any] = {field: getattr(device, field) for field in Placed.__struct_fields__}
    return Placed(**fields)


class DevicePage(msgspec.Struct, frozen=True):
    """By enterprise and name."""

    devices: list[DeviceView]
    next: str = ""


class Added(msgspec.Struct, frozen=True):
    """A device with its login. The password is shown this once: only a hash of it is kept. Empty: none was made."""

    device: DeviceView
    username: str = ""
    password: str = ""


class Newest(msgspec.Struct, frozen=True):
    sensor: str
    """`measure[.channel]`."""
    value: float
    at: datetime


class Unclaimed(msgspec.Struct, frozen=True):
    """A device that has spoken and that the registry does not know."""

    enterprise: str
    device: str
    known_enterprise: bool
    """Whether the registry knows the enterprise."""
    heard_at: datetime
    """First."""
    sensors: list[str]
    newest: list[Newest]
    """Newest stored value of each sensor that has one; some minutes behind."""


class UnclaimedPage(msgspec.Struct, frozen=True):
    devices: list[Unclaimed]
    next: str = ""


class Change(msgspec.Struct, frozen=True):
    """One change of the registry. before, after: the fields; None where there was or is nothing."""

    number: int
    at: datetime
    who: str
    what: str
    """district, enterprise, zone, contact, device or login."""
    enterprise: str
    key: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class ChangePage(msgspec.Struct, frozen=True):
    """Newest first."""

    changes: list[Change]
    next: str = ""


class Districts(msgspec.Struct, frozen=True):
    districts: list[District]


class Zones(msgspec.Struct, frozen=True):
    zones: list[Zone]


class Contacts(msgspec.Struct, frozen=True):
    """In the order in which they are told."""

    contacts: list[ContactView]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which enterprises. Empty means all."""

    districts: Sequence[str] = ()
    trade: str = ""
    """The beginning of its code: `H62`."""
    text: str = ""
    """Stands in the code, a name or an address; upper and lower case are one."""
    codes: Sequence[str] | None = None


EVERYTHING = Wanted()


def masked(change: Change) -> Change:
    """The same for who may not see contacts: their names and numbers are left out."""
    if change.what != "contact":
        return change
    return msgspec.structs.replace(change, before=_masked(change.before), after=_masked(change.after))


def _masked(fields: dict[str, Any] | None) -> dict[str, Any] | None:
    secret = ("name", "phone")
    return fields and {field: HIDDEN if field in secret and value else value for field, value in fields.items()}


def encode_cursor(*place: str | int) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def text_cursor(cursor: str, parts: int) -> tuple[str, ...]:
    """The place that a page of names ended at; `parts` empty texts for no cursor. Raises ConfigError."""
    if not cursor:
        return ("",) * parts
    place: list[str] = _decode(cursor, _words)
    if len(place) != parts or any("\0" in part for part in place):
        raise ConfigError("this is not the cursor of a page.", field="cursor", mend=_CURSOR_MEND)
    return tuple(place)


def number_cursor(cursor: str) -> int | None:
    """The number that a page ended at; None for no cursor. Raises ConfigError."""
    if not cursor:
        return None
    place: list[int] = _decode(cursor, _numbers)
    if len(place) != 1 or not 0 < place[0] < 1 << 63:
        raise ConfigError("this is not the cursor of a page.", field="cursor", mend=_CURSOR_MEND)
    return place[0]


def _decode(cursor: str, decoder: msgspec.json.Decoder[Any]) -> Any:
    try:
        body = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return decoder.decode(body)
    except (binascii.Error, msgspec.DecodeError, ValueError) as error:
        raise ConfigError("this is not the cursor of a page.", field="cursor", mend=_CURSOR_MEND) from error
