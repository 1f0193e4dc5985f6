"""`tocsin demo`: a small city on this machine."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from schemas.errors import TocsinError
from schemas.viewers import house
from tocsin.logs import configure
from tocsin.settings import Settings

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command()
def demo(
    seconds: Annotated[float | None, typer.Option(min=5, help="End by itself; otherwise Ctrl-C.")] = None,
    shops: Annotated[int, typer.Option(min=1, max=2000, help="Simulated shops; the first one's kitchen burns.")] = 20,
    seed: Annotated[int, typer.Option(help="The same seed gives the same readings.")] = 1,
    scenario: Annotated[str, typer.Option(help="What happens; see `tocsin sim --help`.")] = "kitchen_fire",
    data: Annotated[Path | None, typer.Option(help="Keep the data there. (a temporary folder)")] = None,
    mqtt_port: Annotated[int, typer.Option(help="Of the door; 0 takes a free one.")] = 0,
    http_port: Annotated[int, typer.Option(help="Of the HTTP API; 0 takes a free one.")] = 0,
) -> None:
    """Door, PostgreSQL and twenty simulated shops on this machine; a kitchen burns after 15 s.

    For example: `tocsin demo --seconds 60`
    """
    configure(quiet=True)
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="tocsin-demo-") as folder:
        settings = Settings.told(data=data or Path(folder) / "data", mqtt_port=mqtt_port, http_port=http_port)
        _run(console, settings, scenario, shops, seed, seconds)


def _run(console: Console, settings: Settings, scenario: str, shops: int, seed: int, seconds: float | None) -> None:
    from alerting.lists import Wanted  # noqa: PLC0415  --help needs none of these
    from tocsin.demo import Picture, Seen, watch  # noqa: PLC0415
    from tocsin.one_process import OneProcess  # noqa: PLC0415

    picture = Picture()

    def say(line: str) -> None:
        picture.say(line)
        if not console.is_terminal:
            console.print(line, markup=False)

    process = OneProcess(settings, terminal=say)
    process.obey_signals()
    sim: subprocess.Popen[bytes] | None = None
    try:
        addresses = process.start()
        begun = time.monotonic()
        console.print(
            f"door mqtt://127.0.0.1:{addresses.mqtt_port}, API http://127.0.0.1:{addresses.http_port}, "
            f"{shops} shops of scenario {scenario}, seed {seed}"
        )
        sim = _simulate(addresses.mqtt_port, scenario, shops, seed, seconds)

        def look() -> Seen:
            known = process.watch.seen
            return Seen(
                running_s=time.monotonic() - begun,
                clients=process.door.counts.connections,
                received=process.door.counts.messages,
                judged=process.judging.readings,
                stored=known.store.stored if known else 0,
                alarms=process.people.list_alarms(house(), Wanted(open=True)).alarms,
            )

        def ended() -> bool:
            return process.wait(0) or (seconds is not None and time.monotonic() - begun >= seconds)

        watch(console, look, picture, ended)
        last = look()
    finally:
        if sim is not None and sim.poll() is None:
            sim.terminate()
            sim.wait()
        process.stop()
    process.raise_failure()
    _sum_up(console, last.judged, [(a.grade, a.kind, a.subject) for a in last.alarms], picture.said)
    if sim is not None and sim.returncode not in (0, -signal.SIGTERM):
        raise TocsinError(f"the simulator ended with code {sim.returncode}")


def _simulate(port: int, scenario: str, shops: int, seed: int, seconds: float | None) -> subprocess.Popen[bytes]:
    """The simulator is a client like any other, so it is a process of its own."""
    arguments = ["sim", scenario, "--broker", f"mqtt://127.0.0.1:{port}", "--shops", str(shops), "--seed", str(seed)]
    if seconds is not None:
        arguments += ["--seconds", str(seconds)]
    return subprocess.Popen(
        [sys.executable, "-m", "tocsin", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _sum_up(console: Console, judged: int, alarms: list[tuple[str, str, str]], said: int) -> None:
    console.print(f"{judged:,} readings judged, {len(alarms)} alarms open, {said} messages handed out.")
    for grade, kind, subject in alarms[:10]:
        console.print(f"  {grade:6} {kind:10} {subject}")
