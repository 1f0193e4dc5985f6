"""`tocsin certs`: certificates for TLS, under an authority of one's own."""

from __future__ import annotations

import json as json_text
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import ConfigError

if TYPE_CHECKING:
    from tocsin.certs import Files

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command()
def certs(
    names: Annotated[
        list[str] | None, typer.Argument(help="Of one server: host names or addresses; the first names its files.")
    ] = None,
    login: Annotated[
        list[str] | None,
        typer.Option(help="A client's login, such as shop-1/kitchen, for its certificate; repeatable."),
    ] = None,
    folder: Annotated[Path, typer.Option(help="Where they are written.")] = Path("certs"),
    days: Annotated[int, typer.Option(min=1, help="Life of the server's certificate.")] = 825,
    ca_days: Annotated[int, typer.Option(min=1, help="Life of an authority that is made.")] = 3650,
    json: Annotated[bool, typer.Option("--json", help="Print the files as JSON.")] = False,
) -> None:
    """Make certificates of a server or of clients, and the authority that signs them where the folder has none.

    Overwrites nothing.

    For example: `tocsin certs mosquitto mqtt.example.org 192.0.2.7 --folder ./certs`
    """
    from tocsin.certs import issue, issue_to_login  # noqa: PLC0415  not needed for --help

    if bool(names) == bool(login):
        raise ConfigError("it is not said for whom.", field="--login", mend="Name one server, or logins with --login.")
    life, ca_life, now = timedelta(days=days), timedelta(days=ca_days), datetime.now(UTC)
    if names:
        _say(issue(folder, names, life, ca_life, now), ", ".join(names), "the server's key", json)
    for one in login or ():
        _say(issue_to_login(folder, one, life, ca_life, now), one, "the client's key: for that device alone", json)


def _say(made: Files, whose: str, key: str, json: bool) -> None:
    if json:
        files = {"ca": made.ca, "certificate": made.certificate, "key": made.key, "ends": made.ends.isoformat()}
        typer.echo(json_text.dumps(files, default=str))
        return
    if made.is_new_ca:
        typer.echo(f"{made.ca}  the authority: what clients must trust")
        typer.echo(f"{made.ca.with_suffix('.key')}  its key, which can make any certificate: keep it off the servers")
    typer.echo(f"{made.certificate}  for {whose}, until {made.ends:%Y-%m-%d}")
    typer.echo(f"{made.key}  {key}, readable by you only")
