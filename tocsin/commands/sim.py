"""`tocsin sim`: a simulated city publishes over real MQTT."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.live import Live

from schemas.errors import ConfigError, ServiceAway
from sensors_sim.city import City
from sensors_sim.publisher import Broker, Counts, Publisher, drive
from sensors_sim.register import register
from sensors_sim.scenarios import load, names
from sensors_sim.town import Shop, settle
from tocsin.clocks import FastClock

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")

_DRAIN_S = 10.0
_CONNECT_S = 10.0
"""The city's time starts when all have connected, or after so long: a fast one would be late at once otherwise."""
_LOCAL_S = 8 * 3600
"""The city lives by the clock of Asia/Shanghai."""


@app.command()
def sim(
    scenario: Annotated[str, typer.Argument(help=f"One of {', '.join(names())}, or a .toml file of yours.")],
    broker: Annotated[str, typer.Option(help="The MQTT endpoint.")] = "mqtt://127.0.0.1:1883",
    shops: Annotated[
        int, typer.Option("--shops", "--enterprises", min=1, max=100_000, help="How many live through it.")
    ] = 20,
    registry: Annotated[
        Path | None,
        typer.Option(help="Write what a registry knows of them into this folder, as CSV, and publish nothing."),
    ] = None,
    first: Annotated[int, typer.Option(min=1, help="Number of the first shop, for cities side by side.")] = 1,
    seed: Annotated[int, typer.Option(help="The same seed gives the same readings.")] = 1,
    speed: Annotated[float, typer.Option(min=0.01, max=1000.0, help="Times as fast as life.")] = 1.0,
    clock: Annotated[
        Path | None,
        typer.Option(
            envvar="TOCSIN_LED_CLOCK", help="Time and speed are those of `tocsin up --speed`: its DATA/clock."
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(min=0.1, help="End after so many seconds of ours; default: the scenario's own length."),
    ] = None,
    clients: Annotated[
        int,
        typer.Option(min=0, help="So many connections; 0: one a device or gateway, with its last will."),
    ] = 0,
    ts: Annotated[bool, typer.Option(help="Send the device's time with each message.")] = True,
    username: Annotated[str, typer.Option(help="Log in as this user.")] = "",
    password: Annotated[
        str, typer.Option(envvar="TOCSIN_SIM_PASSWORD", help="Better given in the environment than here.")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Print the counts as one JSON object at the end.")] = False,
) -> None:
    """Publish a simulated city's readings: quiet shops, and whatever the scenario lets happen.

    For example: `tocsin sim city --enterprises 300 --broker mqtt://127.0.0.1:1883`
    """
    plan, trades = load(scenario)
    if registry is not None:
        _write_registry(registry, settle(trades, shops, seed, first))
        return
    fast = None if clock is None else _fast(clock)
    now: Callable[[], float] = time.time if fast is None else lambda: fast.wall_us() / 1e6
    speed = speed if fast is None else fast.speed
    length_s = plan.seconds if seconds is None else seconds * speed
    city = City(plan, trades, shops, seed, first)
    publisher = Publisher(
        Broker.parse(broker, username, password), city.connections, clients=clients, monotonic=time.monotonic
    )
    counts = publisher.counts
    began = time.monotonic()
    out = Console(stderr=True)
    try:
        with Live(console=out, refresh_per_second=4, transient=json) as live:
            while counts.connected < len(city.connections) and time.monotonic() - began < _CONNECT_S:
                publisher.poll(0.1)
            if counts.connects == 0:
                raise ServiceAway("mqtt", f"no connection to {broker}", mend="Is `tocsin up` running there?")
            began = time.monotonic()
            if fast is not None or not plan.starts_at:
                city.start(now() + _LOCAL_S)

            def seen() -> bool:
                passed = time.monotonic() - began
                live.update(_picture(scenario, passed * speed, length_s, counts))
                return passed * speed < length_s

            drive(
                publisher, city.until(int(length_s)), speed=speed, with_ts=ts, now=now,
                monotonic=time.monotonic, seen=seen,
            )  # fmt: skip
            end = time.monotonic() + _DRAIN_S
            while publisher.waiting and time.monotonic() < end:
                publisher.poll(0.1)
                live.update(_picture(scenario, length_s, length_s, counts))
    except KeyboardInterrupt:
        out.print("stopped")
    finally:
        publisher.close()
    if json:
        sys.stdout.write(msgspec.json.encode(counts).decode() + "\n")
    if publisher.waiting:
        raise ServiceAway("mqtt", f"{publisher.waiting} messages were never acknowledged by {broker}")


def _fast(file: Path) -> FastClock:
    try:
        return FastClock(file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} is no running clock: {error}", field="--clock", mend="Name DATA/clock.") from error


def _write_registry(folder: Path, shops: Sequence[Shop]) -> None:
    if not all(shop.trade.facts for shop in shops):
        raise ConfigError("a scenario of one kind of shop has no registry.", mend="Use `tocsin sim city`.")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in register(shops).files().items():
        (folder / name).write_text(text, "utf-8")
        sys.stdout.write(f"{folder / name}: {text.count(chr(10)) - 1} rows\n")


def _picture(scenario: str, passed_s: float, length_s: float, counts: Counts) -> str:
    return (
        f"{scenario}: {passed_s:.0f} of {length_s:.0f} s, {counts.connected} clients, {counts.readings} readings in "
        f"{counts.sent} messages, {counts.acknowledged} acknowledged, {counts.dropped} dropped, "
        f"{counts.behind_s:.1f} s behind"
    )
