"""Who is called: what may be said of a contact, and phone numbers in one form. Pure.

A phone number stands in no error: what is wrong with one is said without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import structs

from registry.enterprises import LONGEST_NAME, hours_problems, name_problems, text_problems
from registry.errors import Problem, shorten
from schemas.enterprises import Contact

CHANNELS = ("sms", "voice", "webhook", "journal")
"""How a contact may be reached."""
LANGUAGES = ("zh", "en")
LEAST = ("blue", "yellow", "orange", "red")
ORDERS = range(1, 100)
HIDDEN = "•••"
"""Stands where a phone number or a person's name is, for who may not see contacts."""

_GREATEST = 2**31 - 1
_E164 = re.compile(r"\+[1-9]\d{6,14}\Z")
_BETWEEN_DIGITS = re.compile(r"[\s().\-\u2010-\u2015\u00a0]")
_CHINESE_MOBILE = re.compile(r"1[3-9]\d{9}\Z")
_CHINESE_LANDLINE = re.compile(r"0[1-9]\d{8,10}\Z")


def problems_of_contact(contact: Contact) -> list[Problem]:
    return [
        *name_problems("enterprise", contact.enterprise),
        *_order(contact.order),
        *text_problems("name", contact.name, LONGEST_NAME, needed=True),
        *text_problems("duty", contact.duty, LONGEST_NAME),
        *_phone(contact.phone, contact.channels),
        *_channels(contact.channels),
        *_word("language", contact.language, LANGUAGES),
        *hours_problems("hours", contact.hours),
        *_word("least", contact.least, LEAST),
        *_own_number(contact.id),
    ]


def normal_contact(contact: Contact) -> Contact:
    """The same with its phone number in E.164, where it can be read as one."""
    return structs.replace(contact, phone=normal_phone(contact.phone))


def normal_phone(text: str) -> str:
    """E.164 of a number as people write it: `138 0013 8000`, `0571-88887777`, `0086…`; else the text as it is.

    A number without a country is Chinese.
    """
    digits = _BETWEEN_DIGITS.sub("", text).replace("＋", "+")
    if not digits.isascii():
        return text.strip()
    if digits.startswith("00"):
        digits = f"+{digits[2:]}"
    elif _CHINESE_MOBILE.match(digits):
        digits = f"+86{digits}"
    elif digits.startswith("86") and _CHINESE_MOBILE.match(digits[2:]):
        digits = f"+{digits}"
    elif _CHINESE_LANDLINE.match(digits):
        digits = f"+86{digits[1:]}"
    return digits if _E164.match(digits) else text.strip()


def _order(order: int) -> Iterator[Problem]:
    if order not in ORDERS:
        yield Problem("order", f"{shorten(order)} is not a place in the order.", "Use 1 to 99; 1 is told first.")


def _own_number(id_: int) -> Iterator[Problem]:
    if not 0 <= id_ <= _GREATEST:
        yield Problem("id", f"{shorten(id_)} is not the number of a contact.", "Leave it empty: one is made.")


def _phone(phone: str, channels: tuple[str, ...]) -> Iterator[Problem]:
    if phone and not _E164.match(phone):
        yield Problem("phone", "it is not a phone number.", "Write it with its country: +8613800138000.")
    elif not phone and any(channel in ("sms", "voice") for channel in channels):
        yield Problem("phone", "it is empty, and the contact is told by it.", "Give a number, or another channel.")


def _channels(channels: tuple[str, ...]) -> Iterator[Problem]:
    if not channels:
        yield Problem("channels", "there is none.", f"Name at least one of {', '.join(CHANNELS)}.")
    for channel in channels:
        yield from _word("channels", channel, CHANNELS)
    if len(set(channels)) != len(channels):
        yield Problem("channels", "one stands there twice.", "Name each once, in order.")


def _word(field: str, value: str, words: tuple[str, ...]) -> Iterator[Problem]:
    if value not in words:
        yield Problem(field, f"{shorten(value)!r} is not known.", f"Use {', '.join(words)}.")
