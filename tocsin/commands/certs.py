"""`tocsin certs`: certificates for TLS, under an authority of one's own."""

from __future__ import annotations

import json as json_text
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command()
def certs(
    names: Annotated[
        list[str], typer.Argument(help="Of one server: host names or addresses; the first names its files.")
    ],
    folder: Annotated[Path, typer.Option(help="Where they are written.")] = Path("certs"),
    days: Annotated[int, typer.Option(min=1, help="Life of the server's certificate.")] = 825,
    ca_days: Annotated[int, typer.Option(min=1, help="Life of an authority that is made.")] = 3650,
    json: Annotated[bool, typer.Option("--json", help="Print the files as JSON.")] = False,
) -> None:
    """Make a server's certificate, and the authority that signs it where the folder has none. Overwrites nothing.

    For example: `tocsin certs mosquitto mqtt.example.org 192.0.2.7 --folder ./certs`
    """
    from tocsin.certs import issue  # noqa: PLC0415  not needed for --help

    made = issue(folder, names, timedelta(days=days), timedelta(days=ca_days), datetime.now(UTC))
    if json:
        files = {"ca": made.ca, "certificate": made.certificate, "key": made.key, "ends": made.ends.isoformat()}
        typer.echo(json_text.dumps(files, default=str))
        return
    if made.is_new_ca:
        typer.echo(f"{made.ca}  the authority: what clients must trust")
        typer.echo(f"{made.ca.with_suffix('.key')}  its key, which can make any certificate: keep it off the servers")
    typer.echo(f"{made.certificate}  for {', '.join(names)}, until {made.ends:%Y-%m-%d}")
    typer.echo(f"{made.key}  the server's key, readable by you only")
