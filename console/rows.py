"""What the list of open alarms in a browser is given: rows of a snapshot once, then what changed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from alerting.views import WatchedAlarm
from console.telling import Telling
from console.words import Words

Row = dict[str, Any]
UNIT_WORDS = {"Cel": " °C", "Cel/min": " °C/min", "%EL": " %LEL", "%": " %", "flag": "", "1": ""}
"""How units of the wire are written behind a number; others as they are, behind a space."""


def row_of(alarm: WatchedAlarm) -> Row:
    """Everything of the alarm, and how its unit is written."""
    row: Row = msgspec.to_builtins(alarm)
    row["unit_word"] = unit_word(alarm.unit)
    return row


def unit_word(unit: str) -> str:
    return UNIT_WORDS.get(unit, f" {unit}" if unit else "")


@dataclass(frozen=True, slots=True)
class Rows:
    """Those of one snapshot, numbered: a browser that has `number` needs the next change only."""

    number: int
    rows: Mapping[str, Row]
    """By key, worst first."""
    total: int
    grades: Mapping[str, int]
    quiet_since_us: int | None
    """Since when nothing is open, as far as is known; None while something is."""

    def whole(self) -> Telling:
        """For a browser that has nothing yet, or has missed something."""
        return Telling(whole=True, rows=list(self.rows.values()), **self._rest())

    def change_from(self, before: Rows) -> Telling:
        """For a browser that has `before`."""
        changed = [row for key, row in self.rows.items() if before.rows.get(key) != row]
        gone = [key for key in before.rows if key not in self.rows]
        return Telling(whole=False, rows=changed, gone=gone, **self._rest())

    def _rest(self) -> dict[str, Any]:
        quiet = None if self.quiet_since_us is None else self.quiet_since_us / 1000
        return {"number": self.number, "total": self.total, "grades": dict(self.grades), "quiet_since": quiet}


def rows_of(
    alarms: Sequence[WatchedAlarm], *, total: int, grades: Mapping[str, int], as_of_us: int, before: Rows | None
) -> Rows:
    """The next after `before`."""
    quiet = None
    if not total:
        known = before.quiet_since_us if before is not None else None
        quiet = as_of_us if known is None else known
    number = 1 if before is None else before.number + 1
    return Rows(number, {alarm.key: row_of(alarm) for alarm in alarms}, total, grades, quiet)


def ringing(rows: Rows | None) -> frozenset[str]:
    """The same by their ids alone."""
    return frozenset() if rows is None else frozenset(map(_ring, filter(_rings, rows.rows.values())))


def unseen_reds(rows: Rows, words: Words) -> list[dict[str, str]]:
    """Reds that nobody has acknowledged: id for this raising, and what it is, to be said aloud."""
    return [{"id": _ring(row), "what": spoken(row, words)} for row in rows.rows.values() if _rings(row)]


def _rings(row: Row) -> bool:
    return row["grade"] == "red" and not row["acknowledged"] and row["suppression"] == "none"


def _ring(row: Row) -> str:
    return f"{row['key']}/{row['raised_step']}"


def spoken(row: Row, words: Words) -> str:
    """Kind and place in one breath."""
    enterprise = words.name(row["enterprise_name"], row["enterprise_name_en"]) or row["enterprise"]
    zone = words.name(row["zone_name"], row["zone_name_en"]) or row["device"]
    return f"{words('kind.' + row['kind'])} · {enterprise} · {zone}"
