"""A console of a cluster: API and pages, over PostgreSQL alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import structlog
from starlette.types import ASGIApp

from alerting.composer import Reply
from tocsin.cluster.process import ClusterProcess
from tocsin.console_parts import ConsoleParts
from tocsin.standing import Standing, Standings

_log = structlog.get_logger(__name__)


class ConsoleProcess(ClusterProcess):
    """The HTTP side: reads and writes PostgreSQL alone."""

    lifespan: Literal["on", "off"] = "on"

    def _start_parts(self) -> int:
        reply = Reply(self.settings.public_url, self.settings.duty_phone)
        self.parts = ConsoleParts(self.dsn, self._house().now_us, self.crew, reply)
        self._closers.append(self.parts.close)
        if token := self.parts.accounts.ensure_first_administrator():
            file = self._directory.keep_first_login(f"/login/link/{token}")
            _log.info("first_administrator", link_in=str(file))
        return 0

    def _standings(self) -> Iterable[Standing]:
        return []

    def _app(self, standings: Standings) -> ASGIApp:
        return self.parts.app(self.metrics, standings.troubles, self._token(), self.settings.language)
