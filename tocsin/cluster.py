"""The processes of a cluster. Each runs some of the parts that `tocsin/one_process.py` runs all of.

What differs is at the edges only: the log is Kafka, a part's neighbours are in other processes and wake it through
PostgreSQL, and each process answers for its own parts on `/readyz` and `/metrics`.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterable

from starlette.types import ASGIApp

from alerting.desk import Desk
from alerting.desks import SEATS, Desks
from alerting.heartbeat import Heartbeat
from alerting.listening import ALARMS as EVENTS
from alerting.listening import Listening
from alerting.metrics import AlertingMetrics
from alerting.outbox import Outbox
from alerting.people import People
from alerting.texts import load_texts
from console.api import make_api
from console.health import make_probes
from ingest.commit_kafka import RoundRecords
from ingest.door.hearing import Hearing
from ingest.shared_sessions import SharedSessions
from registry.logins import KnownLogins
from registry.store import LoginFollower
from schemas.kafka import ALARMS, ALARMS_STATE, QUARANTINE
from streams.log.kafka import KafkaLog, Record
from streams.log.kafka_times import last_logged_in_kafka_us
from streams.log.kafka_topics_reader import KafkaTopicsReader
from streams.ticking import run_ticks
from streams.ticks import HouseTime
from tocsin.data_directory import DataDirectory, Running
from tocsin.housekeeping import LOGINS_S, MARKS_S, SWEEP_S, Chore, Housekeeping, OutOfService, sweep_quarantine
from tocsin.http_server import HttpServer
from tocsin.layout import LayoutWatch, layout_of
from tocsin.metrics import Stations
from tocsin.parts import House, make_channels, open_door, readings_around
from tocsin.process import Process
from tocsin.recipients import routes_of
from tocsin.settings import Settings
from tocsin.standing import Standing, Standings
from tocsin.standing.crew import crew_standing
from tocsin.standing.desk import desks_standing
from tocsin.standing.door import door_standing
from tocsin.standing.elsewhere import judged_elsewhere, stored_elsewhere
from tocsin.standing.kafka import kafka_standing
from tocsin.standing.watch import Watch
from tocsin.warm_up import warm_up


class ClusterProcess(Process):
    """What they have in common: a directory, a log and a database by name, and somebody who asks how they stand."""

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
        http = HttpServer(self._app(standings), self.settings.http_host, self.settings.http_port)
        self.crew.start("http", http.run, http.stop)
        self.settle_memory()
        running = Running(os.getpid(), mqtt_port, http.port)
        self._directory.announce(running)
        return running

    def stop(self) -> None:
        super().stop()
        self._directory.release()

    def _start_parts(self) -> int:
        """Returns the port of MQTT, 0 where there is none."""
        raise NotImplementedError

    def _standings(self) -> Iterable[Standing]:
        raise NotImplementedError

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

    def _now_us(self) -> int:
        return self.house.at(self._clock.monotonic_us())

    def _quarantine(self, records: Iterable[tuple[bytes, bytes]]) -> None:
        self.log.produce_many(Record(QUARANTINE, key, value) for key, value in records)


class DoorProcess(WritingProcess):
    def _start_parts(self) -> int:
        warm_up()
        self._open_log()
        logins = KnownLogins()
        follower = LoginFollower(self.dsn, logins)
        follower.refresh()
        self._closers.append(follower.close)
        housekeeping = Housekeeping(Chore(LOGINS_S, follower.refresh))
        sessions = SharedSessions(self.dsn, self.instance)
        self.door = open_door(
            self.settings,
            name=self.instance,
            log=RoundRecords(self.log.append, self._quarantine, sessions.keep),
            store=sessions,
            peers=sessions,
            clock=self._now_us,
            logins=logins,
            after_us=self.last_us,
            failpoint=self._failpoint,
        )
        alarms = KafkaTopicsReader(
            self.layout.servers, from_end=[ALARMS], from_start=[ALARMS_STATE], config=self.layout.config
        )
        self._closers.append(alarms.close)
        self.hearing = Hearing(alarms.read, self.door.publish)
        self.crew.start("hearing", self.hearing.run, self.hearing.stop)
        self.crew.start("sessions", sessions.run, sessions.stop)
        self.crew.start("housekeeping", housekeeping.run, housekeeping.stop)
        self._door_stop = threading.Event()
        self.crew.start("door", lambda: self.door.run(self._door_stop), self._door_stop.set)
        return self.door.port

    def _standings(self) -> Iterable[Standing]:
        return [
            door_standing(self.door.counts), kafka_standing(self.log), Standing("alarms", self.hearing.trouble)
        ]  # fmt: skip


class DeskProcess(ClusterProcess):
    """The desks of a fair share of the partitions."""

    def _start_parts(self) -> int:
        house = self._house()
        marks = OutOfService(self.dsn)
        marks.refresh()
        housekeeping = Housekeeping(
            Chore(MARKS_S, marks.refresh), Chore(SWEEP_S, lambda: sweep_quarantine(self.dsn, house.now_us()))
        )
        texts = load_texts()
        metrics = AlertingMetrics(self.metrics)
        channels = make_channels(self.settings, self.dsn, texts, self._clock, house.now_us)
        outbox = Outbox(self.dsn, channels, house.now_us, metrics, self._failpoint)
        self._closers.append(outbox.stop)
        routes = routes_of(self.settings)

        def make_desk(partition: int) -> Desk:
            return Desk(
                self.dsn, routes, outbox, texts, metrics, house.now_us, partition=partition, shares=True,
                instance=self.instance, suppression_of=marks.suppression_of,
            )  # fmt: skip

        self.desks = Desks(self.dsn, self.layout.partitions, make_desk, self.instance)
        listening = Listening(self.dsn, {EVENTS: self.desks.wake, SEATS: self.desks.look_again})
        self.crew.start("housekeeping", housekeeping.run, housekeeping.stop)
        self.crew.start("listening", listening.run, listening.stop)
        self.crew.start("desks", self.desks.run, self.desks.stop)
        return 0

    def _standings(self) -> Iterable[Standing]:
        return desks_standing(self.desks)

    def _app(self, standings: Standings) -> ASGIApp:
        if self.settings.heartbeat_url:
            watch = Watch(self.dsn)
            self.crew.start("watch", watch.run, watch.stop)
            partitions = self.layout.partitions
            others = [judged_elsewhere(watch, partitions), stored_elsewhere(watch, partitions)]

            def is_well() -> bool:
                return not (standings.wrong() or any(other.trouble() for other in others))

            beat = Heartbeat(self.settings.heartbeat_url, self.settings.heartbeat_s, is_well)
            self.crew.start("heartbeat", beat.run, beat.stop)
        return super()._app(standings)


class ConsoleProcess(ClusterProcess):
    """The HTTP side: reads and writes PostgreSQL alone."""

    def _start_parts(self) -> int:
        self.people = People(self.dsn, self._house().now_us, readings_around(self.dsn))
        self._closers.append(self.people.close)
        return 0

    def _standings(self) -> Iterable[Standing]:
        return []

    def _app(self, standings: Standings) -> ASGIApp:
        return make_api(self.people, self.metrics, standings.troubles, self._token())
