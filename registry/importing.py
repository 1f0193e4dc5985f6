"""Reads files of the registry, CSV and TOML, and finds everything that is wrong with them, by row and column. Pure.

Nothing is known here of what the registry holds: `registry.applying` asks that. A value in an error is shortened, and
a phone number never stands in one.
"""

from __future__ import annotations

import csv
import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from registry.columns import KINDS, BadCell, Column, Kind, Sort, column_of, kind_of
from registry.errors import Problem, shorten
from schemas.errors import ConfigError

DELIMITERS = (",", ";", "\t")
LONGEST_CELL = 10_000
LARGEST_FILE = 64 * 1024 * 1024
_ENCODINGS = ((b"\xef\xbb\xbf", "utf-8-sig", "UTF-8 with BOM"), (b"\xff\xfe", "utf-16", "UTF-16"),
              (b"\xfe\xff", "utf-16", "UTF-16"))  # fmt: skip

_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""How files of today's and of older spreadsheets begin."""


class RowProblem(msgspec.Struct, frozen=True):
    """row: as a spreadsheet counts, the headings are row 1; in TOML the n-th of its kind."""

    file: str
    row: int
    column: str
    """As it is called in the file; empty: the row as a whole."""
    what: str
    mend: str = ""


class Row(NamedTuple):
    """value: the shape, None when something is wrong."""

    number: int
    value: Any
    problems: list[RowProblem]


class Table:
    """The rows of one kind in one file; read once, row by row."""

    def __init__(
        self, file: str, kind: Kind, columns: Sequence[Column | None], headings: Sequence[str], rows: Iterator[Any]
    ) -> None:
        self.file = file
        self.kind = kind
        self.given = tuple(column.field for column in columns if column)
        self.encoding = ""
        self.delimiter = ""
        self.notes: list[str] = []
        self.about = 0
        """Rows, roughly: for a bar that grows."""
        self._columns = columns
        self._headings = {column.field: heading for column, heading in zip(columns, headings, strict=True) if column}
        self._rows = rows

    def rows(self) -> Iterator[Row]:
        """Every row, good or bad. The second of two rows with one key is bad."""
        known: dict[tuple[Any, ...], int] = {}
        for number, cells in self._rows:
            if isinstance(cells, Problem):
                yield Row(number, None, [self._problem(number, cells)])
                continue
            row = self._row(number, cells)
            if row.value is not None:
                key = tuple(getattr(row.value, field) for field in self.kind.key)
                if key in known:
                    said = "/".join(str(part) for part in key)
                    again = Problem(
                        self.kind.key[-1], f"{shorten(said)} stands in row {known[key]} too.", "Leave one out."
                    )
                    row = Row(number, None, [self._problem(number, again)])
                else:
                    known[key] = number
            yield row

    def _row(self, number: int, cells: Sequence[Any]) -> Row:
        values: dict[str, Any] = {}
        problems: list[Problem] = []
        for column, cell in zip(self._columns, cells, strict=False):
            if column is None or cell is None:
                continue
            try:
                if isinstance(cell, str) and len(cell) > LONGEST_CELL:
                    raise BadCell(f"it has {len(cell)} characters.", "Is a quote open before it?")
                values[column.field] = column.read(cell)
            except BadCell as bad:
                problems.append(Problem(column.field, bad.what, bad.mend))
        for column in self.kind.columns:
            if column.needed and column.field not in values and all(p.field != column.field for p in problems):
                problems.append(Problem(column.field, "it is empty.", ""))
        if problems:
            return Row(number, None, [self._problem(number, one) for one in problems])
        made = self.kind.make(**values)
        wrong = self.kind.problems(made)
        return Row(number, None if wrong else made, [self._problem(number, one) for one in wrong])

    def _problem(self, number: int, problem: Problem) -> RowProblem:
        column = self._headings.get(problem.field, problem.field)
        return RowProblem(self.file, number, column, problem.what, problem.mend)

    def problem(self, number: int, field: str, what: str, mend: str) -> RowProblem:
        """Of what is found later about a row of this table."""
        return self._problem(number, Problem(field, what, mend))


def read(file: str, data: bytes, sort: Sort | None = None) -> list[Table]:
    """The tables of a file: one of CSV; of TOML one for each kind. Raises ConfigError when it cannot be read at all.

    file: its name, which says TOML by its end.  sort: what it is about, where its headings do not tell.
    """
    if len(data) > LARGEST_FILE:
        raise _unread(file, f"it has {len(data)} bytes.", f"Divide it: a file may have {LARGEST_FILE}.")
    if data.startswith(_WORKBOOKS):
        raise _unread(file, "it is a workbook of a spreadsheet.", "Save the sheet as CSV, one file for each kind.")
    text, encoding = _decoded(file, data)
    tables = _toml(file, text) if file.lower().endswith(".toml") else [_csv(file, text, sort)]
    for table in tables:
        table.encoding = encoding
    return tables


def in_order(tables: Sequence[Table]) -> list[Table]:
    """As they are taken: what others name goes first."""
    order = list(Sort)
    return sorted(tables, key=lambda table: order.index(table.kind.sort))


def _decoded(file: str, data: bytes) -> tuple[str, str]:
    """The text and the name of its encoding: UTF-8, or else GB 18030, which has GBK and GB 2312 in it."""
    for mark, codec, name in _ENCODINGS:
        if data.startswith(mark):
            try:
                return data.decode(codec), name
            except UnicodeDecodeError as error:
                raise _unread(file, f"it is not {name}, though it says so.", "Save it as UTF-8.") from error
    try:
        return data.decode("utf-8"), "UTF-8"
    except UnicodeDecodeError as error:
        utf_8_until = error.start
    try:
        return data.decode("gb18030"), "GB 18030"
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, max(utf_8_until, error.start)) + 1
        raise _unread(file, f"row {row} is neither UTF-8 nor GB 18030.", "Save it as UTF-8.") from error


def _csv(file: str, text: str, sort: Sort | None) -> Table:
    if "\n" not in text:
        text = text.replace("\r", "\n")
    delimiter = _delimiter(text)
    reader = csv.reader(_lines(text), delimiter=delimiter, strict=True)
    rows = _records(reader)
    headings = next((cells for _, cells in rows if not isinstance(cells, Problem)), None)
    if headings is None:
        raise _unread(file, "it has no headings.", "Its first row names the columns: code, name …")
    headings = [heading.strip() for heading in headings]
    kind = KINDS[sort] if sort else kind_of(headings)
    if kind is None:
        raise _unread(file, "its columns are not those of a file of the registry.", _missing(headings))
    columns = [column_of(kind, heading) for heading in headings]
    _check_headings(file, kind, columns, headings)
    table = Table(file, kind, columns, headings, _checked(rows, len(headings)))
    table.delimiter = {"\t": "tab", ",": "comma", ";": "semicolon"}[delimiter]
    table.about = text.count("\n")
    for heading, column in zip(headings, columns, strict=True):
        if column is None and heading:
            table.notes.append(f"the column {shorten(heading)!r} is not known and is left out{_near(kind, heading)}.")
    return table


def _records(reader: Any) -> Iterator[tuple[int, Any]]:
    """(number, cells), or (number, Problem) where a row cannot be taken apart; rows without a cell are left out."""
    number = 0
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            mend = "Write a quote inside of a cell twice, and quotes around the cell."
            if "unexpected end" in str(error) or "limit" in str(error):
                yield number, Problem("", "a quote is not closed; nothing behind it was read.", mend)
                return
            yield number, Problem("", "there is text behind the quote that ends a cell.", mend)
            continue
        if any(cell.strip() for cell in cells):
            yield number, cells


def _checked(rows: Iterator[tuple[int, Any]], width: int) -> Iterator[tuple[int, Any]]:
    for number, cells in rows:
        if not isinstance(cells, Problem) and any(cell.strip() for cell in cells[width:]):
            what = f"it has {len(cells)} cells, the headings are {width}."
            yield number, Problem("", what, "Put quotes around a cell that has the separator in it.")
        else:
            yield number, cells


def _lines(text: str) -> Iterator[str]:
    """Lines with their ends, without a second copy of the text."""
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


def _delimiter(text: str) -> str:
    """Of the three the one that stands most often in the first line, outside of quotes."""
    first = text.lstrip("\r\n").split("\n", 1)[0]
    outside = "".join(first.split('"')[::2])
    return max(DELIMITERS, key=outside.count)


def _check_headings(file: str, kind: Kind, columns: Sequence[Column | None], headings: Sequence[str]) -> None:
    fields = [column.field for column in columns if column]
    for field in fields:
        if fields.count(field) > 1:
            said = [h for h, column in zip(headings, columns, strict=True) if column and column.field == field]
            raise _unread(file, f"{' and '.join(map(repr, said))} are one column.", "Leave one out.")
    missing = [column for column in kind.columns if column.needed and column.field not in fields]
    if missing:
        names = ", ".join(f"{column.field} ({column.names[0]})" for column in missing)
        raise _unread(file, f"there is no column {names}.", f"A file of {kind.sort} needs it.")


def _toml(file: str, text: str) -> list[Table]:
    try:
        data = tomllib.loads(text)
    except ValueError as error:  # a number of too many digits is none of TOML's own errors
        raise _unread(file, f"{error}.", "See docs/how-to/register-enterprises.md.") from error
    except RecursionError as error:
        raise _unread(file, "its lists lie too deep in each other.", "No column is a list of lists.") from error
    tables = []
    for name, rows in data.items():
        if name not in list(Sort) or not isinstance(rows, list):
            raise _unread(file, f"[[{shorten(name)}]] is not known.", f"Use [[{']], [['.join(Sort)}]].")
        kind = KINDS[Sort(name)]
        if not all(isinstance(row, dict) for row in rows):
            raise _unread(file, f"{name} is not a list of tables.", f"Write [[{name}]] before each.")
        headings = sorted({key for row in rows for key in row})
        columns = [column_of(kind, heading) for heading in headings]
        table = Table(file, kind, columns, headings, _dicts(rows, headings))
        table.about = len(rows)
        table.notes = [
            f"{name}: the key {shorten(heading)!r} is not known and is left out{_near(kind, heading)}."
            for heading, column in zip(headings, columns, strict=True)
            if column is None
        ]
        tables.append(table)
    return tables


def _dicts(rows: Sequence[Mapping[str, Any]], headings: Sequence[str]) -> Iterator[tuple[int, Any]]:
    for number, row in enumerate(rows, 1):
        yield number, [row.get(heading) for heading in headings]


def _near(kind: Kind, heading: str) -> str:
    names = [column.field for column in kind.columns] + [name for column in kind.columns for name in column.names]
    near = difflib.get_close_matches(heading.strip().lower(), names, 1, 0.75)
    return f"; is {near[0]} meant?" if near else ""


def _missing(headings: Sequence[str]) -> str:
    """What the kind that is nearest still needs."""
    nearest = max(KINDS.values(), key=lambda kind: sum(column_of(kind, heading) is not None for heading in headings))
    lacking = [
        column.field
        for column in nearest.columns
        if column.needed and not any(column_of(nearest, heading) is column for heading in headings)
    ]
    return f"A file of {nearest.sort} has {', '.join(lacking)} too." if lacking else "Say with --as what it is about."


def _unread(file: str, what: str, mend: str) -> ConfigError:
    return ConfigError(what, field=shorten(file, 80), mend=mend)
