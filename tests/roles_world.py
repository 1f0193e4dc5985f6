"""Two shops in two districts, each with all that a shop can have; people of every role; the console before them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
from prometheus_client import CollectorRegistry

from ingest.ports import Kept
from ingest.quarantine import keep
from registry.accounts import Accounts
from registry.directory import Directory
from registry.views import Placed
from schemas.alarms import Grade, State
from schemas.enterprises import Contact, District, Enterprise, Zone
from schemas.errors import Reject
from schemas.viewers import Role, house
from streams.packs import load_pack
from streams.risk_keeper import RiskKeeper
from tests.accounts_world import CHEAP
from tests.alerting_world import START_US, US, HandClock, event
from tests.registry_world import speak
from tests.waiting import until
from tests.watching_world import telling
from tocsin.console_parts import ConsoleParts
from tocsin.crew import Crew
from tocsin.http_server import HttpServer

TOKEN = "0123456789abcdef0123"
OURS, OTHERS, NOWHERE = "shop-1", "shop-2", "shop-9"
DISTRICT = {OURS: "310101", OTHERS: "310102", NOWHERE: "310109"}
MESSAGE = {OURS: str(START_US), OTHERS: str(START_US + 1), NOWHERE: str(START_US + 9)}
PHONE = {OURS: "+8613800000001", OTHERS: "+8613800000002"}
WRONG = (Reject("text", "smoke", "The value is text, not a number.", "Send the number without quotes."),)
SCOPES: dict[Role, dict[str, tuple[str, ...]]] = {
    Role.OPERATOR: {"districts": ("310101",)},
    Role.SUPERVISOR: {"districts": ("310101",)},
    Role.OWNER: {"enterprises": (OURS,)},
    Role.INTEGRATOR: {"enterprises": (OURS,)},
    Role.ADMINISTRATOR: {},
}

_ONE_BY_ONE = httpx.Limits(max_keepalive_connections=0)
"""A connection for each request: a server that fails at one ends it, perhaps as the next request leaves."""


@dataclass
class World:
    dsn: str
    url: str
    alarm: dict[str, str]
    """Enterprise → the key of its alarm."""
    command: dict[str, str]
    keys: dict[Role, str]
    """Role → the API key of its account, whose login is the role's word."""
    client: httpx.Client

    def ask(self, role: Role | None, method: str, path: str, **more: Any) -> httpx.Response:
        """What somebody of the role (None: nobody) is answered; of a stream its head alone."""
        headers = {"Authorization": f"Bearer {self.keys[role]}"} if role else {}
        headers |= more.pop("headers", {})
        with self.client.stream(method, path, headers=headers, **more) as answer:
            if "event-stream" not in answer.headers.get("content-type", ""):
                answer.read()
            return answer


def settle(dsn: str) -> tuple[dict[str, str], dict[str, str]]:
    """Both shops; the keys of their alarms and of a command about each."""
    with closing(Directory(dsn)) as directory:
        for shop in (OURS, OTHERS):
            directory.put_district(house(), District(DISTRICT[shop], f"district of {shop}"))
            directory.put_enterprise(
                house(),
                Enterprise(code=shop, name=f"name of {shop}", trade="H6210", district=DISTRICT[shop], area_m2=80.0),
            )
            directory.put_zone(house(), Zone(shop, "kitchen", f"kitchen of {shop}"))
            directory.put_contact(
                house(), Contact(enterprise=shop, order=1, name=f"owner of {shop}", phone=PHONE[shop])
            )
            directory.put_device(house(), Placed(enterprise=shop, device="kitchen", zone="kitchen"))
            speak(dsn, shop, "kitchen", "temperature")
            speak(dsn, shop, "stray", "smoke")
    with telling(dsn) as tale:
        raised = [
            event(State.RAISED, Grade.RED, enterprise=shop, device="kitchen", latched=True, event_us=START_US + US)
            for shop in (OURS, OTHERS)
        ]
        alarm = dict(zip((OURS, OTHERS), tale.tell(*raised), strict=True))
    with psycopg.connect(dsn, autocommit=True) as connection, connection.cursor() as cursor:
        keep(
            cursor,
            [
                Kept(int(MESSAGE[shop]), shop, "kitchen", f"tocsin/v1/{shop}/kitchen/telemetry", "c", b"{}", WRONG)
                for shop in (OURS, OTHERS)
            ],
        )
        for shop, key in alarm.items():
            connection.execute(
                "INSERT INTO commands (key, action, alarm_key, seen_step, asked_by) VALUES (%s, 'reset', %s, 1, 'x')",
                (f"reset-{shop}", key),
            )
            connection.execute(
                "INSERT INTO comments (alarm, by, text, at_us, idempotency_key) VALUES (%s, 'x', %s, 0, %s)",
                (key, f"comment of {shop}", shop),
            )
        pack = load_pack(None)
        connection.execute("INSERT INTO rule_packs (version, toml) VALUES (%s, %s)", (pack.version, pack.toml))
        connection.execute("INSERT INTO rule_pack_activations VALUES (0, 1, %s)", (pack.version,))
    with closing(RiskKeeper(dsn, HandClock(START_US + 60 * US))) as keeper:
        while keeper.serve_once():
            pass
    alarm[NOWHERE] = "f" * 32
    return alarm, {shop: f"reset-{shop}" for shop in (OURS, OTHERS, NOWHERE)}


def people(dsn: str) -> dict[Role, str]:
    """An account of each role, its login the role's word; their API keys."""
    with closing(Accounts(dsn, hasher=CHEAP)) as accounts:
        for role in Role:
            accounts.add(house(), role.value, role, language="en", **SCOPES[role])  # type: ignore[arg-type]
        return {role: accounts.make_key(house(), "test", role.value).key for role in Role}


@contextmanager
def serving(dsn: str) -> Iterator[World]:
    """The console over `dsn`, as its process serves it."""
    alarm, command = settle(dsn)
    keys = people(dsn)
    crew = Crew()
    parts = ConsoleParts(dsn, HandClock(START_US + 60 * US), crew)
    server = HttpServer(parts.app(CollectorRegistry(), dict, TOKEN, "en"), "127.0.0.1", 0, lifespan="on")
    thread = threading.Thread(target=server.run)
    thread.start()
    url = f"http://127.0.0.1:{server.port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/healthz").status_code == 200
        except httpx.TransportError:
            return False

    try:
        until(answers, "the console answers")
        with httpx.Client(base_url=url, timeout=60.0, limits=_ONE_BY_ONE) as client:
            yield World(dsn, url, alarm, command, keys, client)
    finally:
        server.stop()
        thread.join(60)
        crew.stop(20.0)
        parts.close()
