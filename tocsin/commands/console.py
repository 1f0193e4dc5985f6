"""`tocsin console`: a process of a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tocsin.logs import configure
from tocsin.settings import Settings

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command()
def console(
    data: Annotated[Path | None, typer.Option(help="Its own directory: lock and token. (./tocsin-data)")] = None,
    http_host: Annotated[str | None, typer.Option(help="Elsewhere only /healthz needs no token. (127.0.0.1)")] = None,
    http_port: Annotated[int | None, typer.Option(help="Of the HTTP API; 0 takes a free one. (8080)")] = None,
) -> None:
    """Serve the HTTP API; any number behind a proxy.

    For example: `tocsin console --data /var/lib/tocsin/console --http-port 8080`
    """
    from tocsin.cluster.console import ConsoleProcess  # noqa: PLC0415  the parts are not needed for --help
    from tocsin.running import run  # noqa: PLC0415

    configure()
    settings = Settings.told(
        data=data, http_host=http_host, http_port=http_port
    )
    run("console", ConsoleProcess(settings), settings.http_host)
