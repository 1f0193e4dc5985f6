"""How the web console is put together; in both ways of running, and in whichever process."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI
from starlette.types import ASGIApp

from alerting.people import People
from console.api import add_api
from console.app import make_console
from console.errors import answer_errors
from console.guard import Guard
from console.live import Live
from console.services import Services
from registry.accounts import Accounts
from tocsin.console_child import ConsoleSettings
from tocsin.crew import Crew
from tocsin.parts import readings_around
from tocsin.standing.watch import Watch


class ConsoleParts:
    """Threads and services of a console. `app` once; then `close`."""

    def __init__(self, settings: ConsoleSettings, now_us: Callable[[], int]) -> None:
        self._settings = settings
        self._now_us = now_us
        self.people = People(settings.dsn, now_us, readings_around(settings.dsn))
        self.accounts = Accounts(settings.dsn, now_us)
        self.live = Live(settings.dsn, self.people)
        self.watch = Watch(settings.dsn)
        self._crew = Crew()
        self._crew.start("live", self.live.run, self.live.stop)
        self._crew.start("watch", self.watch.run, self.watch.stop)

    def app(self) -> ASGIApp:
        app = FastAPI(title="Tocsin", version="1", docs_url=None, redoc_url=None, openapi_url=None)
        answer_errors(app)
        app.add_middleware(Guard, token=self._settings.token, accounts=self.accounts)
        services = Services(self.people, self.live, self.accounts)
        add_api(app, services)
        return make_console(
            app,
            services,
            self.accounts,
            now_us=self._now_us,
            judged_us=self.judged_us,
            language=self._settings.language,
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
        self._crew.stop(2.0)
        self.people.close()
        self.accounts.close()
