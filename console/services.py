"""What stands behind the API and the pages: the services of all stages, made once by the composition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from alerting.people import People
from alerting.trials import Trials
from console.house_health import HouseHealth
from console.live import Live
from console.once import OnceBook
from console.rulebook import Rulebook
from ingest.payloads import Payloads
from registry.accounts import Accounts
from registry.directory import Directory
from registry.places import PlaceBook
from streams.risk_book import RiskBook


@dataclass(frozen=True, slots=True)
class Services:
    """Everything is thread-safe, and takes its viewer. Parts that a process does not have are None."""

    people: People
    live: Live
    accounts: Accounts | None = None
    directory: Directory | None = None
    payloads: Payloads | None = None
    places: PlaceBook | None = None
    risk: RiskBook | None = None
    rules: Rulebook | None = None
    health: HouseHealth | None = None
    trials: Trials | None = None
    once: OnceBook | None = None

    def closers(self) -> list[Callable[[], None]]:
        """What ends the connections of all of them but `people`, whose maker ends it."""
        held = (
            self.accounts,
            self.directory,
            self.payloads,
            self.places,
            self.risk,
            self.health,
            self.trials,
            self.once,
        )
        return [one.close for one in held if one is not None]
