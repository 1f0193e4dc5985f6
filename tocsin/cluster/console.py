"""A console of a cluster: the HTTP side, over PostgreSQL alone."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import ASGIApp

from alerting.people import People
from console.api import make_api
from console.live import Live
from console.services import Services
from tocsin.cluster.process import ClusterProcess
from tocsin.parts import readings_around
from tocsin.standing import Standing, Standings


class ConsoleProcess(ClusterProcess):
    """The HTTP side: reads and writes PostgreSQL alone."""

    def _start_parts(self) -> int:
        self.people = People(self.dsn, self._house().now_us, readings_around(self.dsn))
        self._closers.append(self.people.close)
        self.live = Live(self.dsn, self.people)
        self.crew.start("live", self.live.run, self.live.stop)
        return 0

    def _standings(self) -> Iterable[Standing]:
        return []

    def _app(self, standings: Standings) -> ASGIApp:
        return make_api(Services(self.people, self.live), self.metrics, standings.troubles, self._token())
