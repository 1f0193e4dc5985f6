"""Changes of the registry, one thing at a time, in the caller's transaction; each is kept (`registry.changes`).

What is outside the viewer's scope is not there. Whoever changes a device's facts tells the engine in the same commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import psycopg
from msgspec import structs

from database.connections import Connection
from registry import changes, store
from registry.contacts import ORDERS, normal_contact, problems_of_contact
from registry.devices import check_facts
from registry.enterprises import (
    LONGEST_NAME,
    name_problems,
    problems_of_district,
    problems_of_enterprise,
    problems_of_zone,
    text_problems,
)
from registry.errors import InTheWay, NotThere, Stale, refuse
from registry.sql import load_queries
from registry.views import ContactView, Placed, as_contact
from schemas.enterprises import Contact, District, Enterprise, Zone
from schemas.entries import DeviceFacts
from schemas.errors import ConfigError
from schemas.identity import NAME
from schemas.viewers import Act, NotNow, Viewer

FACTS = ("rated_current_a", "period_s", "supply", "heat_class", "trade", "profiles", "out_of_service", "gateway")

_Q = load_queries()

_enterprise = msgspec.json.Decoder(Enterprise)
_zone = msgspec.json.Decoder(Zone)
_contact = msgspec.json.Decoder(ContactView)
_district = msgspec.json.Decoder(District)
_facts = msgspec.json.Decoder(DeviceFacts)


def put_district(connection: Connection, viewer: Viewer, district: District) -> None:
    viewer.must(Act.CHANGE_REGISTRY)
    refuse(problems_of_district(district))
    row = structs.asdict(district)
    held = connection.execute(_Q["held_district"], row).fetchone()
    before = _district.decode(held[0]) if held else None
    if before != district:
        connection.execute(_Q["put_district"], row)
        changes.record(connection, viewer, "district", "", district.code, before, district)


def put_enterprise(connection: Connection, viewer: Viewer, enterprise: Enterprise, version: int | None) -> None:
    viewer.must(Act.CHANGE_REGISTRY)
    refuse(problems_of_enterprise(enterprise))
    row = structs.asdict(enterprise) | viewer.parameters()
    before = _held_enterprise(connection, row, version)
    if before == enterprise:
        return
    try:
        if before is not None:
            connection.execute(_Q["set_enterprise"], row)
        elif connection.execute(_Q["add_enterprise"], row).rowcount == 0:
            raise InTheWay(f"the code {enterprise.code} is taken.", mend="Choose another.")
    except psycopg.errors.ForeignKeyViolation as error:
        mend = "Add the district first, or look for its code."
        raise ConfigError(f"there is no district {enterprise.district}.", field="district", mend=mend) from error
    if connection.execute(_Q["enterprise_is_seen"], row).fetchone() is None:
        raise NotThere("district", enterprise.district)
    changes.record(connection, viewer, "enterprise", enterprise.code, enterprise.code, before, enterprise)
    if before is None or before.trade != enterprise.trade:
        follow_trade(connection, enterprise.code, before.trade if before else None, enterprise.trade)


def remove_enterprise(connection: Connection, viewer: Viewer, code: str, version: int | None) -> None:
    viewer.must(Act.CHANGE_REGISTRY)
    row = {"code": code, "who": viewer.name, **viewer.parameters()}
    before = _held_enterprise(connection, row, version) if NAME.match(code) else None
    if before is None:
        raise NotThere("enterprise", code)
    counted = connection.execute(_Q["count_devices"], row).fetchone()
    if counted and counted[0]:
        raise InTheWay(f"{code} has {counted[0]} devices.", mend="Remove its devices first.")
    connection.execute(_Q["keep_parts"], row)
    connection.execute(_Q["remove_enterprise"], row)
    changes.record(connection, viewer, "enterprise", code, code, before, None)


def put_zone(connection: Connection, viewer: Viewer, zone: Zone) -> None:
    viewer.must(Act.CHANGE_REGISTRY)
    refuse(problems_of_zone(zone))
    row = structs.asdict(zone)
    _must_see(connection, viewer, zone.enterprise)
    held = connection.execute(_Q["held_zone"], row).fetchone()
    before = _zone.decode(held[0]) if held else None
    if before != zone:
        with _still_there(zone.enterprise):
            connection.execute(_Q["put_zone"], row)
        changes.record(connection, viewer, "zone", zone.enterprise, zone.zone, before, zone)


def remove_zone(connection: Connection, viewer: Viewer, code: str, zone: str) -> None:
    viewer.must(Act.CHANGE_REGISTRY)
    _must_see(connection, viewer, code)
    row = {"enterprise": code, "zone": zone}
    held = connection.execute(_Q["held_zone"], row).fetchone() if NAME.match(zone) else None
    if held is None:
        raise NotThere("zone", zone)
    counted = connection.execute(_Q["count_in_zone"], row).fetchone()
    if counted and counted[0]:
        raise InTheWay(f"{counted[0]} devices hang in the zone {zone}.", mend="Give them another zone first.")
    connection.execute(_Q["remove_zone"], row)
    changes.record(connection, viewer, "zone", code, zone, _zone.decode(held[0]), None)


def put_contact(connection: Connection, viewer: Viewer, contact: Contact, version: int | None) -> ContactView:
    """At its place. Whoever has the name or the number of who was there keeps the id; else it is another person."""
    viewer.must(Act.CHANGE_CONTACTS)
    contact = normal_contact(as_contact(contact))
    refuse(problems_of_contact(contact))
    code, order = contact.enterprise, contact.order
    row = structs.asdict(contact) | {"channels": list(contact.channels)}
    _must_see(connection, viewer, code)
    before = _held_contact(connection, code, order, version)
    if before is None:
        with _still_there(code):
            added = connection.execute(_Q["add_contact"], row).fetchone()
        if added is not None:
            after = _contact.decode(added[0])
            changes.record(connection, viewer, "contact", code, order, None, as_contact(after))
            return after
        before = _held_contact(connection, code, order, version)  # somebody was quicker
        if before is None:
            raise Stale("contact", str(order), 0)
    if as_contact(before) == structs.replace(contact, id=before.id):
        return before
    changed = connection.execute(_Q["set_contact"], row).fetchone()
    assert changed is not None, "it is held"
    after = _contact.decode(changed[0])
    changes.record(connection, viewer, "contact", code, order, as_contact(before), as_contact(after))
    return after


def swap_contacts(
    connection: Connection, viewer: Viewer, code: str, one: int, other: int, versions: tuple[int, int] | None
) -> None:
    """Each takes the other's place in the order, and stays who it is."""
    viewer.must(Act.CHANGE_CONTACTS)
    _must_see(connection, viewer, code)
    seen: dict[int, int | None] = dict(zip((one, other), versions or (None, None), strict=True))
    held: dict[int, Contact] = {}
    for order in sorted(seen):  # always in this order, so that two who swap the same do not wait for ever
        found = _held_contact(connection, code, order, seen[order])
        if found is None:
            raise NotThere("contact", str(order))
        held[order] = as_contact(found)
    if one == other:
        return
    connection.execute(_Q["swap_contacts"], {"enterprise": code, "one": one, "other": other})
    for order, before in ((one, held[other]), (other, held[one])):
        changes.record(connection, viewer, "contact", code, order, before, structs.replace(before, order=order))


def remove_contact(connection: Connection, viewer: Viewer, code: str, order: int, version: int | None) -> None:
    viewer.must(Act.CHANGE_CONTACTS)
    _must_see(connection, viewer, code)
    held = _held_contact(connection, code, order, version)
    if held is None:
        raise NotThere("contact", str(order))
    connection.execute(_Q["remove_contact"], {"enterprise": code, "order": order})
    changes.record(connection, viewer, "contact", code, order, as_contact(held), None)


def put_device(connection: Connection, viewer: Viewer, device: Placed, *, login: bool) -> str:
    """The password of its new login; empty when none was made."""
    _check_device(connection, viewer, device)
    row = structs.asdict(device) | viewer.parameters()
    held = connection.execute(_Q["held_device"], row).fetchone()
    if held is None:
        viewer.must(Act.CONNECT_DEVICES)
        return _add_device(connection, viewer, device, login)
    viewer.must(Act.CHANGE_REGISTRY)
    facts = _facts_of(connection, device)
    before = placed(_facts.decode(held[0]), *held[1:])
    after = placed(facts, device.zone, device.name, device.name_en)
    if before != after:
        store.set_facts(connection, facts)
        connection.execute(_Q["place_device"], row)
        changes.record(connection, viewer, "device", device.enterprise, device.device, before, after)
    return ""


def claim(connection: Connection, viewer: Viewer, device: Placed, *, login: bool) -> str:
    """The password of its new login; empty when none was wanted.

    An alarm that it has stays as it is, under its key: it was the device's before, by the same name.
    """
    viewer.must(Act.CONNECT_DEVICES)
    _check_device(connection, viewer, device)
    row = structs.asdict(device) | viewer.parameters()
    key = f"{device.enterprise}/{device.device}"
    if connection.execute(_Q["has_spoken"], row).fetchone() is None:
        raise NotThere("unclaimed device", key)
    if connection.execute(_Q["held_device"], row).fetchone() is not None:
        raise InTheWay(f"{key} is claimed already.", mend="Change what is known of it instead.")
    return _add_device(connection, viewer, device, login)


def remove_device(connection: Connection, viewer: Viewer, enterprise: str, device: str) -> None:
    viewer.must(Act.CHANGE_REGISTRY)
    row = {"enterprise": enterprise, "device": device, **viewer.parameters()}
    named = NAME.match(enterprise) and NAME.match(device)
    held = connection.execute(_Q["held_device"], row).fetchone() if named else None
    if held is None:
        raise NotThere("device", f"{enterprise}/{device}")
    connection.execute(_Q["remove_login"], row)
    connection.execute(_Q["remove_device"], row)
    # The engine judges it from now on as one of which nothing is known.
    store.tell_engine(connection, DeviceFacts(enterprise, device))
    before = placed(_facts.decode(held[0]), *held[1:])
    changes.record(connection, viewer, "device", enterprise, device, before, None)


def follow_trade(connection: Connection, code: str, old: str | None, new: str) -> None:
    """Devices of which no other trade was said have the enterprise's."""
    for (body,) in connection.execute(_Q["facts_of_devices"], {"code": code}).fetchall():
        facts = _facts.decode(body)
        if facts.trade in (None, old) and facts.trade != new:
            store.set_facts(connection, structs.replace(facts, trade=new))


def placed(facts: DeviceFacts, zone: str, name: str, name_en: str) -> Placed:
    known: dict[str, Any] = {field: getattr(facts, field) for field in FACTS}
    return Placed(enterprise=facts.enterprise, device=facts.device, zone=zone, name=name, name_en=name_en, **known)


def _add_device(connection: Connection, viewer: Viewer, device: Placed, login: bool) -> str:
    _leave_alarms_alone(connection, viewer, device)
    facts = _facts_of(connection, device)
    password = store.add_device(connection, facts, login=login)
    connection.execute(_Q["place_device"], structs.asdict(device))
    after = placed(facts, device.zone, device.name, device.name_en)
    changes.record(connection, viewer, "device", device.enterprise, device.device, None, after)
    if login:
        name = f"{device.enterprise}/{device.device}"
        changes.record(connection, viewer, "login", device.enterprise, name, None, {"id": name})
    return password


def _leave_alarms_alone(connection: Connection, viewer: Viewer, device: Placed) -> None:
    """While a device has an open alarm, who directs none says where it hangs and what it is called, nothing more.

    Facts choose the rules that judge it, so another one may withdraw the alarm; out of service it would tell nobody.
    Raises NotNow.
    """
    if viewer.may(Act.DIRECT):
        return
    plain = Placed(enterprise=device.enterprise, device=device.device)
    said = [field for field in FACTS if getattr(device, field) != getattr(plain, field)]
    if said and connection.execute(_Q["has_open_alarm"], structs.asdict(device)).fetchone() == (True,):
        raise NotNow(
            f"{device.enterprise}/{device.device} has an open alarm, so its {said[0]} is not yours to say now.",
            "Claim it with its zone and name alone; an administrator says the rest.",
        )


def _check_device(connection: Connection, viewer: Viewer, device: Placed) -> None:
    """Raises ConfigError with the field that cannot be true, NotThere outside the scope."""
    refuse(
        [
            *name_problems("enterprise", device.enterprise),
            *name_problems("device", device.device),
            *text_problems("name", device.name, LONGEST_NAME),
            *text_problems("name_en", device.name_en, LONGEST_NAME),
        ]
    )
    row = structs.asdict(device) | viewer.parameters()
    if connection.execute(_Q["in_scope"], row).fetchone() != (True,):
        raise NotThere("enterprise", device.enterprise)
    if device.zone and not (NAME.match(device.zone) and connection.execute(_Q["held_zone"], row).fetchone()):
        mend = "Add the zone first, or leave it out."
        raise ConfigError(f"{device.enterprise} has no such zone.", field="zone", mend=mend)


def _facts_of(connection: Connection, device: Placed) -> DeviceFacts:
    """What the engine is told; the trade is the enterprise's where the device has none of its own."""
    known: dict[str, Any] = {field: getattr(device, field) for field in FACTS}
    facts = check_facts(DeviceFacts(device.enterprise, device.device, **known))
    if facts.trade is None and (found := connection.execute(_Q["trade_of"], structs.asdict(device)).fetchone()):
        return structs.replace(facts, trade=found[0])
    return facts


@contextmanager
def _still_there(code: str) -> Iterator[None]:
    """Somebody may remove the enterprise in the very moment."""
    try:
        yield
    except psycopg.errors.ForeignKeyViolation as error:
        raise NotThere("enterprise", code) from error


def _must_see(connection: Connection, viewer: Viewer, code: str) -> None:
    if (
        not NAME.match(code)
        or not connection.execute(_Q["enterprise_is_seen"], {"code": code, **viewer.parameters()}).fetchone()
    ):
        raise NotThere("enterprise", code)


def _held_contact(connection: Connection, code: str, order: int, version: int | None) -> ContactView | None:
    """Who is at that place, held until the transaction ends. Raises Stale when it is not at `version`."""
    row = {"enterprise": code, "order": order}
    found = connection.execute(_Q["held_contact"], row).fetchone() if order in ORDERS else None
    held = _contact.decode(found[0]) if found else None
    now = held.version if held else 0
    if version is not None and version != now:
        raise Stale("contact", str(order), now)
    return held


def _held_enterprise(connection: Connection, row: dict[str, Any], version: int | None) -> Enterprise | None:
    """As it is, held until the transaction ends. Raises Stale when it is not at `version`."""
    held = connection.execute(_Q["held_enterprise"], row).fetchone()
    now = held[1] if held else 0
    if version is not None and version != now:
        raise Stale("enterprise", row["code"], now)
    return _enterprise.decode(held[0]) if held else None
