"""Writes files of the registry that its own import reads back unchanged. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

from registry.columns import KINDS, Sort, written

BOM = "\ufeff"
"""Before the headings, so that spreadsheets read Chinese."""
_ROWS_AT_ONCE = 500


def write_csv(sort: Sort, rows: Iterable[Any]) -> Iterator[str]:
    """The file in pieces: headings, then the rows as they come."""
    fields = [column.field for column in KINDS[sort].columns]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    out.write(BOM)
    writer.writerow(fields)
    for number, row in enumerate(rows, 1):
        writer.writerow([written(getattr(row, field)) for field in fields])
        if number % _ROWS_AT_ONCE == 0:
            yield _taken(out)
    yield _taken(out)


def _taken(out: io.StringIO) -> str:
    text = out.getvalue()
    out.seek(0)
    out.truncate()
    return text
