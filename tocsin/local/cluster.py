"""A cluster of plain processes in one folder: PostgreSQL, Kafka, Mosquitto, doors, bridges, workers, desks, consoles.

Each of ours is `python -m tocsin WORD` with its own data directory, named `door-1`, `worker-2` …; any of them may be
killed and started again under its name. `LocalCluster` ends everything that it started.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from schemas.errors import ServiceAway
from tocsin.data_directory import DataDirectory, Running
from tocsin.local.kafka import Kafka
from tocsin.local.mosquitto import Mosquitto
from tocsin.postgres import EmbeddedPostgres, cluster_in

_READY_S = 300.0
"""The first start of all compiles for a minute, and several do at once."""
_STOP_S = 10.0
_SESSIONS = 200
"""Half a dozen a partition, and some a process."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How many of each. environment: more TOCSIN_* for all of ours."""

    doors: int = 1
    bridges: int = 1
    workers: int = 2
    desks: int = 1
    consoles: int = 1
    partitions: int = 8
    environment: Mapping[str, str] = field(default_factory=dict)

    def names(self) -> list[str]:
        """In the order of their start."""
        counts = (
            ("worker", self.workers), ("desk", self.desks), ("console", self.consoles),
            ("door", self.doors), ("bridge", self.bridges),
        )  # fmt: skip
        return [f"{word}-{number}" for word, count in counts for number in range(1, count + 1)]


class Member:
    """One process of ours: `word-number`."""

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.data = folder / name
        self.log = folder / f"{name}.log"
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    @property
    def running(self) -> Running:
        """Its ports. Raises ServiceAway when it has not announced them."""
        found = DataDirectory(self.data).running()
        if found is None or found.pid != self.pid:
            raise ServiceAway(self.name, "it has not said its ports yet.")
        return found

    def launch(self) -> None:
        """Start the process; `wait_until_ready` says when it serves."""
        self.data.mkdir(parents=True, exist_ok=True)
        word = self.name.rpartition("-")[0]
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tocsin", word, "--data", str(self.data)],
                env={**os.environ, **self._environment, "TOCSIN_INSTANCE": self.name},
                stdout=out,
                stderr=out,
            )

    def wait_until_ready(self, patience_s: float = _READY_S) -> None:
        """Raises ServiceAway with its last words when it ends or takes too long."""
        assert self._process is not None
        until = time.monotonic() + patience_s
        while time.monotonic() < until and self._process.poll() is None:
            if self.is_ready():
                return
            time.sleep(0.05)
        raise ServiceAway(self.name, "it did not become ready.", mend=f"Its last words: {self.last_words()}")

    def is_ready(self) -> bool:
        try:
            url = f"http://127.0.0.1:{self.running.http_port}/readyz"
            return httpx.get(url, timeout=1.0).status_code == httpx.codes.OK
        except (ServiceAway, httpx.HTTPError):
            return False

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-1500:] if self.log.exists() else ""

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def tell(self, how: signal.Signals) -> None:
        if self.is_alive():
            os.kill(self.pid, how)

    def kill(self) -> None:
        """`kill -9`, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self, patience_s: float = _STOP_S) -> int:
        """A clean stop; returns its exit code."""
        if self._process is None:
            return 0
        self.tell(signal.SIGTERM)
        try:
            return self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL


class LocalCluster:
    """`start` and `stop`; between them members may be killed, started and added."""

    def __init__(self, folder: Path, plan: Plan | None = None) -> None:
        self.folder = folder
        self.plan = plan or Plan()
        self.postgres = EmbeddedPostgres(cluster_in(folder / "postgres"), settings={"max_connections": str(_SESSIONS)})
        self.kafka = Kafka(folder / "kafka")
        self.mosquitto = Mosquitto(folder / "mosquitto") if self.plan.bridges else None
        self.members: dict[str, Member] = {}

    def start(self) -> None:
        """Services, tables and topics, then every member. Raises ServiceAway, ConfigError; call `stop` in any case."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o711)
        self.postgres.start()
        self.kafka.start()
        if self.mosquitto is not None:
            self.mosquitto.start()
        self.migrate()
        for name in self.plan.names():
            self.add(name)
        for member in self.members.values():
            member.wait_until_ready()

    def migrate(self) -> None:
        """`tocsin migrate`: tables and topics."""
        done = subprocess.run(
            [sys.executable, "-m", "tocsin", "migrate", "--partitions", str(self.plan.partitions)],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ServiceAway("tocsin migrate", f"it ended with code {done.returncode}: {done.stderr.strip()}")

    def add(self, name: str) -> Member:
        """Launch a member, `door-2` for example; does not wait until it is ready."""
        member = self.members.setdefault(name, Member(name, self.folder, self.environment))
        member.launch()
        return member

    def stop(self) -> None:
        """Every member, then the services; what brings work ends first."""
        for name in reversed(list(self.members)):
            self.members[name].tell(signal.SIGTERM)
        for member in self.members.values():
            member.stop()
        if self.mosquitto is not None:
            self.mosquitto.stop()
        self.kafka.stop()
        self.postgres.stop()

    @property
    def environment(self) -> dict[str, str]:
        """What every process of ours is told."""
        told = {
            "TOCSIN_DSN": self.postgres.dsn(),
            "TOCSIN_KAFKA": self.kafka.servers,
            "TOCSIN_MQTT_PORT": "0",
            "TOCSIN_HTTP_PORT": "0",
        }
        if self.mosquitto is not None:
            told["TOCSIN_BROKER"] = self.mosquitto.url
        return {**told, **self.plan.environment}

    @property
    def broker_url(self) -> str:
        """Of the broker that the bridges read; empty where there is none."""
        return self.mosquitto.url if self.mosquitto is not None else ""

    @property
    def mqtt_ports(self) -> list[int]:
        """Of the doors that run."""
        return [m.running.mqtt_port for name, m in self.members.items() if name.startswith("door-") and m.is_alive()]

    def pids(self) -> dict[str, int]:
        """name → process, of everything that runs; PostgreSQL's is the one all its others come from."""
        found = {name: member.pid for name, member in self.members.items() if member.is_alive()}
        found |= {"postgres": self.postgres.pid, "kafka": self.kafka.pid}
        return found | ({"mosquitto": self.mosquitto.pid} if self.mosquitto is not None else {})


@contextmanager
def local_cluster(folder: Path, plan: Plan | None = None) -> Iterator[LocalCluster]:
    """A cluster for the length of a block."""
    cluster = LocalCluster(folder, plan)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
