"""`tocsin up`: everything in one process."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tocsin.logs import configure
from tocsin.settings import Settings

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command()
def up(
    data: Annotated[Path | None, typer.Option(help="Where everything is kept. (TOCSIN_DATA, ./tocsin-data)")] = None,
    mqtt_host: Annotated[str | None, typer.Option(help="Beyond loopback every device needs a login.")] = None,
    mqtt_port: Annotated[int | None, typer.Option(help="Of the door; 0 takes a free one. (1883)")] = None,
    http_host: Annotated[
        str | None, typer.Option(help="Beyond loopback only /healthz answers without the token.")
    ] = None,
    http_port: Annotated[int | None, typer.Option(help="Of the HTTP API; 0 takes a free one. (8080)")] = None,
    broker: Annotated[
        str | None, typer.Option(help="Read this broker, too: mqtt:// or mqtts://[user@]host[:port] (TOCSIN_BROKER)")
    ] = None,
    rules: Annotated[Path | None, typer.Option(help="A rule pack to activate. (the active one)")] = None,
    routes: Annotated[Path | None, typer.Option(help="Who is told by which channel (TOML). (the journal)")] = None,
    speed: Annotated[
        float | None, typer.Option(help="Let time pass so many times faster, for simulated devices. (1)")
    ] = None,
    starts: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%dT%H:%M"], help="What that time begins with, UTC. (now, or where it was)"),
    ] = None,
) -> None:
    """Run door, log, engine, alarms, store and API until Ctrl-C.

    For example: `tocsin up --data ./tocsin-data --mqtt-port 1883`
    """
    from tocsin.one_process import OneProcess  # noqa: PLC0415  the engine is not needed for --help

    configure()
    settings = Settings.told(
        data=data,
        mqtt_host=mqtt_host,
        mqtt_port=mqtt_port,
        http_host=http_host,
        http_port=http_port,
        broker=broker,
        rules=rules,
        routes=routes,
        speed=speed,
        starts=starts,
    )
    if settings.speed > 1.0 or settings.starts is not None:
        settings = settings.model_copy(update={"led_clock": _hurry(settings.data, settings.speed, settings.starts)})
    console = Console(highlight=False, markup=False, soft_wrap=True)
    process = OneProcess(settings, terminal=console.print, colour=console.is_terminal)
    process.obey_signals()
    try:
        addresses = process.start()
        console.print(
            f"The door listens on mqtt://{settings.mqtt_host}:{addresses.mqtt_port}, the API on "
            f"http://{settings.http_host}:{addresses.http_port}; its token and all data are in {settings.data}. "
            "Ctrl-C ends it."
        )
        if addresses.console_port:
            console.print(f"The console is on http://{settings.http_host}:{addresses.console_port}.")
        if link := process.first_link():
            console.print(f"The first administrator logs in here, once, within a day: {link}")
        process.wait()
    finally:
        process.stop()
    process.raise_failure()


def _hurry(data: Path, speed: float, starts: datetime | None) -> Path:
    """The file of a fast clock in the data directory; one that is there goes on, unless it is told when to start."""
    from tocsin.clocks import FastClock  # noqa: PLC0415

    data.mkdir(parents=True, exist_ok=True)
    file = data / "clock"
    try:
        if starts is None and FastClock(file).speed == speed:
            return file
    except (OSError, ValueError):
        pass  # none yet, or one of before this machine was started
    began_s = time.time() if starts is None else starts.replace(tzinfo=UTC).timestamp()
    FastClock.create(file, int(began_s * 1e6), speed)
    return file
