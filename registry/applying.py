"""Takes files that were read (`registry.importing`) into the registry: all of them in one transaction, or nothing.

Rows are staged in a table, so that a hundred thousand need no memory and few statements. A dry run does all that an
import does and takes it back, so it says what the import would say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import psycopg

from database.connections import Connection
from registry.columns import Sort
from registry.errors import shorten
from registry.importing import Row, RowProblem, Table, in_order
from registry.logins import digest_of, new_secret
from registry.sql import load_queries
from registry.store import partitions
from schemas.entries import DeviceFacts, encode
from schemas.identity import id_of, partition_of
from schemas.viewers import Act, NotAllowed, Viewer

MOST_PROBLEMS = 10_000
"""So many are kept; the others are counted."""
_STEP = 2_000
_LARGE = 500
"""Behind an import of so many rows PostgreSQL looks at once how many there are now, not in its next half minute."""

Progress = Callable[[str, int, int], None]
"""file, rows read, rows in all (roughly)."""


def no_progress(file: str, done: int, about: int) -> None:
    """For who does not watch."""


_Q = load_queries()
_WHAT = {
    Sort.DISTRICTS: "district", Sort.ENTERPRISES: "enterprise", Sort.ZONES: "zone", Sort.CONTACTS: "contact",
    Sort.DEVICES: "device",
}  # fmt: skip
_DEFAULTS: dict[Sort, dict[str, Any]] = {
    Sort.DISTRICTS: {"name_en": ""},
    Sort.ENTERPRISES: {
        "name_en": "", "address": "", "address_en": "", "longitude": None, "latitude": None, "hours": "",
        "timezone": "Asia/Shanghai", "area_m2": None, "built": None, "wired": None, "open_flame": None,
        "flammables": None, "people": None,
    },
    Sort.ZONES: {"name_en": "", "floor": ""},
    Sort.CONTACTS: {
        "duty": "", "phone": "", "channels": ["sms"], "language": "zh", "hours": "", "least": "orange", "id": 0,
    },
    Sort.DEVICES: {
        "zone": "", "name": "", "name_en": "", "rated_current_a": None, "period_s": None, "supply": None,
        "heat_class": None, "trade": None, "profiles": [], "out_of_service": False,
        "gateway": None,
    },
}  # fmt: skip
"""What a new row has where its file has no such column."""

_IS_KNOWN = ("unknown_enterprises", "enterprise", "Import the enterprises first, or in one go.")
_KNOWN: dict[Sort, tuple[tuple[str, str, str], ...]] = {
    Sort.DISTRICTS: (),
    Sort.ENTERPRISES: (("unknown_districts", "district", "Import the districts first, or in one go."),),
    Sort.ZONES: (_IS_KNOWN,),
    Sort.CONTACTS: (_IS_KNOWN,),
    Sort.DEVICES: (_IS_KNOWN, ("unknown_zones", "zone", "Import the zones first, or leave it empty.")),
}
"""What a row names must be there: the query, the field, and the way on."""

_facts = msgspec.json.Decoder(DeviceFacts)


class FileReport(msgspec.Struct):
    file: str
    kind: str
    encoding: str
    delimiter: str
    notes: list[str]
    rows: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: int = 0


class Report(msgspec.Struct):
    """What an import did, or would do.  imported: False after a dry run, and when bad rows held it up."""

    dry_run: bool
    imported: bool = False
    files: list[FileReport] = []
    wrong: int = 0
    """Problems in all."""
    problems: list[RowProblem] = []
    """The first `MOST_PROBLEMS` of them."""

    def add(self, problems: Sequence[RowProblem]) -> None:
        self.wrong += len(problems)
        self.problems.extend(problems[: max(0, MOST_PROBLEMS - len(self.problems))])


class NewLogin(msgspec.Struct, frozen=True):
    username: str
    password: str


def apply(
    connection: Connection,
    viewer: Viewer,
    tables: Sequence[Table],
    *,
    dry_run: bool = False,
    skip_bad: bool = False,
    logins: bool = False,
    progress: Progress = no_progress,
) -> tuple[Report, list[NewLogin]]:
    """Import all tables, or none of them; of two rows with one key in several files the last counts.

    skip_bad: take the good rows although there are bad ones.  logins: make one for every new device; returned, and kept
    nowhere. Raises NotAllowed for who does not see everything.
    """
    viewer.must(Act.CHANGE_REGISTRY)
    if not viewer.sees_all:
        raise NotAllowed(viewer, Act.CHANGE_REGISTRY)
    report, made = Report(dry_run), list[NewLogin]()
    with connection.transaction() as transaction:
        staged = _stage(connection, in_order(tables), report, progress)
        if not dry_run:
            connection.execute(_Q["lock_registry"])
        for number, (table, said) in enumerate(staged):
            made += _take(connection, viewer, number, table, report, said, logins)
        report.imported = not dry_run and (skip_bad or not report.wrong)
        if not report.imported:
            raise psycopg.Rollback(transaction)
        if sum(said.added + said.changed for said in report.files) >= _LARGE:
            # Every alarm asks for its place and its people, by plans that were made when there were a few of them.
            connection.execute(_Q["analyze"])
    return report, made if report.imported else []


def _stage(
    connection: Connection, tables: Sequence[Table], report: Report, progress: Progress
) -> list[tuple[Table, FileReport]]:
    """Read all tables into `staged`, and their bad rows into the report. Nobody has to wait meanwhile."""
    connection.execute(_Q["stage"])
    for tab, table in enumerate(tables):
        said = FileReport(table.file, table.kind.sort.value, table.encoding, table.delimiter, table.notes)
        report.files.append(said)
        fields = tuple(dict.fromkeys((*table.kind.key, *table.given)))
        with connection.cursor() as cursor, cursor.copy(_Q["stage_rows"]) as copy:
            for row in table.rows():
                said.rows += 1
                if row.value is None:
                    said.refused += 1
                    report.add(row.problems)
                else:
                    copy.write_row((tab, *_staged(table.kind.sort, row, fields)))
                if said.rows % _STEP == 0:
                    progress(table.file, said.rows, table.about)
        progress(table.file, said.rows, said.rows)
    connection.execute(_Q["stage_is_read"])
    return list(zip(tables, report.files, strict=True))


def _take(
    connection: Connection, viewer: Viewer, tab: int, table: Table, report: Report, said: FileReport, logins: bool
) -> list[NewLogin]:
    """Compare what is staged of one table with what there is, and write it."""
    sort = table.kind.sort
    for query, field, mend in _KNOWN[sort]:
        unknown = connection.execute(_Q[query], {"tab": tab}).fetchall()
        report.add([table.problem(row, field, f"there is no {field} {shorten(key)}.", mend) for row, key in unknown])
        connection.execute(_Q["unstage"], {"tab": tab, "numbers": [row for row, _ in unknown]})
        said.refused += len(unknown)
    connection.execute(_Q["clear_merged"])
    defaults = msgspec.json.encode(_DEFAULTS[sort]).decode()
    connection.execute(_Q[f"merge_{sort}"], {"tab": tab, "defaults": defaults})
    counted = connection.execute(_Q["count_merged"]).fetchone()
    assert counted is not None
    said.added, said.changed, said.unchanged = counted
    connection.execute(_Q[f"apply_{sort}"])
    if sort is Sort.CONTACTS:
        connection.execute(_Q["number_merged"])
    connection.execute(_Q["keep_merged"], {"who": viewer.name, "what": _WHAT[sort]})
    if sort is Sort.ENTERPRISES:
        _tell_engine(connection, connection.execute(_Q["follow_trades"]).fetchall())
    if sort is Sort.DEVICES:
        _tell_engine(connection, connection.execute(_Q["changed_facts"]).fetchall())
    return _make_logins(connection, viewer) if logins and sort is Sort.DEVICES else []


def _staged(sort: Sort, row: Row, fields: Sequence[str]) -> tuple[int, str, str, int, str]:
    value = row.value
    body = msgspec.json.encode({field: getattr(value, field) for field in fields}).decode()
    if sort is Sort.DISTRICTS:
        return row.number, "", value.code, 0, body
    if sort is Sort.ENTERPRISES:
        return row.number, value.code, value.code, 0, body
    if sort is Sort.ZONES:
        return row.number, value.enterprise, value.zone, 0, body
    if sort is Sort.CONTACTS:
        return row.number, value.enterprise, str(value.order), 0, body
    return row.number, value.enterprise, value.device, id_of(f"{value.enterprise}/{value.device}"), body


def _tell_engine(connection: Connection, bodies: Sequence[tuple[str]]) -> None:
    if not bodies:
        return
    count = partitions(connection)
    with connection.cursor() as cursor, cursor.copy(_Q["tell_engine"]) as copy:
        for (body,) in bodies:
            facts = _facts.decode(body)
            copy.write_row((encode(facts), partition_of(facts.enterprise, count)))


def _make_logins(connection: Connection, viewer: Viewer) -> list[NewLogin]:
    """A login for every new device that has none."""
    new = connection.execute(_Q["new_devices"]).fetchall()
    connection.execute(_Q["keep_logins"], {"who": viewer.name})
    made = [(enterprise, device, new_secret()) for enterprise, device in new]
    with connection.cursor() as cursor:
        with cursor.copy(_Q["new_logins"]) as copy:
            for enterprise, device, secret in made:
                copy.write_row((f"{enterprise}/{device}", digest_of(secret.encode())))
        with cursor.copy(_Q["new_grants"]) as copy:
            for enterprise, device, _ in made:
                copy.write_row((f"{enterprise}/{device}", "devices", enterprise, device))
    return [NewLogin(f"{enterprise}/{device}", secret) for enterprise, device, secret in made]
