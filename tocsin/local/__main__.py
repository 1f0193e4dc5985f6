"""`./dev cluster`: the whole cluster on this machine, with simulated shops at its door and at its broker."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console

from schemas.errors import TocsinError
from sensors_sim import carrier
from tocsin.data_directory import DataDirectory
from tocsin.demo_city import environment_of, fill_registry, first_to_burn, let_in, shops_of
from tocsin.local.cluster import LocalCluster, Plan
from tocsin.process import obey

_LOOK_S = 0.25
_SAY_S = 5.0
_PAGE = 50


def main(
    seconds: Annotated[float | None, typer.Option(min=10, help="End by itself; otherwise Ctrl-C.")] = None,
    enterprises: Annotated[
        int, typer.Option("--enterprises", "--shops", min=2, max=2000, help="Half of them behind the broker.")
    ] = 40,
    seed: Annotated[int, typer.Option(help="The same seed gives the same readings.")] = 1,
    scenario: Annotated[str, typer.Option(help="What happens; see `tocsin sim --help`.")] = "watch_room",
    workers: Annotated[int, typer.Option(min=1, max=8, help="Workers that share the log.")] = 2,
    data: Annotated[Path | None, typer.Option(help="Keep the data there. (a temporary folder)")] = None,
) -> None:
    """Kafka, PostgreSQL, Mosquitto, door, bridge, workers, desk and console as processes; a kitchen burns.

    It prints links by which people of each role come into the console.

    For example: `./dev cluster --seconds 90`
    """
    out = Console(highlight=False, markup=False, soft_wrap=True)
    with tempfile.TemporaryDirectory(prefix="tocsin-cluster-") as temporary:
        phones = carrier.start(Path(temporary) / "texts.jsonl")
        cluster = LocalCluster(data or Path(temporary), Plan(workers=workers, environment=environment_of(phones)))
        sims: list[subprocess.Popen[bytes]] = []
        told = obey()
        begun = time.monotonic()
        try:
            out.print("starting Kafka, PostgreSQL, Mosquitto and the processes of Tocsin (the first time compiles) …")
            cluster.start()
            out.print(f"{time.monotonic() - begun:4.0f} s  all ready: {', '.join(cluster.pids())}")
            console = cluster.members["console-1"]
            api = f"http://127.0.0.1:{console.running.http_port}"
            out.print(f"        door mqtt://127.0.0.1:{cluster.mqtt_ports[0]}, broker {cluster.broker_url}, API {api}")
            _let_in(out, cluster.postgres.dsn(), api, scenario, enterprises, seed)
            brokers = [f"mqtt://127.0.0.1:{cluster.mqtt_ports[0]}", cluster.broker_url]
            half = enterprises // 2
            sims = [_simulate(url, scenario, half, i * half + 1, seed, seconds) for i, url in enumerate(brokers)]
            watch = _Watch(out, api, DataDirectory(console.data).token(), begun)
            while not told.wait(_LOOK_S) and (seconds is None or time.monotonic() - begun < seconds):
                watch.look()
                _check(cluster)
            watch.sum_up()
            out.print(f"{len(phones.texts())} SMS to the stand-in of a carrier; nobody was texted.")
        finally:
            for sim in sims:
                sim.terminate()
                sim.wait()
            cluster.stop()
            phones.stop()


def _let_in(out: Console, dsn: str, console: str, scenario: str, enterprises: int, seed: int) -> None:
    """Register the city, and print a link for each role."""
    shops = shops_of(scenario, enterprises, seed)
    burns = first_to_burn(scenario, shops)
    fill_registry(dsn, shops)
    out.print(f"        {enterprises} enterprises; in half a minute a kitchen burns in {burns.code}. Open, once:")
    for person in let_in(dsn, burns):
        out.print(f"        {console}{person.link}  {person.role.value}")


class _Watch:
    """Asks the API for alarms and says each once."""

    def __init__(self, out: Console, api: str, token: str, begun: float) -> None:
        self._out = out
        self._client = httpx.Client(base_url=api, headers={"Authorization": f"Bearer {token}"}, timeout=5.0)
        self._begun = begun
        self._seen: set[str] = set()
        self._said = begun

    def look(self) -> None:
        try:
            answer = self._client.get("/api/v1/alarms", params={"limit": _PAGE})
            answer.raise_for_status()
        except httpx.HTTPError:
            return
        for alarm in reversed(answer.json()["alarms"]):
            if alarm["key"] not in self._seen:
                self._seen.add(alarm["key"])
                self._out.print(f"{self._passed()}  {alarm['grade']:6} {alarm['kind']:10} {alarm['subject']}")
        if time.monotonic() - self._said >= _SAY_S and not self._seen:
            self._said = time.monotonic()
            self._out.print(f"{self._passed()}  all is quiet")

    def sum_up(self) -> None:
        self._out.print(f"{len(self._seen)} alarms in /api/v1/alarms.")
        self._client.close()

    def _passed(self) -> str:
        return f"{time.monotonic() - self._begun:4.0f} s"


def _check(cluster: LocalCluster) -> None:
    for name, member in cluster.members.items():
        if not member.is_alive():
            raise TocsinError(f"{name} has ended.", mend=f"Its last words: {member.last_words()}")


def _simulate(
    url: str, scenario: str, shops: int, first: int, seed: int, seconds: float | None
) -> subprocess.Popen[bytes]:
    arguments = ["sim", scenario, "--broker", url, "--shops", str(shops), "--first", str(first), "--seed", str(seed)]
    if seconds is not None:
        arguments += ["--seconds", str(seconds)]
    return subprocess.Popen(
        [sys.executable, "-m", "tocsin", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


if __name__ == "__main__":
    try:
        typer.run(main)
    except TocsinError as error:
        print(f"tocsin: {error}", file=sys.stderr)  # noqa: T201  the command's own voice
        sys.exit(1)
