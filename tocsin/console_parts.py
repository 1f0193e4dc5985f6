"""How the web console is put together, in a cluster and beside the one process alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from alerting.answering import Answering
from alerting.composer import Reply
from alerting.people import People
from alerting.texts import load_texts
from alerting.trials import Trials
from console.api import make_api
from console.app import make_console
from console.health import Troubles
from console.house_health import Ask, HouseHealth
from console.live import Live
from console.once import OnceBook
from console.phone import make_phone
from console.rulebook import Rulebook
from console.services import Services
from registry.accounts import Accounts
from registry.directory import Directory
from registry.places import PlaceBook
from streams.risk_book import RiskBook
from tocsin.crew import Crew
from tocsin.parts import readings_around
from tocsin.payload_parts import make_payloads
from tocsin.standing.watch import Watch


class ConsoleParts:
    """Services over PostgreSQL alone, and the threads that they need, in `crew`. `app` once; `close` at the end."""

    def __init__(
        self,
        dsn: str,
        now_us: Callable[[], int],
        crew: Crew,
        reply: Reply | None = None,
        *,
        main: Ask | None = None,
        data: Path | None = None,
    ) -> None:
        """reply: how people answer messages; its secret is not needed here.  main: how the process beside which this
        one runs says that it stands.  data: the folder on whose disk the data lie, if that is here.
        """
        self._now_us = now_us
        self._reply = reply or Reply()
        self.answering = Answering(dsn, now_us)
        self.people = People(dsn, now_us, readings_around(dsn))
        self.accounts = Accounts(dsn)
        self.directory = Directory(dsn)
        self.payloads = make_payloads(dsn, now_us)
        self.places = PlaceBook(dsn)
        self.risk = RiskBook(dsn)
        self.rules = Rulebook(dsn)
        self.health = HouseHealth(dsn, ask=main, folder=data)
        self.trials = Trials(dsn, load_texts(), now_us, self._reply)
        self.once = OnceBook(dsn)
        self.live = Live(dsn, self.people)
        self.watch = Watch(dsn)
        self.services = Services(
            self.people, self.live, self.accounts, self.directory, self.payloads, self.places, self.risk, self.rules,
            self.health, self.trials, self.once,
        )  # fmt: skip
        crew.start("live", self.live.run, self.live.stop)
        crew.start("watch", self.watch.run, self.watch.stop)

    def app(self, metrics: CollectorRegistry, troubles: Troubles, token: str, language: str) -> ASGIApp:
        """API and pages; served with its lifespan on. language: of who has not said theirs."""
        api = make_api(self.services, metrics, troubles, token)
        # Before the pages, which answer everything that nobody has answered.
        api.include_router(make_phone(self.answering, self._now_us, self._reply.duty_phone, language))
        return make_console(
            api,
            self.services,
            self.accounts,
            now_us=self._now_us,
            judged_us=self.judged_us,
            language=language,
        )

    def judged_us(self) -> int | None:
        """When the engine's position last moved, of the partition that has stood longest; None while not known."""
        seen = self.watch.seen
        engines = [] if seen is None else [partition for name, partition in seen.positions if name == "engine"]
        if not engines:
            return None
        still_s = max(self.watch.still_s("engine", partition) for partition in engines)
        return self._now_us() - int((still_s + self.watch.age_s()) * 1e6)

    def close(self) -> None:
        self.people.close()
        self.answering.close()
        self.accounts.close()
        self.directory.close()
        self.payloads.close()
        self.places.close()
        self.risk.close()
        self.health.close()
        self.trials.close()
        self.once.close()
