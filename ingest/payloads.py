"""What devices sent, for the people who connect them: newest values, what was refused and why, who is silent; replay.

Each question takes its viewer, and answers within what the viewer sees. Values are the store's: of a message that was
admitted nothing raw is kept (`schemas.payloads`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from database.connections import Connection, Connections
from ingest.mending import check_mend
from ingest.payload_rows import Stored, detail_of, line_of, refused_of, sensors_of, silent_of, us_of, value_of
from ingest.quarantine import Name
from ingest.store_sessions import named_queries
from schemas.errors import ConfigError, TocsinError
from schemas.identity import NAME, id_of
from schemas.payloads import (
    DeviceNow,
    DevicesPage,
    Mend,
    RefusedDetail,
    RefusedMessage,
    RefusedPage,
    ReplayAsked,
    SilentDevice,
    SilentPage,
)
from schemas.viewers import Act, Viewer

_Q = named_queries("payloads.sql")
_NO_MEND = Mend()
_NOT_KNOWN: tuple[Any, ...] = ([], None, False, "", "", "", False)
"""A row of `device` where there is none."""
LONGEST_PAGE = 500
MOST_REPLAYED = 100_000
"""Messages that one request asks for; the rest is for the next."""
_REPLAY_S = 60.0
"""So many are marked within some seconds; a person has asked for them once."""
MOST_VALUES = 200
"""Sensors of one device whose values are looked up."""

Newest = Callable[[Sequence[int]], Mapping[int, Stored]]
"""Sensor ids → their newest stored readings, up to the second; raises ServiceAway."""
Audit = Callable[[Connection, Viewer, str, str, str], None]
"""Writes down within the transaction what was done: viewer, act, subject, enterprise."""


class UnknownMessage(TocsinError):
    """There is no such message in quarantine, as far as this viewer sees."""


class UnknownDevice(TocsinError):
    """Nothing is known of such a device, as far as this viewer sees."""


@dataclass(frozen=True, slots=True)
class WantedRefusals:
    """Which refused messages; empty: any."""

    enterprise: str = ""
    device: str = ""
    code: str = ""
    """One of `schemas.rejects.Code`."""
    field: str = ""
    waiting: bool | None = True
    """Not replayed yet; None: all of them."""
    since_us: int = 0
    until_us: int = 0
    """Arrivals from since_us on, before until_us; 0: no end."""

    def parameters(self) -> dict[str, Any]:
        for name in (self.enterprise, self.device, self.code, self.field):
            if "\0" in name:
                raise ConfigError("it holds a character that no name has.", field="enterprise")
        like = [{key: said for key, said in (("code", self.code), ("field", self.field)) if said}]
        return {
            "enterprise": self.enterprise,
            "device": self.device,
            "rejects": msgspec.json.encode(like).decode() if like[0] else None,
            "waiting": self.waiting,
            "since_us": self.since_us,
            "until_us": self.until_us or (1 << 63) - 1,
        }


class Payloads:
    """Thread-safe. Every method but `close` raises ServiceAway when PostgreSQL is away, NotAllowed what is not the
    viewer's to do.

    newest: how stored values are looked up; None: by the table `last_values`, some minutes behind.  audit: writes acts
    down.  clock: µs since 1970.
    """

    def __init__(
        self,
        dsn: str,
        newest: Newest | None = None,
        *,
        audit: Audit | None = None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._connections = Connections(dsn, "tocsin payloads")
        self._newest = newest
        self._audit = audit
        self._clock = clock

    def close(self) -> None:
        self._connections.close()

    def last(self, viewer: Viewer, enterprise: str, device: str) -> DeviceNow:
        """A device's newest values, its last refused message, and its silence. Raises UnknownDevice."""
        viewer.must(Act.SEE_DEVICES)
        if not (NAME.match(enterprise) and NAME.match(device)):
            raise UnknownDevice(f"there is no device {enterprise!r}/{device!r}.")
        asked = {**viewer.parameters(), "enterprise": enterprise, "device": device}
        with self._connections.transaction(viewer) as connection:
            known = connection.execute(_Q["device"], asked).fetchone()
            refused = connection.execute(_Q["last_refused"], asked).fetchone()
            silent = connection.execute(_Q["silent_device"], asked).fetchone()
            waiting = connection.execute(_Q["count_waiting"], asked).fetchone()
            if known is None and refused is None:
                raise UnknownDevice(
                    f"nothing has been heard of {enterprise}/{device}, and it is not in the registry.",
                    mend="Check its topics, or add it with `tocsin devices add`.",
                )
            sensors, heard_at, is_registered, name, name_en, zone, out_of_service = known or _NOT_KNOWN
            ids = {sensor: id_of(f"{enterprise}/{device}/{sensor}") for sensor in sensors[:MOST_VALUES]}
            stored = self._look_up(connection, list(ids.values()))
        now_us = self._clock()
        return DeviceNow(
            enterprise, device, is_registered, name, name_en, zone, out_of_service, us_of(heard_at),
            [value_of(sensor, stored.get(number), now_us) for sensor, number in ids.items()],
            int(waiting[0]) if waiting else 0,
            detail_of(refused) if refused else None,
            silent_of(silent) if silent else None,
        )  # fmt: skip

    def devices(
        self,
        viewer: Viewer,
        *,
        enterprise: str = "",
        text: str = "",
        registered: bool | None = None,
        limit: int = 100,
        cursor: str = "",
    ) -> DevicesPage:
        """Devices of the registry and others that were heard, by name. text: stands in the device's name."""
        viewer.must(Act.SEE_DEVICES)
        limit = max(1, min(limit, LONGEST_PAGE))
        after_enterprise, after_device = _read_device(cursor) if cursor else ("", "")
        asked = {
            **viewer.parameters(), "enterprise": enterprise, "text": text, "registered": registered,
            "limit": limit + 1, "after_enterprise": after_enterprise, "after_device": after_device,
        }  # fmt: skip
        with self._connections.transaction(viewer) as connection:
            found = connection.execute(_Q["devices"], asked).fetchall()
            page = found[:limit]
            of_id = {id_of(f"{row[0]}/{row[1]}/{sensor}"): row[:2] for row in page for sensor in sensors_of(row)}
            newest: dict[tuple[str, str], int] = {}
            # Of a whole page the saved values will do: they are for who looks over many.
            for number, reading in self._saved(connection, list(of_id)).items():
                newest[of_id[number]] = max(newest.get(of_id[number], 0), reading.event_us)
        lines = [line_of(row, newest.get(row[:2], 0)) for row in page]
        return DevicesPage(lines, f"{lines[-1].enterprise}/{lines[-1].device}" if len(found) > limit else "")

    def quarantine(
        self, viewer: Viewer, wanted: WantedRefusals | None = None, limit: int = 100, cursor: str = ""
    ) -> RefusedPage:
        """Refused messages, newest first."""
        viewer.must(Act.SEE_DEVICES)
        limit = max(1, min(limit, LONGEST_PAGE))
        before = _read_name(cursor) if cursor else Name((1 << 63) - 1, "")
        asked = {
            **viewer.parameters(), **(wanted or WantedRefusals()).parameters(), "limit": limit + 1,
            "before_us": before.arrival_us, "before_source": before.source,
        }  # fmt: skip
        with self._connections.transaction(viewer) as connection:
            found = [refused_of(row) for row in connection.execute(_Q["list"], asked).fetchall()]
        page = found[:limit]
        return RefusedPage(page, name_text(page[-1]) if len(found) > limit else "")

    def show(self, viewer: Viewer, arrival_us: int, source: str = "") -> RefusedDetail:
        """A refused message with its payload. Raises UnknownMessage."""
        viewer.must(Act.SEE_DEVICES)
        asked = {**viewer.parameters(), "arrival_us": _int64(arrival_us), "source": source}
        with self._connections.transaction(viewer) as connection:
            row = connection.execute(_Q["show"], asked).fetchone()
        if row is None:
            raise UnknownMessage(f"there is no refused message {arrival_us}.", mend="See `tocsin quarantine list`.")
        return detail_of(row)

    def replay(self, viewer: Viewer, wanted: WantedRefusals | Sequence[Name], mend: Mend = _NO_MEND) -> ReplayAsked:
        """Ask for refused messages to be admitted again, all that are wanted or those named; returns how many.

        mend: what their payloads meant. Whoever writes the log tries within a second or so; what is refused again
        stays, with its new reasons. Those of which only the head was kept are left out. Raises ConfigError.
        """
        viewer.must(Act.CONNECT_DEVICES)
        check_mend(mend)
        told = msgspec.json.encode(mend).decode() if mend else None
        asked: dict[str, Any] = {**viewer.parameters(), "by": viewer.name, "mend": told}
        if isinstance(wanted, WantedRefusals):
            asked |= replace(wanted, waiting=True).parameters() | {"limit": MOST_REPLAYED}
            query = _Q["ask_wanted"]
        else:
            names = [(one.arrival_us, one.source) for one in wanted][:MOST_REPLAYED]
            asked |= {"arrivals": [_int64(us) for us, _ in names], "sources": [source for _, source in names]}
            query = _Q["ask_named"]
        with self._connections.transaction(viewer, within_s=_REPLAY_S) as connection:
            of_each = connection.execute(query, asked).fetchall()
            if self._audit is not None:
                for enterprise, count in of_each:
                    self._audit(connection, viewer, "replay", f"{count} refused messages", enterprise)
        return ReplayAsked(sum(int(count) for _, count in of_each))

    def asked(self, viewer: Viewer) -> int:
        """How many messages have been asked for and not been tried yet."""
        viewer.must(Act.SEE_DEVICES)
        with self._connections.transaction(viewer) as connection:
            row = connection.execute(_Q["asked"], viewer.parameters()).fetchone()
        return int(row[0]) if row else 0

    def silent(self, viewer: Viewer, *, enterprise: str = "", limit: int = 100, cursor: str = "") -> SilentPage:
        """Devices whose silence is an open alarm, worst first."""
        viewer.must(Act.SEE_DEVICES)
        limit = max(1, min(limit, LONGEST_PAGE))
        grade, raised_us, key = _read_silent(cursor) if cursor else (9, 0, "")
        asked = {
            **viewer.parameters(), "enterprise": enterprise, "limit": limit + 1, "at_grade": grade,
            "at_us": raised_us, "at_key": key,
        }  # fmt: skip
        with self._connections.transaction(viewer) as connection:
            found = [silent_of(row) for row in connection.execute(_Q["silent"], asked).fetchall()]
        page = found[:limit]
        return SilentPage(page, _silent_text(page[-1]) if len(found) > limit else "")

    def _look_up(self, connection: Connection, ids: Sequence[int]) -> Mapping[int, Stored]:
        return self._newest(ids) if self._newest is not None and ids else self._saved(connection, ids)

    @staticmethod
    def _saved(connection: Connection, ids: Sequence[int]) -> dict[int, Stored]:
        found = connection.execute(_Q["last_values"], {"ids": list(ids)}).fetchall() if ids else []
        return {number: Stored(us_of(at), value, quality) for number, at, value, quality in found}


def name_text(message: RefusedMessage) -> str:
    """How a message is named in an address or a command: its arrival, and behind a colon the door that took it."""
    return f"{message.arrival_us}:{message.source}" if message.source else str(message.arrival_us)


def read_name(text: str) -> Name:
    """Raises ConfigError when `text` is not such a name."""
    return _read_name(text, "message", "See `tocsin quarantine list`.")


def _read_name(text: str, field: str = "cursor", mend: str = "Take `next` of the page before.") -> Name:
    arrival, _, source = text.partition(":")
    if not (arrival.isdecimal() and arrival.isascii() and len(arrival) < 19) or "\0" in source:
        raise ConfigError(f"{text[:40]!r} names no message.", field=field, mend=mend)
    return Name(int(arrival), source)


def _read_device(text: str) -> tuple[str, str]:
    enterprise, slash, device = text.partition("/")
    if not (slash and NAME.match(enterprise) and NAME.match(device)):
        raise ConfigError(f"{text[:40]!r} is no cursor.", field="cursor", mend="Take `next` of the page before.")
    return enterprise, device


def _read_silent(text: str) -> tuple[int, int, str]:
    grade, _, rest = text.partition(".")
    since, _, key = rest.partition(".")
    if not (grade.isdecimal() and since.isdecimal() and len(grade) == 1 and len(since) < 19 and key.isalnum()):
        raise ConfigError(f"{text[:40]!r} is no cursor.", field="cursor", mend="Take `next` of the page before.")
    return int(grade), int(since), key


def _silent_text(one: SilentDevice) -> str:
    return f"{int(one.grade)}.{one.raised_us}.{one.alarm}"


def _int64(number: int) -> int:
    return number if -(1 << 63) <= number < 1 << 63 else -1
