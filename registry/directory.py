"""Who is watched and who is called, for people and programs: read within the viewer's scope, change as its role may.

The services behind the API, the pages and the command. What is outside the scope is not there. Every change is kept
(`registry.changes`), in its own transaction. Thread-safe; raises ServiceAway when PostgreSQL is away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from database.connections import Connection, Connections
from registry import applying, changes, writing
from registry.applying import NewLogin, Progress, Report, no_progress
from registry.columns import Sort
from registry.errors import NotThere
from registry.exporting import write_csv
from registry.importing import Table
from registry.sql import load_queries
from registry.views import (
    EVERYTHING,
    LONGEST_PAGE,
    Added,
    ChangePage,
    ContactView,
    DevicePage,
    DeviceView,
    EnterprisePage,
    EnterpriseView,
    Newest,
    Placed,
    Unclaimed,
    UnclaimedPage,
    Wanted,
    encode_cursor,
    number_cursor,
    text_cursor,
)
from schemas.enterprises import Contact, District, Enterprise, Zone
from schemas.identity import NAME, id_of
from schemas.viewers import Act, Viewer

_Q = load_queries()
_IMPORT_S = 3600.0
"""A hundred thousand rows take a minute; one import waits for another."""
_EXPORT_S = 600.0

_enterprise = msgspec.json.Decoder(EnterpriseView)
_zone = msgspec.json.Decoder(Zone)
_contact = msgspec.json.Decoder(ContactView)
_former = msgspec.json.Decoder(Contact)
_district = msgspec.json.Decoder(District)
_device = msgspec.json.Decoder(DeviceView)


class Directory:
    def __init__(self, dsn: str) -> None:
        self._connections = Connections(dsn, "tocsin directory")

    def close(self) -> None:
        self._connections.close()

    def enterprises(
        self, viewer: Viewer, wanted: Wanted = EVERYTHING, limit: int = 100, cursor: str = ""
    ) -> EnterprisePage:
        """A page by code. Raises ConfigError for a cursor that is not one of ours."""
        viewer.must(Act.SEE_ENTERPRISES)
        (after,) = text_cursor(cursor, 1)
        limit = _bounded(limit)
        codes, districts = _narrowed(viewer, wanted)
        row = {
            "after": after,
            "codes": codes,
            "districts": districts,
            "trade": _plain(wanted.trade) or None,
            "text": _like(wanted.text) if wanted.text else None,
            "limit": limit + 1,
            **viewer.parameters(),
        }
        with self._connections.transaction(viewer) as connection:
            found = [_enterprise.decode(body) for (body,) in connection.execute(_Q["enterprises"], row).fetchall()]
        page = found[:limit]
        return EnterprisePage(page, encode_cursor(page[-1].code) if len(found) > limit else "")

    def enterprise(self, viewer: Viewer, code: str) -> EnterpriseView:
        """Raises NotThere."""
        found = self.enterprises(viewer, Wanted(codes=[code]), 1).enterprises if NAME.match(code) else []
        if not found:
            raise NotThere("enterprise", code)
        return found[0]

    def districts(self, viewer: Viewer) -> list[District]:
        """Those of the viewer's scope, by code."""
        viewer.must(Act.SEE_ENTERPRISES)
        with self._connections.transaction(viewer) as connection:
            rows = connection.execute(_Q["districts"], viewer.parameters()).fetchall()
        return [_district.decode(body) for (body,) in rows]

    def zones(self, viewer: Viewer, code: str) -> list[Zone]:
        """Raises NotThere."""
        viewer.must(Act.SEE_ENTERPRISES)
        with self._connections.transaction(viewer) as connection:
            _must_see(connection, viewer, code)
            return [_zone.decode(body) for (body,) in connection.execute(_Q["zones"], {"code": code}).fetchall()]

    def contacts(self, viewer: Viewer, code: str) -> list[ContactView]:
        """In the order in which they are told. Raises NotThere, and NotAllowed for who may not see them."""
        viewer.must(Act.SEE_CONTACTS)
        with self._connections.transaction(viewer) as connection:
            _must_see(connection, viewer, code)
            return [_contact.decode(body) for (body,) in connection.execute(_Q["contacts"], {"code": code}).fetchall()]

    def former_contacts(self, viewer: Viewer, code: str) -> list[Contact]:
        """Who is a contact no more, as each was last. Raises NotThere, NotAllowed."""
        viewer.must(Act.SEE_CONTACTS)
        with self._connections.transaction(viewer) as connection:
            _must_see(connection, viewer, code)
            rows = connection.execute(_Q["former_contacts"], {"code": code}).fetchall()
        return [_former.decode(body) for (body,) in rows]

    def contact(self, viewer: Viewer, code: str, order: int) -> ContactView:
        """Who is at that place in the order. Raises NotThere, NotAllowed."""
        found = next((one for one in self.contacts(viewer, code) if one.order == order), None)
        if found is None:
            raise NotThere("contact", str(order))
        return found

    def devices(
        self, viewer: Viewer, enterprise: str | None = None, limit: int = LONGEST_PAGE, cursor: str = ""
    ) -> DevicePage:
        """A page of devices that the registry knows. Raises NotThere for an enterprise that is not."""
        viewer.must(Act.SEE_DEVICES)
        after = text_cursor(cursor, 2)
        limit = _bounded(limit)
        with self._connections.transaction(viewer) as connection:
            if enterprise is not None:
                _must_see(connection, viewer, enterprise)
            found = _devices(connection, viewer, enterprise, None, after, limit + 1)
        page = found[:limit]
        return DevicePage(page, encode_cursor(page[-1].enterprise, page[-1].device) if len(found) > limit else "")

    def device(self, viewer: Viewer, enterprise: str, device: str) -> DeviceView:
        """Raises NotThere."""
        viewer.must(Act.SEE_DEVICES)
        with self._connections.transaction(viewer) as connection:
            return _one_device(connection, viewer, enterprise, device)

    def has_device(self, viewer: Viewer, enterprise: str, device: str) -> bool:
        """Whether the registry knows it, and the viewer sees it."""
        try:
            self.device(viewer, enterprise, device)
        except NotThere:
            return False
        return True

    def unclaimed(
        self, viewer: Viewer, limit: int = 100, cursor: str = "", enterprise: str | None = None
    ) -> UnclaimedPage:
        """Devices that have spoken and that the registry does not know, by enterprise and name."""
        viewer.must(Act.SEE_DEVICES)
        after = text_cursor(cursor, 2)
        limit = _bounded(limit)
        row = {
            "enterprise": enterprise and _plain(enterprise), "after_enterprise": after[0], "after_device": after[1],
            "limit": limit + 1, **viewer.parameters(),
        }  # fmt: skip
        with self._connections.transaction(viewer) as connection:
            found = connection.execute(_Q["unclaimed"], row).fetchall()
            keys = [f"{one[0]}/{one[1]}/{sensor}" for one in found[:limit] for sensor in one[4]]
            rows = connection.execute(_Q["newest"], {"ids": [id_of(key) for key in keys]}).fetchall()
        values = {id_: (value, at) for id_, value, at in rows}
        page = [
            Unclaimed(
                enterprise_, device, known, heard_at, sensors, _newest(f"{enterprise_}/{device}", sensors, values)
            )
            for enterprise_, device, known, heard_at, sensors in found[:limit]
        ]
        return UnclaimedPage(page, encode_cursor(page[-1].enterprise, page[-1].device) if len(found) > limit else "")

    def changes(self, viewer: Viewer, enterprise: str | None = None, limit: int = 100, cursor: str = "") -> ChangePage:
        """A page of what was changed, newest first; also of what is there no more, for who sees all."""
        viewer.must(Act.SEE_ENTERPRISES)
        before = number_cursor(cursor)
        with self._connections.transaction(viewer) as connection:
            return changes.list_changes(connection, viewer, enterprise and _plain(enterprise), _bounded(limit), before)

    def put_district(self, viewer: Viewer, district: District) -> District:
        """Add it, or change its names. Raises ConfigError, NotAllowed."""
        with self._connections.transaction(viewer) as connection:
            writing.put_district(connection, viewer, district)
        return district

    def put_enterprise(self, viewer: Viewer, enterprise: Enterprise, version: int | None = None) -> EnterpriseView:
        """Add it, or replace what is known of it.

        version: the one that was seen; 0 when there was none; None for whatever is there. Raises Stale when it is
        another by now, ConfigError with the field that cannot be true, NotAllowed, NotThere.
        """
        with self._connections.transaction(viewer) as connection:
            writing.put_enterprise(connection, viewer, enterprise, version)
        return self.enterprise(viewer, enterprise.code)

    def remove_enterprise(self, viewer: Viewer, code: str, version: int | None = None) -> None:
        """With its zones and contacts. Raises NotThere, Stale, NotAllowed, and InTheWay while it has devices."""
        with self._connections.transaction(viewer) as connection:
            writing.remove_enterprise(connection, viewer, code, version)

    def put_zone(self, viewer: Viewer, zone: Zone) -> Zone:
        """Raises ConfigError, NotAllowed, NotThere."""
        with self._connections.transaction(viewer) as connection:
            writing.put_zone(connection, viewer, zone)
        return zone

    def remove_zone(self, viewer: Viewer, code: str, zone: str) -> None:
        """Raises NotThere, NotAllowed, and InTheWay while devices hang in it."""
        with self._connections.transaction(viewer) as connection:
            writing.remove_zone(connection, viewer, code, zone)

    def put_contact(self, viewer: Viewer, contact: Contact, version: int | None = None) -> ContactView:
        """Add it at its place, or replace what is known of who is there. Its phone number is kept in E.164.

        Its id is the registry's: who has another name and another number than before is another person.
        version: as of an enterprise. Raises Stale, ConfigError, NotAllowed, NotThere.
        """
        with self._connections.transaction(viewer) as connection:
            return writing.put_contact(connection, viewer, contact, version)

    def swap_contacts(
        self, viewer: Viewer, code: str, one: int, other: int, versions: tuple[int, int] | None = None
    ) -> None:
        """Each takes the other's place in the order. versions: of both. Raises Stale, NotThere, NotAllowed."""
        with self._connections.transaction(viewer) as connection:
            writing.swap_contacts(connection, viewer, code, one, other, versions)

    def remove_contact(self, viewer: Viewer, code: str, order: int, version: int | None = None) -> None:
        """The others keep their places. Raises Stale, NotThere, NotAllowed."""
        with self._connections.transaction(viewer) as connection:
            writing.remove_contact(connection, viewer, code, order, version)

    def put_device(self, viewer: Viewer, device: Placed, *, login: bool = True) -> Added:
        """Change what is known of a device, or add it, with a login of its own where wanted.

        The engine follows by the log. Raises ConfigError, NotAllowed, NotThere.
        """
        with self._connections.transaction(viewer) as connection:
            password = writing.put_device(connection, viewer, device, login=login)
            made = _one_device(connection, viewer, device.enterprise, device.device)
        return Added(made, f"{device.enterprise}/{device.device}" if password else "", password)

    def claim(self, viewer: Viewer, device: Placed, *, login: bool = False) -> Added:
        """Take a device that has spoken into the registry. It goes on as it is, by the login that it came with.

        login: make it one of its own too. Raises NotThere when no such device has spoken, InTheWay when the registry
        knows it already, ConfigError, NotAllowed.
        """
        with self._connections.transaction(viewer) as connection:
            password = writing.claim(connection, viewer, device, login=login)
            made = _one_device(connection, viewer, device.enterprise, device.device)
        return Added(made, f"{device.enterprise}/{device.device}" if password else "", password)

    def remove_device(self, viewer: Viewer, enterprise: str, device: str) -> None:
        """With its own login. If it goes on to speak, it is unclaimed. Raises NotThere, NotAllowed."""
        with self._connections.transaction(viewer) as connection:
            writing.remove_device(connection, viewer, enterprise, device)

    def apply(
        self,
        viewer: Viewer,
        tables: Sequence[Table],
        *,
        dry_run: bool = False,
        skip_bad: bool = False,
        logins: bool = False,
        progress: Progress = no_progress,
    ) -> tuple[Report, list[NewLogin]]:
        """Import files that were read, all of them or none: see `registry.applying`. Raises NotAllowed."""
        with self._connections.transaction(None, within_s=_IMPORT_S) as connection:
            return applying.apply(
                connection, viewer, tables, dry_run=dry_run, skip_bad=skip_bad, logins=logins, progress=progress
            )

    def export(self, viewer: Viewer, sort: Sort) -> Iterator[str]:
        """A file of what the viewer sees, in pieces, as an import reads it. Raises NotAllowed."""
        viewer.must(Act.EXPORT)
        if sort is Sort.CONTACTS:
            viewer.must(Act.SEE_CONTACTS)
        return write_csv(sort, self._rows(viewer, sort))

    def _rows(self, viewer: Viewer, sort: Sort) -> Iterator[Any]:
        if sort is Sort.DISTRICTS:
            yield from self.districts(viewer)
        elif sort is Sort.ENTERPRISES:
            yield from _all(lambda cursor: self.enterprises(viewer, EVERYTHING, LONGEST_PAGE, cursor), "enterprises")
        elif sort is Sort.DEVICES:
            yield from _all(lambda cursor: self.devices(viewer, None, LONGEST_PAGE, cursor), "devices")
        else:
            query, decoder = ("all_zones", _zone) if sort is Sort.ZONES else ("all_contacts", _contact)
            # Read to its end at once: who takes the file slowly holds no transaction.
            with self._connections.transaction(viewer, within_s=_EXPORT_S) as connection:
                bodies = connection.execute(_Q[query], viewer.parameters()).fetchall()
            for (body,) in bodies:
                yield decoder.decode(body)


def _all(page: Callable[[str], Any], field: str) -> Iterator[Any]:
    """The rows of all pages."""
    cursor, more = "", True
    while more:
        found = page(cursor)
        yield from getattr(found, field)
        cursor = found.next
        more = bool(cursor)


def _narrowed(viewer: Viewer, wanted: Wanted) -> tuple[list[str] | None, list[str] | None]:
    """Codes and districts to look among: the scope itself where it is all of one kind, so that an index leads there."""
    codes = None if wanted.codes is None else list(wanted.codes)
    districts = list(wanted.districts) or None
    if not viewer.sees_all and not viewer.districts:
        codes = [code for code in viewer.enterprises if codes is None or code in codes]
    elif not viewer.sees_all and not viewer.enterprises:
        districts = [code for code in viewer.districts if districts is None or code in districts]
    return codes, districts


def _must_see(connection: Connection, viewer: Viewer, code: str) -> None:
    """Raises NotThere unless the viewer sees the enterprise, or devices under its name."""
    row = {"code": code, **viewer.parameters()}
    if not NAME.match(code) or connection.execute(_Q["is_seen"], row).fetchone() is None:
        raise NotThere("enterprise", code)


def _devices(
    connection: Connection,
    viewer: Viewer,
    enterprise: str | None,
    device: str | None,
    after: tuple[str, ...],
    limit: int,
) -> list[DeviceView]:
    row: dict[str, Any] = {
        "enterprise": enterprise, "device": device, "after_enterprise": after[0], "after_device": after[1],
        "limit": limit, **viewer.parameters(),
    }  # fmt: skip
    return [_device.decode(body) for (body,) in connection.execute(_Q["devices"], row).fetchall()]


def _one_device(connection: Connection, viewer: Viewer, enterprise: str, device: str) -> DeviceView:
    named = NAME.match(enterprise) and NAME.match(device)
    found = _devices(connection, viewer, enterprise, device, ("", ""), 1) if named else []
    if not found:
        raise NotThere("device", f"{enterprise}/{device}")
    return found[0]


def _newest(key: str, sensors: list[str], values: Mapping[int, tuple[float, datetime]]) -> list[Newest]:
    ids = {sensor: id_of(f"{key}/{sensor}") for sensor in sensors}
    return [Newest(sensor, *values[id_]) for sensor, id_ in ids.items() if id_ in values]


def _bounded(limit: int) -> int:
    return max(1, min(limit, LONGEST_PAGE))


def _plain(text: str) -> str:
    """As PostgreSQL can keep it: what has a NUL is found nowhere."""
    return text.replace("\0", "�")


def _like(text: str) -> str:
    escaped = _plain(text).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
