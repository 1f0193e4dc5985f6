"""Who is watched and who is called: enterprises with their zones and contacts.

`code` is the name of an enterprise on the wire (`tocsin/v1/{code}/…`); everything else is for people and for the risk.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Flammables(StrEnum):
    NONE = "none"
    SOME = "some"
    """In daily use: cooking oil, cardboard, solvents by the bottle."""
    MUCH = "much"
    """Stored: textiles, plastics, gas bottles, paint."""


class District(msgspec.Struct, frozen=True):
    code: str
    """GB/T 2260 and below, digits."""
    name: str
    name_en: str = ""


class Enterprise(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    name: str
    name_en: str = ""
    trade: str
    """GB/T 4754-2017: the letter of the section and the digits of division, group or class: `H6210`."""
    district: str
    address: str = ""
    address_en: str = ""
    longitude: float | None = None
    """Degrees, WGS 84."""
    latitude: float | None = None
    hours: str = ""
    """When people work there, as OpenStreetMap writes it: `Mo-Fr 08:00-18:00; Sa 09:00-12:00`. Empty: not known."""
    timezone: str = "Asia/Shanghai"
    area_m2: float | None = None
    built: int | None = None
    """Year."""
    wired: int | None = None
    """Year in which the wiring was laid or last renewed."""
    open_flame: bool | None = None
    flammables: Flammables | None = None
    people: int | None = None
    """Most people in it at once."""


class Zone(msgspec.Struct, frozen=True):
    """A part of an enterprise that a person can be sent to."""

    enterprise: str
    zone: str
    name: str
    name_en: str = ""
    floor: str = ""


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who is told, in order: 1 first."""

    enterprise: str
    order: int
    """The place, which may change."""
    name: str
    duty: str = ""
    """What they are there: owner, safety officer, night guard."""
    phone: str = msgspec.field(default="")
    """E.164: `+8613800000000`. Shown to who may see contacts, never logged."""
    channels: tuple[str, ...] = ("sms",)
    language: str = "zh"
    hours: str = ""
    """When they may be called; empty: always. A red is told at any hour."""
    least: str = "orange"
    """Lowest warning grade that is told."""
    id: int = 0
    """The person's own number in the enterprise, made by the registry; 0: none yet. The order does not change it."""
