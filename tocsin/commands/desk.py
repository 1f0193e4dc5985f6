"""`tocsin desk`: a process of a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tocsin.logs import configure
from tocsin.settings import Settings

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command()
def desk(
    data: Annotated[Path | None, typer.Option(help="Its own directory: lock and token. (./tocsin-data)")] = None,
    routes: Annotated[Path | None, typer.Option(help="Who is told by which channel (TOML). (the journal)")] = None,
    http_host: Annotated[str | None, typer.Option(help="Elsewhere only /healthz needs no token. (127.0.0.1)")] = None,
    http_port: Annotated[int | None, typer.Option(help="Of /readyz and /metrics; 0 takes a free one. (8080)")] = None,
) -> None:
    """Tell people about alarms; any number side by side share the partitions.

    For example: `tocsin desk --data /var/lib/tocsin/desk --routes routes.toml`
    """
    from tocsin.cluster.desk import DeskProcess  # noqa: PLC0415  the parts are not needed for --help
    from tocsin.running import run  # noqa: PLC0415

    configure()
    settings = Settings.told(
        data=data, routes=routes, http_host=http_host, http_port=http_port
    )
    run("desk", DeskProcess(settings), settings.http_host)
