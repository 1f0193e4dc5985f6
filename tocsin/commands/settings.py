"""`tocsin settings`: what a run in this shell would be told, and by whom."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from tocsin.setting_sources import DEFAULT, told
from tocsin.settings import Settings

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command()
def settings(
    data: Annotated[Path | None, typer.Option(help="The data directory; ./tocsin-data where not said.")] = None,
    only_set: Annotated[bool, typer.Option("--set", help="Leave out those that have their default.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Show every setting with its value and its source: argument, environment, file of secrets or default.

    They are those that a Tocsin started from this shell would have. Secrets are masked.

    For example: `tocsin settings --set`
    """
    found = told(Settings.told(data=data), {"data": data}, os.environ)
    rows = [one for one in found.settings if not (only_set and one.source == DEFAULT)]
    if json:
        shape = {"settings": rows, "not_known": found.not_known}
        print(msgspec.json.format(msgspec.json.encode(shape)).decode())  # noqa: T201  the answer itself
        return
    table = Table(box=None)
    for column in ("setting", "value", "source"):
        table.add_column(column, overflow="fold")
    for one in rows:
        where = f" {one.where}" if one.where and one.where != one.name else ""
        table.add_row(one.name, one.value or "–", f"{one.source}{where}", style="dim" if one.source == DEFAULT else "")
    out = Console(highlight=False)
    out.print(table)
    for name, meant in found.not_known.items():
        words = f": did you mean {meant}?" if meant else ""
        out.print(f"{name} is no setting{words}", style="yellow", markup=False)
