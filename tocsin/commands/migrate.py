"""`tocsin migrate`: bring the database to the shape this version needs."""

from __future__ import annotations

import json as json_text
from pathlib import Path
from typing import Annotated

import typer

from tocsin.data_directory import DataDirectory
from tocsin.migrate import Migration
from tocsin.migrate import migrate as apply
from tocsin.postgres import EmbeddedPostgres, cluster_in, dsn_of_running
from tocsin.settings import Settings

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command()
def migrate(
    data: Annotated[Path | None, typer.Option(help="The data directory; ./tocsin-data where not said.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print what was applied as JSON.")] = False,
) -> None:
    """Apply the migrations that the database lacks. `tocsin up` does the same at its start.

    For example: `tocsin migrate --data /var/lib/tocsin`
    """
    applied = _migrate(Settings.told(data=data))
    if json:
        typer.echo(json_text.dumps([{"version": one.version, "name": one.name} for one in applied]))
        return
    for one in applied:
        typer.echo(f"applied {one.version} {one.name}")
    if not applied:
        typer.echo("nothing to do: the database is current")


def _migrate(settings: Settings) -> list[Migration]:
    """On the user's own server, on the one that runs, or on ours, started for the purpose."""
    running = settings.dsn or dsn_of_running(settings.data)
    if running:
        return apply(running)
    directory = DataDirectory(settings.data)
    directory.claim()
    try:
        with EmbeddedPostgres(cluster_in(settings.data)) as server:
            return apply(server.dsn())
    finally:
        directory.release()
