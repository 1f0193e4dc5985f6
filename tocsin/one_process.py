"""Everything in one process: each part is built once, handed what it needs, started in order, stopped in reverse.

`docs/ideas/architecture.md` has the picture. Order of start: data directory, PostgreSQL (while the kernels load), log
with its ticks and controls, desk and risk beside it, judging, store, HTTP, and last the door.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import structlog

from alerting.channels.mqtt_events import MqttEvents
from alerting.composer import Reply
from alerting.heartbeat import Heartbeat
from alerting.people import People
from alerting.texts import load_texts
from alerting.trials import Trials
from console.api import make_api
from console.house_health import HouseHealth
from console.live import Live
from console.once import OnceBook
from console.rulebook import Rulebook
from console.services import Services
from ingest.commit_rows import RoundRows
from ingest.replaying import Replayer, write_together
from ingest.store_sessions import PostgresSessions
from registry.accounts import Accounts
from registry.directory import Directory
from registry.logins import KnownLogins
from registry.store import LoginFollower
from schemas.errors import ConfigError
from streams.commands import ControlDispatcher, active_pack_version, ensure_pack
from streams.log.postgres import PostgresLogWriter
from streams.log.reader import PostgresLogReader
from streams.packs import load_pack
from streams.risk_book import RiskBook
from streams.store.process import StoreSettings
from streams.ticking import last_logged_us, run_ticks
from streams.ticks import HouseTime
from tocsin import desk_parts
from tocsin.beside.part import PartBeside
from tocsin.beside.told import Told
from tocsin.bridge_parts import bridge_settings, make_bridge
from tocsin.console_child import ConsoleChild, ConsoleSettings
from tocsin.data_directory import DataDirectory, Running
from tocsin.housekeeping import (
    HEAP_S,
    LOGINS_S,
    REPLAY_S,
    SWEEP_S,
    Chore,
    Housekeeping,
    drop_segments,
    sweep_audit,
    sweep_quarantine,
)
from tocsin.http_server import HttpServer
from tocsin.layout import written_layout
from tocsin.metrics import Stations
from tocsin.migrate import migrate
from tocsin.parts import make_judging, open_door, readings_around
from tocsin.payload_parts import make_payloads
from tocsin.postgres import EmbeddedPostgres, cluster_in
from tocsin.process import Process
from tocsin.resident import give_back_heap
from tocsin.settings import Settings
from tocsin.standing import Standing, Standings
from tocsin.standing.bridge import bridge_standing
from tocsin.standing.crew import crew_standing
from tocsin.standing.door import door_standing
from tocsin.standing.judging import judging_standing
from tocsin.standing.log import rows_standing
from tocsin.standing.store import store_standing
from tocsin.standing.watch import Watch
from tocsin.store_child import store_child
from tocsin.warm_up import warm_up

_RISK_STARTS_S = 30.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Addresses:
    mqtt_port: int
    http_port: int
    console_port: int = 0
    """Of the web console, 0 where there is none."""


class OneProcess(Process):
    """`start`, then `wait` until it is told to stop or a part fails, then `stop`.

    terminal: takes the journal's lines, in colour if `colour`.  quiet: the parts beside it log no more than warnings.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        terminal: Callable[[str], None] = lambda line: None,
        colour: bool = False,
        quiet: bool = False,
    ) -> None:
        super().__init__(settings)
        self._terminal = terminal
        self._colour = colour
        self._quiet = quiet
        self._directory = DataDirectory(settings.data)
        self._postgres: EmbeddedPostgres | None = None

    # --- life ---

    def start(self) -> Addresses:
        """Bring every part up. Raises ConfigError or ServiceAway with a mend; call `stop` in any case."""
        self._directory.claim()
        self._build_beside()
        with ThreadPoolExecutor(1) as helper:
            kernels = helper.submit(warm_up)
            self.dsn = self._database()
            migrate(self.dsn)
            kernels.result()
        self._open_log()
        self._build_door()
        if self.settings.broker:
            self._build_bridge()
        self._start_desk()
        self._start_judging()
        self._start_store()
        self._start_housekeeping()
        addresses = self._start_edges()
        self.settle_memory()
        self._directory.announce(Running(os.getpid(), addresses.mqtt_port, addresses.http_port, addresses.console_port))
        return addresses

    def stop(self) -> None:
        super().stop()
        if self._postgres is not None:
            self._postgres.stop()
        self._directory.release()

    def troubles(self) -> dict[str, str]:
        """Part → what is wrong with it, for those with which something is."""
        return self.standings.wrong()

    # --- parts, in the order of a reading's way back ---

    def _database(self) -> str:
        if self.settings.dsn:
            return self.settings.dsn
        self._postgres = EmbeddedPostgres(cluster_in(self.settings.data))
        self._postgres.start()
        return self._postgres.dsn()

    def _open_log(self) -> None:
        settings = self.settings
        layout = written_layout(self.dsn)
        if layout.topic:
            raise ConfigError(
                f"the database is that of a cluster, whose log is {layout.topic}.",
                field="TOCSIN_DSN",
                mend="Run `tocsin door`, `tocsin worker` and `tocsin desk`, or name another database.",
            )
        self.writer = PostgresLogWriter(self.dsn)
        self._closers.append(self.writer.close)
        self._activate_pack()
        self.last_us = last_logged_us(self._reader(), self.writer.head)
        self.house = HouseTime(self.last_us, self._clock.wall_us(), self._clock.monotonic_us())
        stop = threading.Event()
        self.crew.start("ticks", lambda: run_ticks(self.writer, self._clock, self.house, stop), stop.set)
        stop_control = threading.Event()
        self.control = ControlDispatcher(self.dsn, self.writer)
        self.crew.start("control", lambda: self.control.run(stop_control), stop_control.set)
        _log.info("log_open", head=self.writer.head, retention_h=settings.log_retention_h)

    def _activate_pack(self) -> None:
        """The pack that is named; in a fresh log the default one. Otherwise what was activated last stays."""
        if self.settings.rules is not None or active_pack_version(self.dsn) is None:
            pack = load_pack(self.settings.rules)
            if ensure_pack(self.writer, self.dsn, pack):
                _log.info("pack_activated", pack=pack.name, version=pack.version)

    def _build_door(self) -> None:
        """Bound here, so that a taken port is said early; served last."""
        settings = self.settings
        logins = KnownLogins()
        self.follower = LoginFollower(self.dsn, logins)
        self._closers.append(self.follower.close)
        self.follower.refresh()
        store = PostgresSessions(self.dsn)
        self._door_stop = threading.Event()
        self.door = open_door(
            settings,
            log=RoundRows(self.writer.append, store.write),
            store=store,
            clock=self._now_us,
            logins=logins,
            after_us=self.last_us,
            failpoint=self._failpoint,
        )

    def _build_bridge(self) -> None:
        """Beside the door: reads a broker that is already there. Made here, so that a wrong address is said early."""
        settings = self.settings
        self.bridge = make_bridge(
            bridge_settings(settings, settings.instance or socket.gethostname(), group=""),
            log=RoundRows(self.writer.append, PostgresSessions(self.dsn).write),
            clock=self._now_us,
            after_us=self.last_us,
            failpoint=self._failpoint,
        )

    def _build_beside(self) -> None:
        """Processes of parts, which start while we do. Raises ConfigError."""
        desk_parts.check(self.settings)
        self.desk = PartBeside("desk", on_turn=self._announce, on_line=self._terminal)
        self.desk.show(self.metrics)
        self.store = store_child()
        for child in (self.desk, self.store):
            self._closers.append(child.kill)
            child.begin()

    def _announce(self) -> None:
        """The desk has taken alarm events."""
        self.mqtt_events.wake()

    def _start_desk(self) -> None:
        self._told_beside = Told.of(self.settings, self.dsn, self.last_us, colour=self._colour, quiet=self._quiet)
        self.mqtt_events = MqttEvents(self.dsn, self.door.publish)
        self.desk.tell(self._told_beside)
        self.crew.start("desk", self.desk.run, self.desk.stop)
        self.crew.start("mqtt_events", self.mqtt_events.run, self.mqtt_events.stop)

    def _start_risk(self) -> None:
        """Late: no alarm waits for it."""
        self.risk = PartBeside("risk", patience_s=_RISK_STARTS_S)
        self._closers.append(self.risk.kill)
        self.risk.show(self.metrics)
        self.risk.tell(self._told_beside)
        self.crew.start("risk", self.risk.run, self.risk.stop)

    def _start_judging(self) -> None:
        self.engine, self.judging = make_judging(
            self.settings, self.dsn, self._reader(), on_events=self.desk.poke, failpoint=self._failpoint
        )
        self.crew.start("judging", self.judging.run, self.judging.stop)

    def _start_store(self) -> None:
        settings = self.settings
        point = settings.failpoint if settings.failpoint.startswith("while_partition_closes") else ""
        self.store.tell(StoreSettings(self.dsn, settings.reading_retention_days, point))
        self.crew.start("store", self.store.run, self.store.stop)

    def _start_housekeeping(self) -> None:
        retention_s = self.settings.log_retention_h * 3600
        replayer = Replayer(self.dsn, write_together(self.writer.append), self._now_us)
        self._closers.append(replayer.close)
        housekeeping = Housekeeping(
            Chore(LOGINS_S, self.follower.refresh),
            Chore(REPLAY_S, replayer.turn),
            Chore(SWEEP_S, lambda: drop_segments(self.dsn, retention_s)),
            Chore(SWEEP_S, lambda: sweep_quarantine(self.dsn, self._now_us())),
            Chore(SWEEP_S, lambda: sweep_audit(self.dsn, self.settings.audit_retention_days)),
            Chore(HEAP_S, give_back_heap),
        )
        self.crew.start("housekeeping", housekeeping.run, housekeeping.stop)
        if self.settings.heartbeat_url:
            beat = Heartbeat(self.settings.heartbeat_url, self.settings.heartbeat_s, lambda: not self.troubles())
            self.crew.start("heartbeat", beat.run, beat.stop)

    def _start_edges(self) -> Addresses:
        """The API and, last, the door."""
        settings = self.settings
        self.people = People(self.dsn, self._now_us, readings_around(self.dsn))
        self._closers.append(self.people.close)
        live = Live(self.dsn, self.people)
        self.crew.start("live", live.run, live.stop)
        self.watch = Watch(self.dsn)
        self.crew.start("watch", self.watch.run, self.watch.stop)
        self._start_risk()
        standings = self._standings(self.watch)
        self.standings = Standings(lambda: standings)
        Stations(self.standings.stations, self.metrics)
        services = Services(
            self.people,
            live,
            Accounts(self.dsn),
            Directory(self.dsn),
            make_payloads(self.dsn, self._now_us),
            risk=RiskBook(self.dsn),
            rules=Rulebook(self.dsn),
            trials=Trials(self.dsn, load_texts(), self._now_us, Reply(settings.public_url, settings.duty_phone)),
            once=OnceBook(self.dsn),
            health=HouseHealth(self.dsn, ask=self.standings.troubles, folder=settings.data),
        )
        self._closers += services.closers()
        api = make_api(services, self.metrics, self.standings.troubles, self._token())
        http = HttpServer(api, settings.http_host, settings.http_port)
        self.crew.start("http", http.run, http.stop)
        console_port = self._start_console(http.port)
        if settings.broker:
            stop = threading.Event()
            self.crew.start("bridge", lambda: self.bridge.run(stop), stop.set)
        self.crew.start("door", lambda: self.door.run(self._door_stop), self._door_stop.set)
        return Addresses(self.door.port, http.port, console_port)

    def _start_console(self, http_port: int) -> int:
        """The web console's process. Returns its port, 0 where there is none."""
        settings = self.settings
        if not settings.console:
            return 0
        told = ConsoleSettings(
            self.dsn,
            self._token(),
            settings.language,
            settings.public_url,
            settings.duty_phone,
            main=f"http://{_reachable(settings.http_host)}:{http_port}",
            data=settings.data.absolute(),
            clock_file=settings.clock_file,
            led_clock=settings.led_clock,
        )
        self.console = ConsoleChild(told, settings.http_host, settings.console_port)
        self._closers.append(self.console.kill)
        self.crew.start("console", self.console.run, self.console.stop)
        return self.console.port

    def _standings(self, watch: Watch) -> list[Standing]:
        head = self.writer
        return [
            crew_standing(self.crew),
            door_standing(self.door.counts),
            rows_standing(head),
            judging_standing(self.judging, self.engine, lambda: head.head, self._now_us, watch),
            self.desk.standing(),
            Standing("mqtt_events", self.mqtt_events.trouble),
            self.risk.standing(),
            store_standing(watch, lambda: {0: head.head}, self._now_us),
            *([bridge_standing(self.bridge.counts, self.bridge.trouble)] if self.settings.broker else []),
        ]

    def first_link(self) -> str:
        """Where the first administrator logs in, once; empty when somebody can get in, or there is no console.

        It also stands in the data directory, for who has not seen it printed.
        """
        if not self.settings.console:
            return ""
        with closing(Accounts(self.dsn)) as accounts:
            token = accounts.ensure_first_administrator()
        link = self._console_url(f"/login/link/{token}") if token else ""
        if link:
            self._directory.keep_first_login(link)
        return link

    def _console_url(self, path: str) -> str:
        return f"http://{_reachable(self.settings.http_host)}:{self.console.port}{path}"

    def _token(self) -> str:
        return self.settings.token.get_secret_value() or self._directory.token()

    def _now_us(self) -> int:
        """The house's time, which no step of the wall clock moves: deadlines and retries stand in it."""
        return self.house.at(self._clock.monotonic_us())

    def _reader(self) -> PostgresLogReader:
        reader = PostgresLogReader(self.dsn, tail=self.writer.tail)
        self._closers.append(reader.close)
        return reader


def _reachable(host: str) -> str:
    """A host to ask, for one to bind to."""
    return "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host  # noqa: S104  compared
