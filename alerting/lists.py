"""Which alarms stand on a page of a list, quickly, over a million that have ended.

PostgreSQL finds a page by walking an index in the list's order. It does so for each branch, a state with a grade (and a
kind) that is wanted, and takes the first of all of them. Where few enterprises are meant, by the viewer's scope or by
what is looked for, their alarms are fetched and sorted instead, since a walk would pass most others by. What is asked
for is planned afresh each time: the best way depends on it.
"""

# ruff: noqa: S608  what is put together here are constants of this file
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, LiteralString

from alerting.database import Connection
from alerting.views import Place
from schemas.alarms import Grade, Kind
from schemas.viewers import Viewer

FEW = 300
"""So many enterprises, with some ten thousand ended alarms in all, are sorted in ten milliseconds."""
_EVER_US = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which alarms, in which order. None or empty means all."""

    open: bool | None = True
    grades: Sequence[Grade] | None = None
    kinds: Sequence[Kind] | None = None
    enterprises: Sequence[str] | None = None
    districts: Sequence[str] | None = None
    device: str = ""
    acknowledged: bool | None = None
    assigned_to: str = ""
    verdict: str = ""
    text: str = ""
    """In code, names and address of the enterprise; of open alarms in codes and names of zone and device, too."""
    since_us: int | None = None
    """Raised at or after."""
    until_us: int | None = None
    """Raised before."""
    hidden: bool = True
    """Those too that are suppressed by design: the effects of another."""
    order: Literal["worst", "newest"] = "worst"
    """worst: open before ended, worst first, newest first."""


_IN_ENTERPRISE: LiteralString = """
    concat_ws(' ', e.code, e.name, e.name_en, e.address, e.address_en) ILIKE %(like)s
"""
_IN_SCOPE: LiteralString = """
    (%(sees_all)s OR e.code = ANY (%(sees_enterprises)s) OR e.district = ANY (%(sees_districts)s))
"""
"""`tocsin_sees`, where the district is at hand."""

_FEW: LiteralString = f"""
    SELECT e.code FROM enterprises e
    WHERE {_IN_SCOPE} AND (%(districts)s::text[] IS NULL OR e.district = ANY (%(districts)s))
      AND (%(like)s::text IS NULL OR {_IN_ENTERPRISE})
    LIMIT %(few)s
"""
"""Enterprises that may have what is looked for."""

_FILTER: LiteralString = """
        tocsin_sees(a.enterprise, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)
    AND (%(sees_all)s OR a.enterprise = ANY (%(sees_enterprises)s)
         OR a.enterprise IN (SELECT e.code FROM enterprises e WHERE e.district = ANY (%(sees_districts)s)))
    AND a.raised_us >= %(since_us)s AND a.raised_us < %(until_us)s
    AND (%(districts)s::text[] IS NULL
         OR a.enterprise IN (SELECT e.code FROM enterprises e WHERE e.district = ANY (%(districts)s)))
    AND (%(device)s = '' OR a.device = %(device)s)
    AND (%(acknowledged)s::boolean IS NULL OR a.acknowledged = %(acknowledged)s)
    AND (%(assigned_to)s = '' OR a.assigned_to = %(assigned_to)s)
    AND (%(verdict)s = '' OR a.turned_out = %(verdict)s)
    AND (%(hidden)s OR a.suppression <> 'suppressed_by_design')
"""
"""The second condition says what the first does, by one look at the registry for all alarms."""
_WITH_TEXT: LiteralString = f"""
    AND (%(like)s::text IS NULL OR a.enterprise ILIKE %(like)s
         OR (SELECT {_IN_ENTERPRISE} FROM enterprises e WHERE e.code = a.enterprise)
         OR (%(in_devices)s AND (a.device ILIKE %(like)s OR (
                SELECT concat_ws(' ', d.name, d.name_en, z.zone, z.name, z.name_en) ILIKE %(like)s FROM devices d
                LEFT JOIN zones z ON z.enterprise = d.enterprise AND z.zone = d.zone
                WHERE d.enterprise = a.enterprise AND d.device = a.device))))
"""

_BRANCHES: LiteralString = """
    (SELECT o, g FROM unnest(%(opens)s::boolean[]) AS o, unnest(%(grades)s::smallint[]) AS g
     WHERE %(at_open)s::boolean IS NULL OR %(newest)s OR (o, g) <= (%(at_open)s, %(at_grade)s)
     ORDER BY o DESC, g DESC) AS b
"""
_BRANCHES_OF_KINDS: LiteralString = """
    (SELECT o, g, k FROM unnest(%(opens)s::boolean[]) AS o, unnest(%(grades)s::smallint[]) AS g,
            unnest(%(kinds)s::text[]) AS k
     WHERE %(at_open)s::boolean IS NULL OR %(newest)s OR (o, g) <= (%(at_open)s, %(at_grade)s)
     ORDER BY o DESC, g DESC) AS b
"""
_AFTER_IN_BRANCH: LiteralString = """
    (%(at_open)s::boolean IS NULL
     OR (a.raised_us, a.key) < (CASE WHEN %(newest)s OR (b.o, b.g) = (%(at_open)s, %(at_grade)s)
                                THEN %(at_raised_us)s::bigint ELSE %(ever_us)s::bigint END, %(at_key)s))
"""
_WALK_BRANCHES: LiteralString = f"""
    CROSS JOIN LATERAL (
        SELECT a.key, a.raised_us FROM alarms a WHERE a.open = b.o AND a.grade = b.g
            AND {_AFTER_IN_BRANCH} AND {_FILTER} {_WITH_TEXT}
        ORDER BY a.raised_us DESC, a.key DESC LIMIT %(limit)s) AS a
"""
_WALK_BRANCHES_OF_KINDS: LiteralString = f"""
    CROSS JOIN LATERAL (
        SELECT a.key, a.raised_us FROM alarms a WHERE a.kind = b.k AND a.open = b.o AND a.grade = b.g
            AND {_AFTER_IN_BRANCH} AND {_FILTER} {_WITH_TEXT}
        ORDER BY a.raised_us DESC, a.key DESC LIMIT %(limit)s) AS a
"""
_BY_WORST: LiteralString = "ORDER BY b.o DESC, b.g DESC, a.raised_us DESC, a.key DESC LIMIT %(limit)s"
_BY_NEWEST: LiteralString = "ORDER BY a.raised_us DESC, a.key DESC LIMIT %(limit)s"

_OF_FEW: LiteralString = f"""
    SELECT a.key FROM alarms a
    WHERE a.enterprise = ANY (%(few_codes)s) AND a.open = ANY (%(opens)s::boolean[])
      AND a.grade = ANY (%(grades)s::smallint[]) AND (%(kinds)s::text[] IS NULL OR a.kind = ANY (%(kinds)s))
      AND {_FILTER} {_WITH_TEXT}
"""

_QUERIES: dict[tuple[str, str], LiteralString] = {
    ("worst", "all"): f"SELECT a.key FROM {_BRANCHES} {_WALK_BRANCHES} {_BY_WORST}",
    ("worst", "kinds"): f"SELECT a.key FROM {_BRANCHES_OF_KINDS} {_WALK_BRANCHES_OF_KINDS} {_BY_WORST}",
    ("worst", "few"): f"""{_OF_FEW} AND (%(at_open)s::boolean IS NULL OR
        (a.open, a.grade, a.raised_us, a.key) < (%(at_open)s, %(at_grade)s, %(at_raised_us)s, %(at_key)s))
        ORDER BY a.open DESC, a.grade DESC, a.raised_us DESC, a.key DESC LIMIT %(limit)s""",
    ("newest", "all"): f"SELECT a.key FROM {_BRANCHES} {_WALK_BRANCHES} {_BY_NEWEST}",
    ("newest", "kinds"): f"SELECT a.key FROM {_BRANCHES_OF_KINDS} {_WALK_BRANCHES_OF_KINDS} {_BY_NEWEST}",
    ("newest", "few"): f"""{_OF_FEW} AND (%(at_open)s::boolean IS NULL OR
        (a.raised_us, a.key) < (%(at_raised_us)s, %(at_key)s)) {_BY_NEWEST}""",
}


def keys_of(connection: Connection, viewer: Viewer, wanted: Wanted, limit: int, after: Place | None) -> list[str]:
    """Keys of the first `limit` alarms after a place, in the list's order."""
    row = _parameters(viewer, wanted, limit, after)
    row["few_codes"] = codes = _few(connection, viewer, wanted, row)
    way = "few" if codes is not None else "all" if wanted.kinds is None else "kinds"
    rows = connection.execute(_QUERIES[wanted.order, way], row, prepare=False).fetchall()
    return [key for (key,) in rows]


def _few(connection: Connection, viewer: Viewer, wanted: Wanted, row: dict[str, Any]) -> list[str] | None:
    """The enterprises that may have such alarms, None when they are many or it does not matter.

    What they were looked for by is taken out of `row`.
    """
    if wanted.enterprises is not None:
        return list(wanted.enterprises)
    if not viewer.sees_all and not viewer.districts:
        return list(viewer.enterprises)
    if wanted.open or (viewer.sees_all and not wanted.districts and not wanted.text):
        return None
    found = connection.execute(_FEW, row, prepare=False).fetchall()
    if len(found) > FEW:
        return None
    # The registry does not know every enterprise that has alarms.
    row["like"] = None
    return sorted({code for (code,) in found} | ({wanted.text} if wanted.text else set(viewer.enterprises)))


def _parameters(viewer: Viewer, wanted: Wanted, limit: int, after: Place | None) -> dict[str, Any]:
    escaped = wanted.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return viewer.parameters() | {
        "opens": [True, False] if wanted.open is None else [wanted.open],
        "grades": [int(grade) for grade in (Grade if wanted.grades is None else wanted.grades)],
        "kinds": None if wanted.kinds is None else [kind.value for kind in wanted.kinds],
        "districts": None if wanted.districts is None else list(wanted.districts),
        "device": wanted.device,
        "hidden": wanted.hidden,
        "acknowledged": wanted.acknowledged,
        "assigned_to": wanted.assigned_to,
        "verdict": wanted.verdict,
        "like": f"%{escaped}%" if wanted.text else None,
        "in_devices": wanted.open is True,
        "since_us": -_EVER_US if wanted.since_us is None else wanted.since_us,
        "until_us": _EVER_US if wanted.until_us is None else wanted.until_us,
        "newest": wanted.order == "newest",
        "at_open": after and after.open,
        "at_grade": after and after.grade,
        "at_raised_us": after and after.raised_us,
        "at_key": after and after.key,
        "ever_us": _EVER_US,
        "few": FEW + 1,
        "limit": limit,
    }
