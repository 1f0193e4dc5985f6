"""`tocsin door`: a process of a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tocsin.logs import configure
from tocsin.settings import Settings

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command()
def door(
    data: Annotated[Path | None, typer.Option(help="Its own directory: lock and token. (./tocsin-data)")] = None,
    mqtt_host: Annotated[str | None, typer.Option(help="Where the door listens. (127.0.0.1)")] = None,
    mqtt_port: Annotated[int | None, typer.Option(help="Of the door; 0 takes a free one. (1883)")] = None,
    http_host: Annotated[str | None, typer.Option(help="Elsewhere only /healthz needs no token. (127.0.0.1)")] = None,
    http_port: Annotated[int | None, typer.Option(help="Of /readyz and /metrics; 0 takes a free one. (8080)")] = None,
) -> None:
    """Take devices' connections and write what they say into Kafka; any number behind a TCP balancer.

    For example: `tocsin door --data /var/lib/tocsin/door --mqtt-host 0.0.0.0`
    """
    from tocsin.cluster.door import DoorProcess  # noqa: PLC0415  the parts are not needed for --help
    from tocsin.running import run  # noqa: PLC0415

    configure()
    settings = Settings.told(
        data=data, mqtt_host=mqtt_host, mqtt_port=mqtt_port, http_host=http_host, http_port=http_port
    )
    run("door", DoorProcess(settings), settings.http_host)
