"""What a registry knows of a simulated city: districts, enterprises, zones, contacts and devices of the same seed.

All of it is invented, and nobody can be reached by it: the city lies in the sea, its districts have codes that no
place has, and the telephone numbers begin with 000 behind Beijing's code, where no number begins with 0.
"""

from __future__ import annotations

import csv
import io
import math
import tomllib
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from typing import Any

import msgspec

from schemas.enterprises import Contact, District, Enterprise, Flammables, Zone
from sensors_sim.town import Shop

WEST, SOUTH = 122.90, 31.00
"""Of the city's corner, in degrees: open sea."""
_DISTRICT_KM, _ACROSS = 3.2, 3
_KM_LON, _KM_LAT = 1.0 / (111.32 * math.cos(math.radians(SOUTH))), 1.0 / 110.57
_ROWS = 8
"""Streets from west to east in a district, and as many from south to north."""
_ASIDE_KM = 0.014
_YEAR = 2026
_HEAVY = frozenset({"C", "G"})
"""Sections of GB/T 4754 that are industry and storage."""


class DeviceRow(msgspec.Struct, frozen=True, kw_only=True):
    """A device as `devices.csv` has it."""

    enterprise: str
    device: str
    zone: str = ""
    name: str = ""
    name_en: str = ""
    rated_current_a: float | None = None
    period_s: float | None = None
    supply: str = ""
    heat_class: str = ""
    profiles: tuple[str, ...] = ()
    gateway: str = ""


class Register(msgspec.Struct, frozen=True):
    districts: list[District]
    enterprises: list[Enterprise]
    zones: list[Zone]
    contacts: list[Contact]
    devices: list[DeviceRow]

    def files(self) -> dict[str, str]:
        """File name → CSV text. A list in a field is separated by semicolons, what is not known is empty."""
        tables: dict[str, tuple[type, Sequence[msgspec.Struct]]] = {
            "districts.csv": (District, self.districts),
            "enterprises.csv": (Enterprise, self.enterprises),
            "zones.csv": (Zone, self.zones),
            "contacts.csv": (Contact, self.contacts),
            "devices.csv": (DeviceRow, self.devices),
        }
        # The registry makes the ids of contacts.
        fields = {form: [f for f in msgspec.structs.fields(form) if f.name != "id"] for form, _ in tables.values()}
        return {name: _csv(fields[form], rows) for name, (form, rows) in tables.items()}


def register(shops: Iterable[Shop]) -> Register:
    """Everything that is known of these shops."""
    out = Register(_districts(), [], [], [], [])
    for shop in shops:
        out.enterprises.append(_enterprise(shop))
        out.zones.extend(Zone(shop.code, z.zone, z.zh, z.en, z.floor) for z in shop.trade.zone)
        out.contacts.extend(_contacts(shop))
        out.devices.extend(_devices(shop))
    return out


@cache
def _words() -> dict[str, Any]:
    return tomllib.loads(resources.files("sensors_sim").joinpath("words.toml").read_text("utf-8"))


def _districts() -> list[District]:
    return [District(code, zh, en) for code, zh, en, _, _ in _words()["districts"]]


def _pick(shop: Shop, what: str, choices: Sequence[Any], weights: Sequence[float] | None = None) -> Any:
    weights = weights or [1.0] * len(choices)
    left = shop.chance(what) * sum(weights)
    for choice, weight in zip(choices, weights, strict=True):
        left -= weight
        if left < 0.0:
            return choice
    return choices[-1]


def _between(shop: Shop, what: str, least: float, most: float, even: bool = True) -> float:
    """even: each value is as likely as another; else each order of magnitude is."""
    x = shop.chance(what)
    return least + x * (most - least) if even else least * (most / least) ** x


def _enterprise(shop: Shop) -> Enterprise:
    words, trade = _words(), shop.trade
    heavy = trade.gb[:1] in _HEAVY
    weights = [weight * (industry if heavy else 1.2 - industry) for *_, weight, industry in words["districts"]]
    number = _pick(shop, "district", range(len(weights)), weights)
    code, district, district_en, _, _ = words["districts"][number]
    longitude, latitude, street, house = _place(shop, number)
    zh, en = words["streets"][street]
    city, city_en = words["city"]
    facts = trade.facts
    assert facts is not None, f"{trade.trade} has no facts"
    built = int(_between(shop, "built", *facts.built))
    renewed = shop.chance("renewed") < facts.rewired and built < _YEAR - 8
    area = round(_between(shop, "area", *facts.area_m2, even=False) / 5.0) * 5.0
    ending, ending_en = _pick(shop, "ending", trade.naming.endings if trade.naming else [(trade.zh, trade.en)])
    first, second = _pick(shop, "first", words["first"]), _pick(shop, "second", words["second"])
    return Enterprise(
        code=shop.code,
        name=f"{first[0]}{second[0]}{ending}",
        name_en=f"{first[1]}{second[1]} {ending_en}",
        trade=trade.gb,
        district=code,
        address=f"{city}{district}{zh}{house}号",
        address_en=f"{house} {en}, {district_en}, {city_en}",
        longitude=longitude,
        latitude=latitude,
        hours=shop.hours,
        area_m2=area,
        built=built,
        wired=int(_between(shop, "wired", built + 8, _YEAR)) if renewed else built,
        open_flame=shop.chance("flame") < facts.open_flame,
        flammables=Flammables(_pick(shop, "flammables", list(facts.flammables), list(facts.flammables.values()))),
        people=max(2, round(area * _between(shop, "people", *facts.people_m2))),
    )


def _place(shop: Shop, district: int) -> tuple[float, float, int, int]:
    """(longitude, latitude, street, house number): beside one of the streets of its district."""
    along, line = shop.chance("along"), int(shop.chance("line") * 2 * _ROWS)
    side = 1 if shop.chance("side") < 0.5 else -1
    off_km = (line % _ROWS + 0.5) / _ROWS * _DISTRICT_KM + side * _ASIDE_KM
    on_km = along * _DISTRICT_KM * 0.96
    east, north = (on_km, off_km) if line < _ROWS else (off_km, on_km)
    # a street bends a little
    bend = 0.05 * math.sin(on_km * 2.0 + line)
    east, north = (east, north + bend) if line < _ROWS else (east + bend, north)
    east += (district % _ACROSS) * _DISTRICT_KM
    north += (district // _ACROSS) * _DISTRICT_KM
    house = 2 * (1 + int(along * 300)) - (side > 0)
    return round(WEST + east * _KM_LON, 6), round(SOUTH + north * _KM_LAT, 6), line, house


def _contacts(shop: Shop) -> list[Contact]:
    words = _words()
    english = shop.chance("speaks") < 0.08
    night = shop.chance("night guard") < 0.25
    contacts = []
    for order, (duty, duty_en, form, form_en) in enumerate(words["duties"][: 2 + night], 1):
        zh, en = _pick(shop, f"surname-{order}", words["surnames"])
        contacts.append(
            Contact(
                enterprise=shop.code,
                order=order,
                name=f"{form_en} {en}" if english else f"{zh}{form}",
                duty=duty_en if english else duty,
                phone=f"+8610000{(shop.number * 3 + order) % 100_000:05d}",
                channels=("sms",),
                language="en" if english else "zh",
                hours="Mo-Su 20:00-08:00" if order == 3 else "",
                least=("yellow", "orange", "red")[order - 1],
            )
        )
    return contacts


def _devices(shop: Shop) -> list[DeviceRow]:
    gateways = {plan.behind for plan in shop.devices}
    return [
        DeviceRow(
            enterprise=shop.code,
            device=plan.name,
            zone=plan.zone,
            name=plan.zh,
            name_en=plan.en,
            rated_current_a=plan.spec.get("rated_current_a") if plan.plant == "panel" else None,
            period_s=float(plan.period),
            supply=plan.supply,
            heat_class=plan.heat_class,
            profiles=(*plan.profiles, "gateway") if plan.name in gateways else plan.profiles,
            gateway=plan.behind,
        )
        for plan in shop.devices
    ]


def _csv(fields: Sequence[msgspec.structs.FieldInfo], rows: Sequence[msgspec.Struct]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [f.name for f in fields]
    writer.writerow(names)
    writer.writerows([_cell(getattr(row, name)) for name in names] for row in rows)
    return out.getvalue()


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case tuple():
            return ";".join(value)
        case float():
            return f"{value:.6f}".rstrip("0").rstrip(".")
    return str(value)
