"""`tocsin worker`: a process of a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tocsin.logs import configure
from tocsin.settings import Settings

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command()
def worker(
    data: Annotated[Path | None, typer.Option(help="Its own directory: lock and token. (./tocsin-data)")] = None,
    http_host: Annotated[str | None, typer.Option(help="Elsewhere only /healthz needs no token. (127.0.0.1)")] = None,
    http_port: Annotated[int | None, typer.Option(help="Of /readyz and /metrics; 0 takes a free one. (8080)")] = None,
) -> None:
    """Judge the readings in Kafka and store them; any number share the partitions, and may come and go.

    For example: `tocsin worker --data /var/lib/tocsin/worker`
    """
    from tocsin.cluster.worker import WorkerProcess  # noqa: PLC0415
    from tocsin.running import run  # noqa: PLC0415  the parts are not needed for --help

    configure()
    settings = Settings.told(data=data, http_host=http_host, http_port=http_port)
    run("worker", WorkerProcess(settings), settings.http_host)
