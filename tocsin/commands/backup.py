"""`tocsin backup`: all that a house has in PostgreSQL, in one file, while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tocsin.settings import connect_dsn

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where it is written; must not be there.")],
    readings: Annotated[
        bool, typer.Option("--readings/--no-readings", help="Stored readings, too: as large as the store.")
    ] = False,
    data: Annotated[Path | None, typer.Option(help="The data directory of the Tocsin that is meant.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Write a backup while Tocsin runs: alarms, people, registry, checkpoints, the log. `tocsin restore` reads it.

    Stored readings are left out but with --readings: the last day of them comes back from the log.

    For example: `tocsin backup /var/backups/tocsin-2026-12-01.dump`
    """
    from tocsin.backups import make_backup  # noqa: PLC0415  not needed for --help

    made = make_backup(connect_dsn(data), file, readings=readings)
    if json:
        typer.echo(msgspec.json.encode(made).decode())
        return
    typer.echo(f"{made.file}: {made.bytes / 1e6:.1f} MB" + (", with readings" if readings else ", without readings"))
    typer.echo(", ".join(f"{count} {table}" for table, count in made.rows.items()))
