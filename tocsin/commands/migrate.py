"""`tocsin migrate`: bring the database, and a cluster's Kafka, to the shape this version needs."""

from __future__ import annotations

import json as json_text
from pathlib import Path
from typing import Annotated

import typer

from schemas.errors import ConfigError
from tocsin import failpoints
from tocsin.data_directory import DataDirectory
from tocsin.migrate import Migration
from tocsin.migrate import migrate as apply
from tocsin.postgres import EmbeddedPostgres, cluster_in, dsn_of_running
from tocsin.settings import Settings

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command()
def migrate(
    data: Annotated[Path | None, typer.Option(help="The data directory; ./tocsin-data where not said.")] = None,
    partitions: Annotated[
        int | None, typer.Option(min=1, help="Of a cluster's new log; 8 where not said. Needs TOCSIN_KAFKA.")
    ] = None,
    move: Annotated[
        int | None,
        typer.Option(
            "--move-to-partitions", min=1, help="Move the log to another number. All parts must be stopped before."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Apply the migrations that the database lacks, and with TOCSIN_KAFKA make a cluster's topics and its log.

    What is there already is left as it is. `tocsin up` migrates at its start by itself.

    For example: `tocsin migrate --data /var/lib/tocsin`
    """
    settings = Settings.told(data=data)
    if settings.kafka and not settings.dsn:
        raise ConfigError("a cluster needs a PostgreSQL of its own.", field="TOCSIN_DSN", mend="Name it.")
    if (partitions or move) and not settings.kafka:
        field = "--partitions" if partitions else "--move-to-partitions"
        raise ConfigError("one process has one partition.", field=field, mend="Name a Kafka: TOCSIN_KAFKA.")
    if partitions and move:
        raise ConfigError("a new log is made with them.", field="--partitions", mend="Leave it out.")
    done: list[dict[str, str]] = [{"version": one.version, "name": one.name} for one in _migrate(settings)]
    if move:
        done += _move_log(settings, move)
    elif settings.kafka:
        done += _make_log(settings, partitions)
    if json:
        typer.echo(json_text.dumps(done))
        return
    for one in done:
        typer.echo(_line(one))
    if not done:
        typer.echo("nothing to do: the database is current")


def _line(done: dict[str, str]) -> str:
    if "version" in done:
        return f"applied {done['version']} {done['name']}"
    if "log" in done:
        return f"the log is {done['log']}"
    return f"made topic {done['topic']}" if "topic" in done else f"activated rules {done['rules']}"


def _make_log(settings: Settings, partitions: int | None) -> list[dict[str, str]]:
    from tocsin.cluster_log import make_log  # noqa: PLC0415  one process needs no client of Kafka

    made = make_log(settings, partitions)
    return [{"topic": topic} for topic in made.topics] + ([{"rules": made.pack}] if made.pack else [])


def _move_log(settings: Settings, partitions: int) -> list[dict[str, str]]:
    from tocsin.moving import move_log  # noqa: PLC0415  one process needs no client of Kafka

    return [{"log": move_log(settings, partitions, failpoints.from_setting(settings.failpoint))}]


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
