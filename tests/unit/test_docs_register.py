"""docs/how-to/register-enterprises.md: its example is read, and its table has the columns that there are."""

from __future__ import annotations

import re
from pathlib import Path

from registry.columns import KINDS, Sort, column_of
from registry.importing import read

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "register-enterprises.md").read_text(encoding="utf-8")


def test_the_example_is_read_without_a_problem() -> None:
    """It is what a person copies and changes."""
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
    tables = read("registry.toml", text.encode())
    assert [table.kind.sort for table in tables] == [Sort.DISTRICTS, Sort.ENTERPRISES, Sort.ZONES, Sort.CONTACTS]
    for table in tables:
        assert table.notes == []
        assert [row.problems for row in table.rows()] == [[]]


def test_the_table_names_every_column_and_the_names_it_gives_are_understood() -> None:
    """The needed ones in the second, the others in the third."""
    for kind in KINDS.values():
        (row,) = re.findall(rf"^\| {kind.sort} \|(.*)\|(.*)\|$", PAGE, re.M)
        for cell, needed in zip(row, (True, False), strict=True):
            named = re.findall(r"`(\w+)`(?: ([^`,|]+))?", cell)
            assert [name for name, _ in named] == [c.field for c in kind.columns if c.needed is needed]
            for name, chinese in named:
                column = column_of(kind, name)
                assert column is not None
                assert not chinese.strip() or column_of(kind, chinese) is column
