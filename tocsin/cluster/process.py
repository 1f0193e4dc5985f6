"""What every process of a cluster is, and what those have in common that write the log."""

from __future__ import annotations

import os
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Literal

from starlette.types import ASGIApp

from console.health import make_probes
from ingest.replaying import Replayer, write_behind
from schemas.kafka import QUARANTINE
from streams.log.kafka import KafkaLog, Record
from streams.log.kafka_times import last_logged_in_kafka_us
from streams.ticking import run_ticks
from streams.ticks import HouseTime
from tocsin.data_directory import DataDirectory, Running
from tocsin.house import House
from tocsin.housekeeping import REPLAY_S, Chore
from tocsin.http_server import HttpServer
from tocsin.layout import LayoutWatch, layout_of
from tocsin.metrics import Stations
from tocsin.process import Process
from tocsin.settings import Settings
from tocsin.standing import Standing, Standings
from tocsin.standing.crew import crew_standing


class ClusterProcess(Process, ABC):
    """What they have in common: a directory, a log and a database by name, and somebody who asks how they stand."""

    lifespan: Literal["on", "off"] = "off"
    """On, where what it serves must be started and ended."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.instance = settings.instance or socket.gethostname()
        self.dsn = settings.dsn
        self._directory = DataDirectory(settings.data)

    def start(self) -> Running:
        """Bring every part up. Raises ConfigError or ServiceAway with a mend; call `stop` in any case."""
        self._directory.claim()
        self.layout = layout_of(self.settings)
        watch = LayoutWatch(self.settings, self.layout)
        self.crew.start("layout", watch.run, watch.stop)
        mqtt_port = self._start_parts()
        standings = Standings(lambda: [crew_standing(self.crew), *self._standings()])
        Stations(standings.stations, self.metrics)
        settings = self.settings
        http = HttpServer(self._app(standings), settings.http_host, settings.http_port, lifespan=self.lifespan)
        self.crew.start("http", http.run, http.stop)
        self.settle_memory()
        running = Running(os.getpid(), mqtt_port, http.port)
        self._directory.announce(running)
        return running

    def stop(self) -> None:
        super().stop()
        self._directory.release()

    @abstractmethod
    def _start_parts(self) -> int:
        """Bring up what this process is for. Returns the port of MQTT, 0 where there is none."""

    @abstractmethod
    def _standings(self) -> Iterable[Standing]:
        """How those parts stand, as of now; partitions come and go."""

    def _app(self, standings: Standings) -> ASGIApp:
        return make_probes(self.metrics, standings.troubles, self._token())

    def _token(self) -> str:
        return self.settings.token.get_secret_value() or self._directory.token()

    def _house(self) -> House:
        """The house's time where no ticks are written."""
        house = House(self._clock)
        self.crew.start("house", house.run, house.stop)
        return house


class WritingProcess(ClusterProcess):
    """A door or a bridge: it writes the log, and its ticks."""

    def _open_log(self) -> None:
        layout = self.layout
        self.log = KafkaLog(layout.servers, layout.topic, layout.partitions, layout.config)
        self._closers.append(self.log.close)
        self.last_us = last_logged_in_kafka_us(layout.servers, layout.topic, layout.partitions, layout.config)
        self.house = HouseTime(self.last_us, self._clock.wall_us(), self._clock.monotonic_us())
        stop = threading.Event()
        self.crew.start("ticks", lambda: run_ticks(self.log, self._clock, self.house, stop), stop.set)

    def _replaying(self) -> Chore:
        """Refused messages that somebody has mended enter the log here, or by another who writes it."""
        replayer = Replayer(self.dsn, write_behind(self.log.append, self.dsn), self._now_us)
        self._closers.append(replayer.close)
        return Chore(REPLAY_S, replayer.turn)

    def _now_us(self) -> int:
        return self.house.at(self._clock.monotonic_us())

    def _quarantine(self, records: Iterable[tuple[bytes, bytes]]) -> None:
        self.log.produce_many(Record(QUARANTINE, key, value) for key, value in records)
