"""`tocsin demo`: a small city on this machine."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from schemas.errors import TocsinError
from tocsin.logs import configure
from tocsin.settings import Settings

if TYPE_CHECKING:
    from tocsin.one_process import OneProcess

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
CITY, SHOPS = 300, 20
_PORT = 8090


@app.command()
def demo(
    seconds: Annotated[float | None, typer.Option(min=5, help="End by itself; otherwise Ctrl-C.")] = None,
    terminal: Annotated[bool, typer.Option("--terminal", help="No browser: a live picture of twenty shops.")] = False,
    shops: Annotated[
        int | None,
        typer.Option("--shops", "--enterprises", min=1, max=30_000, help="How many. (300; 20 with --terminal)"),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same readings.")] = 1,
    scenario: Annotated[
        str | None, typer.Option(help="See `tocsin sim --help`. (watch_room; kitchen_fire with --terminal)")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Keep the data there. (a temporary folder)")] = None,
    mqtt_port: Annotated[int, typer.Option(help="Of the door; 0 takes a free one.")] = 0,
    http_port: Annotated[int, typer.Option(help="Of the HTTP API; 0 takes a free one.")] = 0,
    console_port: Annotated[int, typer.Option(help="Of the console; 0 takes a free one.")] = _PORT,
) -> None:
    """A living city of 300 enterprises with its watch room in the browser; a kitchen burns after half a minute.

    For example: `tocsin demo --seconds 300`
    """
    configure(quiet=True)
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="tocsin-demo-") as folder:
        settings = Settings.told(
            data=data or Path(folder) / "data", mqtt_port=mqtt_port, http_port=http_port,
            console=not terminal, console_port=console_port,
        )  # fmt: skip
        until = _Until(seconds)
        if terminal:
            _show_in_terminal(console, settings, scenario or "kitchen_fire", shops or SHOPS, seed, until)
        else:
            _show_in_browser(console, settings, Path(folder), scenario or "watch_room", shops or CITY, seed, until)


class _Until:
    """`seconds` from `begin`; None: for ever."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self.begun = time.monotonic()

    def begin(self) -> None:
        self.begun = time.monotonic()

    def passed_s(self) -> float:
        return time.monotonic() - self.begun

    def over(self) -> bool:
        return self.seconds is not None and self.passed_s() >= self.seconds


def _show_in_browser(
    console: Console, settings: Settings, folder: Path, scenario: str, enterprises: int, seed: int, until: _Until
) -> None:
    from tocsin import demo_city as city  # noqa: PLC0415  --help needs none of these
    from tocsin.one_process import OneProcess  # noqa: PLC0415

    began = time.monotonic()
    shops = city.shops_of(scenario, enterprises, seed)
    burns = city.first_to_burn(scenario, shops)
    with ExitStack() as stack:
        phones = stack.enter_context(city.texting(folder))
        process = OneProcess(city.told_of(settings, phones), quiet=True)
        stack.callback(process.stop)
        process.obey_signals()
        console.print(f"Tocsin starts, with a city of {enterprises} enterprises …")
        addresses = process.start()
        city.fill_registry(process.dsn, shops)
        people = city.let_in(process.dsn, burns)
        stack.push(_simulated(city.simulate(addresses.mqtt_port, scenario, enterprises, seed, until.seconds)))
        until.begin()
        url = f"http://127.0.0.1:{addresses.console_port}"
        console.print(f"Ready after {time.monotonic() - began:.0f} s. Open this, once, in a browser:\n")
        console.print(f"  [bold]{url}{people[0].link}?next=/%3Fguide=1[/]   the duty officer\n", soft_wrap=True)
        for person in people[1:]:
            console.print(f"  {url}{person.link}   {person.role.value}", soft_wrap=True)
        console.print(
            f"\nIn half a minute a kitchen burns in {burns.code}. Its owner's messages appear here; nobody is texted. "
            "Ctrl-C ends it."
        )
        said = 0
        while not (process.wait(0.5) or until.over()):
            texts = phones.texts()
            for text in texts[said:]:
                body = " ".join(text.body.split())
                console.print(f"{until.passed_s():4.0f} s  SMS to {text.to}: {body}", markup=False, soft_wrap=True)
            said = len(texts)
        alarms = _open_alarms(process)
    process.raise_failure()
    _sum_up(console, process.judging.readings, alarms, said)


def _show_in_terminal(
    console: Console, settings: Settings, scenario: str, shops: int, seed: int, until: _Until
) -> None:
    from alerting.lists import Wanted  # noqa: PLC0415  --help needs none of these
    from schemas.viewers import house  # noqa: PLC0415
    from tocsin.demo import Picture, Seen, watch  # noqa: PLC0415
    from tocsin.demo_city import simulate  # noqa: PLC0415
    from tocsin.one_process import OneProcess  # noqa: PLC0415

    picture = Picture()

    def say(line: str) -> None:
        picture.say(line)
        if not console.is_terminal:
            console.print(line, markup=False)

    with ExitStack() as stack:
        process = OneProcess(settings, terminal=say, quiet=True)
        stack.callback(process.stop)
        process.obey_signals()
        addresses = process.start()
        until.begin()
        console.print(
            f"door mqtt://127.0.0.1:{addresses.mqtt_port}, API http://127.0.0.1:{addresses.http_port}, "
            f"{shops} shops of scenario {scenario}, seed {seed}"
        )
        stack.push(_simulated(simulate(addresses.mqtt_port, scenario, shops, seed, until.seconds)))

        def look() -> Seen:
            known = process.watch.seen
            return Seen(
                running_s=until.passed_s(),
                clients=process.door.counts.connections,
                received=process.door.counts.messages,
                judged=process.judging.readings,
                stored=known.store.stored if known else 0,
                alarms=process.people.list_alarms(house("demo"), Wanted(open=True)).alarms,
            )

        watch(console, look, picture, lambda: process.wait(0) or until.over())
        last = look()
    process.raise_failure()
    _sum_up(console, last.judged, [(a.grade, a.kind, a.subject) for a in last.alarms], picture.said)


def _simulated(sim: subprocess.Popen[bytes]) -> Callable[..., None]:
    """Ends the simulator when the demo does. Raises TocsinError when it has ended by a failure of its own."""

    def end(kind: type[BaseException] | None, *_: object) -> None:
        if sim.poll() is None:
            sim.terminate()
            sim.wait()
        if kind is None and sim.returncode not in (0, -signal.SIGTERM):
            raise TocsinError(f"the simulator ended with code {sim.returncode}")

    return end


def _open_alarms(process: OneProcess) -> list[tuple[str, str, str]]:
    from alerting.lists import Wanted  # noqa: PLC0415
    from schemas.viewers import house  # noqa: PLC0415

    page = process.people.list_alarms(house("demo"), Wanted(open=True))
    return [(alarm.grade, alarm.kind, alarm.subject) for alarm in page.alarms]


def _sum_up(console: Console, judged: int, alarms: list[tuple[str, str, str]], said: int) -> None:
    console.print(f"{judged:,} readings judged, {len(alarms)} alarms open, {said} messages handed out.")
    for grade, kind, subject in alarms[:10]:
        console.print(f"  {grade:6} {kind:10} {subject}")
