"""`tocsin bench`: the figures that are promised, measured on this machine."""

from __future__ import annotations

import tempfile
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from schemas.errors import ConfigError
from tocsin.bench.report import Options, Row, print_table, write_json

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
WORDS = ("engine", "memory", "replay", "start", "ingest", "latency")
NAMED = ("cluster", "province", "console", "risk")
"""Measured only when it is named: what needs a JDK and Maven or a browser, and what takes long."""
_USUAL = Options()


@app.command()
def bench(
    words: Annotated[
        list[str] | None, typer.Argument(help=f"Of: {', '.join(WORDS)} (if none is named), {', '.join(NAMED)}.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the report there, too.")] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 1,
    scale: Annotated[float, typer.Option(min=0.001, max=1.0, help="Below 1: a smaller workload, a first look.")] = 1.0,
    keep: Annotated[Path | None, typer.Option(help="Keep data there instead of in a temporary folder.")] = None,
    readings: Annotated[int, typer.Option(min=1, help="province: in all.")] = _USUAL.readings,
    sensors: Annotated[int, typer.Option(min=1, help="province: each new when it first speaks.")] = _USUAL.sensors,
    packing: Annotated[int, typer.Option(min=1, max=1000, help="province: readings in a message.")] = _USUAL.packing,
    rate: Annotated[float, typer.Option(min=0, help="province: offered readings a second; 0: all it can.")] = 0.0,
    cluster: Annotated[bool, typer.Option("--cluster", help="province: in a cluster on this machine.")] = False,
) -> None:
    """Measure, and say whether what is needed holds.

    For example: `tocsin bench engine memory --json report.json`
    """
    chosen = tuple(words or WORDS)
    unknown = [word for word in chosen if word not in WORDS + NAMED]
    if unknown:
        raise ConfigError(f"no bench {unknown[0]!r}", field="WORD", mend=f"Known are {', '.join(WORDS + NAMED)}.")
    console = Console()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
        options = Options(
            seed=seed, scale=scale, keep=keep or Path(folder), readings=readings, sensors=sensors, packing=packing,
            rate=rate, cluster=cluster,
        )  # fmt: skip
        for word in chosen:
            console.print(f"[bold]{word}[/] …")
            found = import_module(f"tocsin.bench.{word}").run(options)
            print_table(found, console)
            rows.extend(found)
    if json is not None:
        write_json(json, rows, seed)
