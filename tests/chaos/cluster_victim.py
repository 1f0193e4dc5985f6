"""A cluster whose parts are killed, starved and cut off from each other, and started again as a supervisor would.

Between every two kinds of parts there is a link of its own (`links`): each kind has its listener at Kafka, and reaches
PostgreSQL and the webhook by ports of its own.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from schemas.entries import Tick
from schemas.errors import ServiceAway
from schemas.kafka import log_topic
from sensors_sim.webhook_sink import SinkProcess
from streams.log.kafka_reader import KafkaPartitionsReader
from streams.log.kafka_topics import ends_of
from tests.chaos.feeder import now_us
from tests.chaos.links import Cut, Links
from tests.chaos.victim import free_port, until
from tocsin.local.cluster import LocalCluster, Member, Plan
from tocsin.local.kafka import Kafka

KINDS = ("door", "bridge", "worker", "desk")
_OF_KAFKA = ("door", "bridge", "worker")
_BACK_S = 300.0
_READ = 256
_MISSING_US = 1_500_000
"""Ticks further apart than this: one is missing."""
_AFTER_US = 20_000_000
_ENVIRONMENT = {"TOCSIN_WEBHOOK_SECRET": "a secret of the chaos test", "TOCSIN_CHECKPOINT_S": "3"}


class _Cluster(LocalCluster):
    """A local cluster in which every part reaches the others over links."""

    def __init__(self, folder: Path, plan: Plan, sink: SinkProcess) -> None:
        super().__init__(folder, plan)
        self.links = Links()
        self.door_port = free_port()
        told = {self._listener(kind): self.links.open(f"{kind}–Kafka", self._kafka_of(kind)) for kind in _OF_KAFKA}
        self.kafka = Kafka(folder / "kafka", forwarded=told)
        for kind in KINDS:
            self.links.open(f"{kind}–PostgreSQL", self._postgres_socket)
        self.links.open("desk–webhook", lambda: ("127.0.0.1", sink.port))
        if self.mosquitto is not None:
            broker = self.mosquitto
            self.links.open("bridge–broker", lambda: ("127.0.0.1", broker.port))

    def add(self, name: str) -> Member:
        kind = name.rpartition("-")[0]
        member = self.members.setdefault(name, Member(name, self.folder, {**self.environment, **self._paths(kind)}))
        member.launch()
        return member

    @staticmethod
    def _listener(kind: str) -> str:
        return f"{kind}s".upper()

    def _kafka_of(self, kind: str) -> Callable[[], tuple[str, int]]:
        """Where Kafka listens for this kind."""
        return lambda: ("127.0.0.1", self.kafka.ports[self._listener(kind)])

    def _postgres_socket(self) -> str:
        return f"{conninfo_to_dict(self.postgres.dsn())['host']}/.s.PGSQL.5432"

    def _paths(self, kind: str) -> dict[str, str]:
        """What a kind of process is told instead of the services' own addresses."""
        told = {}
        if f"{kind}–PostgreSQL" in self.links.names():
            port = self.links.port(f"{kind}–PostgreSQL")
            told["TOCSIN_DSN"] = make_conninfo(
                self.postgres.dsn(), host="127.0.0.1", port=port, sslmode="disable", gssencmode="disable"
            )
        if kind in _OF_KAFKA:
            told["TOCSIN_KAFKA"] = f"127.0.0.1:{self.links.port(f'{kind}–Kafka')}"
        if kind == "door":
            told["TOCSIN_MQTT_PORT"] = str(self.door_port)
        if kind == "desk":
            told["TOCSIN_WEBHOOK_URL"] = f"http://127.0.0.1:{self.links.port('desk–webhook')}/"
        if kind == "bridge":
            told["TOCSIN_BROKER"] = f"mqtt://127.0.0.1:{self.links.port('bridge–broker')}"
        return told


class ClusterVictim:
    """Port `run.Suffering`. One door, one bridge where there is a Mosquitto, two workers, one desk."""

    def __init__(self, folder: Path, pack: Path, sink: SinkProcess, *, bridges: int = 0) -> None:
        plan = Plan(
            bridges=bridges, consoles=0, partitions=4, environment={**_ENVIRONMENT, "TOCSIN_RULES": str(pack)}
        )  # fmt: skip
        self.sink = sink
        self.cluster = _Cluster(folder, plan, sink)
        self.links = self.cluster.links
        self.kills_us: list[int] = []
        self.fell: list[str] = []
        """Members that ended without our doing, with their last words."""
        self._down: set[str] = set()
        """Members that we have ended, or that were not ready yet: these may end."""

    def start(self) -> None:
        self.cluster.start()

    def stop(self) -> None:
        self.cluster.stop()
        self.links.close()

    @property
    def mqtt_port(self) -> int:
        return self.cluster.door_port

    @property
    def broker_port(self) -> int:
        """0 where there is no bridge."""
        return self.cluster.mosquitto.port if self.cluster.mosquitto is not None else 0

    @property
    def dsn(self) -> str:
        return self.cluster.postgres.dsn()

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(self.dsn, autocommit=True)

    def ends(self) -> dict[int, int]:
        count = self.cluster.plan.partitions
        found = ends_of(self.cluster.kafka.servers, log_topic(count), range(count), {})
        return {partition: end.last for partition, end in found.items()}

    @cached_property
    def blind_us(self) -> list[tuple[int, int]]:
        """Where ticks are missing, by the log itself: once all is over. On a slow machine it is so without a kill."""
        count, ends = self.cluster.plan.partitions, self.ends()
        reader = KafkaPartitionsReader(self.cluster.kafka.servers, log_topic(count), range(count))
        after, ticked, gaps = dict.fromkeys(range(count), 0), dict.fromkeys(range(count), 0), []
        try:
            while any(after[partition] < end for partition, end in ends.items()):
                reader.wait(after, 1.0)
                for entry in reader.read(after, _READ):
                    after[entry.partition] = entry.number
                    if isinstance(entry.payload, Tick) and entry.payload.now_us > ticked[entry.partition]:
                        last, ticked[entry.partition] = ticked[entry.partition], entry.payload.now_us
                        if last and entry.payload.now_us - last > _MISSING_US:
                            gaps.append((last, entry.payload.now_us))
        finally:
            reader.close()
        return merged(gaps)

    def unexplained_us(self) -> int:
        """The longest time without ticks in which nothing was done to the cluster, nor shortly before."""
        return max(
            (b - a for a, b in self.blind_us if not any(a - _AFTER_US < kill < b for kill in self.kills_us)), default=0
        )

    # --- what is done to it ---

    def kill(self, name: str) -> None:
        """`kill -9`; a supervisor starts it again at once. `wait_back` says when all are back."""
        self._done()
        self._down.add(name)
        self.cluster.members[name].kill()
        self.cluster.members[name].launch()
        if name.startswith("door") or name.startswith("bridge"):
            self._until_ticks()

    def kill_postgres(self) -> None:
        """`kill -9` of the postmaster; the cluster starts it again by itself."""
        pid = self.cluster.postgres.pid
        self._done()
        os.kill(pid, signal.SIGKILL)
        until("PostgreSQL has gone", lambda: not Path(f"/proc/{pid}").exists(), 30.0)
        until("PostgreSQL is back", self._has_postgres, _BACK_S)

    def kill_kafka(self) -> None:
        self._done()
        self.cluster.kafka.kill()
        self.cluster.kafka.start()
        self._until_ticks()

    def rebalance(self, name: str) -> None:
        """A further worker joins, takes its share, and leaves again."""
        self._done()
        self._down.add(name)
        self.cluster.add(name)
        self.wait_back()
        self._down.add(name)
        self.cluster.members[name].stop(30.0)
        del self.cluster.members[name]

    def cut(self, link: str, how: Cut) -> None:
        self._done()
        self.links.cut(link, how)

    def mend(self, link: str) -> None:
        self.links.mend(link)
        if link in ("door–Kafka", "bridge–Kafka"):
            self._until_ticks()

    def wait_back(self) -> None:
        """Until every member serves again; those that could not start are started again, as a supervisor does."""
        until("all members are ready", self._all_back, _BACK_S)

    def look(self) -> None:
        """Note who has ended by himself."""
        for name, member in self.cluster.members.items():
            if not member.is_alive() and name not in self._down:
                self.fell.append(f"{name}: {member.last_words()}")
                self._down.add(name)

    def _all_back(self) -> bool:
        self.look()
        ready = True
        for name, member in self.cluster.members.items():
            if not member.is_alive():
                member.launch()
                ready = False
            elif member.is_ready():
                self._down.discard(name)
            else:
                ready = False
        return ready

    def _done(self) -> None:
        self.look()
        self.kills_us.append(now_us())

    def _until_ticks(self) -> None:
        """Wait until every partition grows again."""
        before: dict[int, int] = {}

        def ticks() -> bool:
            nonlocal before
            self._all_back()
            try:
                ends = self.ends()
            except ServiceAway:
                return False
            before = before or ends
            return all(ends[partition] > last for partition, last in before.items())

        until("the log grows in every partition", ticks, _BACK_S)

    def _has_postgres(self) -> bool:
        try:
            with self.connect():
                return True
        except psycopg.OperationalError:
            return False


def merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same moments by spans that do not overlap, in order."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found
