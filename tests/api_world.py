"""The whole API over a real PostgreSQL, asked in this process: every service of a console, accounts of each role."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from alerting.people import People
from alerting.texts import load_texts
from alerting.trials import Trials
from console.api import make_api
from console.house_health import HouseHealth
from console.live import Live
from console.once import OnceBook
from console.rulebook import Rulebook
from console.services import Services
from registry.accounts import Accounts
from registry.directory import Directory
from registry.places import PlaceBook
from streams.risk_book import RiskBook
from tests.accounts_world import make_accounts
from tests.alerting_world import HandClock
from tocsin.payload_parts import make_payloads

TOKEN = "0123456789abcdef0123"


@contextmanager
def all_services(dsn: str) -> Iterator[Services]:
    """Everything but the thread of `live`."""
    with ExitStack() as stack:
        people = People(dsn, HandClock())
        accounts: Accounts = make_accounts(dsn)
        directory, places, risk = Directory(dsn), PlaceBook(dsn), RiskBook(dsn)
        payloads, health = make_payloads(dsn), HouseHealth(dsn)
        once = OnceBook(dsn)
        trials = Trials(dsn, load_texts(), HandClock())
        for one in (people, accounts, directory, places, risk, payloads, health, trials, once):
            stack.callback(one.close)
        yield Services(
            people, Live(dsn, people), accounts, directory, payloads, places, risk, Rulebook(dsn), health,
            trials,
            once,
        )  # fmt: skip


def api_of(services: Services, token: str = TOKEN) -> FastAPI:
    return make_api(services, CollectorRegistry(), dict, token)


class Asker:
    """Asks an ASGI app; `bearer` is the house's token, a program's key, or nothing."""

    def __init__(self, app: FastAPI, bearer: str = TOKEN) -> None:
        self._app = app
        self._bearer = bearer

    def as_(self, bearer: str) -> Asker:
        return Asker(self._app, bearer)

    def __call__(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._bearer}"} if self._bearer else {}
        headers |= more.pop("headers", {})

        async def one() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://tocsin") as asker:
                return await asker.request(method, path, headers=headers, **more)

        return asyncio.run(one())
