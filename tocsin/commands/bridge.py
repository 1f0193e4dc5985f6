"""`tocsin bridge`: a process of a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tocsin.logs import configure
from tocsin.settings import Settings

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command()
def bridge(
    data: Annotated[Path | None, typer.Option(help="Its own directory: lock and token. (./tocsin-data)")] = None,
    broker: Annotated[str | None, typer.Option(help="mqtt:// or mqtts://[user@]host[:port] (TOCSIN_BROKER)")] = None,
    http_host: Annotated[str | None, typer.Option(help="Elsewhere only /healthz needs no token. (127.0.0.1)")] = None,
    http_port: Annotated[int | None, typer.Option(help="Of /readyz and /metrics; 0 takes a free one. (8080)")] = None,
) -> None:
    """Read an MQTT broker that is already there and write what devices say into Kafka; any number share its messages.

    For example: `tocsin bridge --data /var/lib/tocsin/bridge --broker mqtts://tocsin@mqtt.example.org`
    """
    from tocsin.cluster.bridge import BridgeProcess  # noqa: PLC0415  the parts are not needed for --help
    from tocsin.running import run  # noqa: PLC0415

    configure()
    settings = Settings.told(data=data, broker=broker, http_host=http_host, http_port=http_port)
    run("bridge", BridgeProcess(settings), settings.http_host)
