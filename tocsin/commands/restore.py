"""`tocsin restore`: a backup into a fresh data directory, or into an empty database of yours."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from schemas.errors import ConfigError
from tocsin.data_directory import DataDirectory
from tocsin.settings import Settings

if TYPE_CHECKING:
    from tocsin.backups import Backup

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.")],
    data: Annotated[Path | None, typer.Option(help="A fresh data directory; ./tocsin-data where not said.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print what is there now as JSON.")] = False,
) -> None:
    """Bring a backup into a fresh data directory, or with TOCSIN_DSN into an empty database. Then start Tocsin on it.

    For example: `tocsin restore /var/backups/tocsin-2026-12-01.dump --data /var/lib/tocsin`
    """
    from tocsin import backups  # noqa: PLC0415  not needed for --help

    settings = Settings.told(data=data)
    made = backups.restore(settings.dsn, file) if settings.dsn else _into_directory(settings.data, file)
    if json:
        typer.echo(msgspec.json.encode(made).decode())
        return
    typer.echo(", ".join(f"{count} {table}" for table, count in made.rows.items()))
    typer.echo("Nobody is logged in: sessions, login links and links of messages from before open nothing.")
    typer.echo("Readings are " + ("restored." if made.readings else "taken from the log again once Tocsin runs."))


def _into_directory(data: Path, file: Path) -> Backup:
    from tocsin import backups  # noqa: PLC0415  not needed for --help
    from tocsin.postgres import EmbeddedPostgres, cluster_in  # noqa: PLC0415

    directory = DataDirectory(data)
    directory.claim()
    cluster = cluster_in(data)
    try:
        if cluster.exists():
            raise ConfigError(f"{data} has data already.", field="--data", mend="Name a fresh directory.")
        try:
            with EmbeddedPostgres(cluster) as server:
                return backups.restore(server.dsn(), file)
        except BaseException:
            # Half a house must not be taken for a whole one.
            shutil.rmtree(cluster, ignore_errors=True)
            raise
    finally:
        directory.release()
