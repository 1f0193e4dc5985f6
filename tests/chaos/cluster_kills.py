"""Kills every part of a cluster under load, cuts them off from each other, and judges what came of it.

    python -m tests.chaos.cluster_kills --seed 7 --kills 5 --kafka 3 --rebalances 5 --cuts 1

Devices publish at QoS 1, conditions are counting and alarms are on their way at each moment; the feeder's own file,
through the naive twin, is the judge. See `judge` for what is wrong and `stories` for what the devices live through.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sensors_sim import webhook_sink
from tests.chaos import judge, stories
from tests.chaos.cluster_victim import ClusterVictim
from tests.chaos.feeder import Feeder
from tests.chaos.links import Cut
from tests.chaos.run import CLIENTS, Run

_BRIDGED = 4
"""Every so many devices with a clock of their own speak through the broker."""


@dataclass
class ClusterRun(Run):
    """A run of a cluster."""

    victim: ClusterVictim

    def count(self, what: str, by: int = 1) -> None:
        super().count(what, by)
        print(f"{datetime.now():%H:%M:%S} {what}", flush=True)

    def kill(self, name: str) -> None:
        self.victim.kill(name)
        self.count(f"kills of {name}")

    def kill_postgres(self) -> None:
        self.victim.kill_postgres()
        self.count("kills of PostgreSQL")

    def kill_kafka(self) -> None:
        self.victim.kill_kafka()
        self.count("kills of Kafka")

    def rebalance(self) -> None:
        self.victim.rebalance("worker-3")
        self.count("workers that came and went")

    def links(self) -> list[str]:
        """Those that members of this cluster have."""
        kinds = {name.rpartition("-")[0] for name in self.victim.cluster.members}
        return [link for link in self.victim.links.names() if link.partition("–")[0] in kinds]

    def cut_link(self, link: str, how: Cut, shortest_s: float = 2.0, longest_s: float = 6.0) -> None:
        self.victim.cut(link, how)
        self.live(shortest_s, longest_s)
        self.victim.mend(link)
        self.count(f"cuts {link} ({how.value})")

    def end_all(self, settle_s: float, *, with_bundles: bool = False) -> None:
        """As `end`, when everybody is back; and nobody may have ended by himself."""
        self.victim.wait_back()
        try:
            self.end(settle_s, with_bundles=with_bundles, least=judge.Moment(timers=1, on_their_way=1))
        finally:
            longest_s = self.victim.unexplained_us() / 1e6
            print(f"longest time without ticks while nothing was done to the cluster: {longest_s:.1f} s")
        self.victim.look()
        assert not self.victim.fell, "ended by themselves: " + "\n".join(self.victim.fell)


@contextmanager
def running(
    folder: Path, seed: int, planned_s: float, *, bridges: int = 0, clients: int = CLIENTS
) -> Iterator[ClusterRun]:
    """A cluster under load."""
    with ExitStack() as closing:
        pack, text = folder / "chaos.toml", stories.chaos_pack()
        pack.write_text(text)
        sink = webhook_sink.start(folder / "arrivals.jsonl")
        closing.callback(sink.stop)
        victim = ClusterVictim(folder / "cluster", pack, sink, bridges=bridges)
        closing.callback(victim.stop)
        victim.start()
        feeder, expected = Feeder(lambda: victim.mqtt_port, seed), stories.Expected()
        for number in range(clients // 2):
            bridged = bridges and number % _BRIDGED == 0
            port = (lambda: victim.broker_port) if bridged else None
            feeder.add(f"timed-{number}", stories.timed(number, seed, planned_s), port)
            feeder.add(f"untimed-{number}", stories.untimed(number, seed, planned_s, expected))
        closing.callback(feeder.stop)
        feeder.start()
        yield ClusterRun(victim, feeder, expected, text, random.Random(seed))


def every_kind(run: ClusterRun, kills: int, kafka: int, rebalances: int, cuts: int) -> None:
    """So many of each, in an order and with pauses drawn by the seed."""
    names = list(run.victim.cluster.members)
    deeds: list[Callable[[], None]] = []
    for kind in ("door", "bridge", "worker", "desk"):
        ours = [name for name in names if name.startswith(kind)]
        deeds += [lambda ours=ours: run.kill(run.chance.choice(ours))] * kills if ours else []  # type: ignore[misc]
    deeds += [run.kill_postgres] * kills + [run.kill_kafka] * kafka + [run.rebalance] * rebalances
    for link in run.links():
        deeds += [lambda link=link, how=how: run.cut_link(link, how) for how in list(Cut) * cuts]  # type: ignore[misc]
    deeds += [lambda: run.cut(10)] * kills
    run.chance.shuffle(deeds)
    for deed in deeds:
        deed()
        run.live(0.0, 4.0)
        # Now and then the next thing happens before the last one is over.
        if run.chance.random() < 0.7:
            run.victim.wait_back()
            run.live(0.0, 4.0)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=20_260_801)
    parser.add_argument("--kills", type=int, default=5, help="of door, bridge, workers, desk and PostgreSQL each")
    parser.add_argument("--kafka", type=int, default=3, help="kills of Kafka")
    parser.add_argument("--rebalances", type=int, default=5, help="workers that come and go")
    parser.add_argument("--cuts", type=int, default=1, help="of each link in each way")
    parser.add_argument("--bridges", type=int, default=1, help="0 needs no Mosquitto")
    parser.add_argument("--planned", type=float, default=900.0, help="seconds until devices' clocks are well ahead")
    told = parser.parse_args(arguments)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tocsin-chaos-") as folder:
        Path(folder).chmod(0o711)
        with running(Path(folder), told.seed, told.planned, bridges=told.bridges) as run:
            run.live(14.0, 18.0)
            every_kind(run, told.kills, told.kafka, told.rebalances, told.cuts)
            run.end_all(300.0, with_bundles=True)
    sys.stdout.write(f"all well after {time.monotonic() - began:.0f} s\n")


if __name__ == "__main__":
    main(sys.argv[1:])
