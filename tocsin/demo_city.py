"""The city of `tocsin demo`: its registry, the people who watch over it, a carrier that texts nobody, the simulator."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from registry.accounts import Accounts
from registry.applying import apply
from registry.importing import in_order, read
from registry.store import open_registry
from schemas.errors import TocsinError
from schemas.viewers import Role, house
from sensors_sim import carrier
from sensors_sim.register import register
from sensors_sim.scenarios import load
from sensors_sim.town import Shop, settle
from tocsin.settings import Settings

LINK_S = 24 * 3600
_SENDER = "+861000000000"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody of the demo, and the link by which they come in, once."""

    login: str
    role: Role
    link: str


def shops_of(scenario: str, enterprises: int, seed: int) -> list[Shop]:
    """Who lives in the city. Raises ConfigError when there is no such scenario."""
    _, trades = load(scenario)
    return list(settle(trades, enterprises, seed))


def first_to_burn(scenario: str, shops: Sequence[Shop]) -> Shop:
    """The shop that the scenario's first fire befalls, or the first shop."""
    plan, _ = load(scenario)
    for event in plan.event:
        numbers = [number for number in event.shops if number > 0]
        of_trade = [shop for shop in shops if event.trade in ("", shop.trade.trade)]
        if numbers and len(of_trade) >= numbers[0]:
            return of_trade[numbers[0] - 1]
    return shops[0]


def fill_registry(dsn: str, shops: Sequence[Shop]) -> None:
    """Import the city's files, as `tocsin enterprises import` would. Again changes nothing."""
    files = register(shops).files()
    tables = [table for name, text in files.items() for table in read(name, text.encode())]
    with open_registry(dsn) as connection:
        report, _ = apply(connection, house("demo"), in_order(tables))
    for problem in report.problems:
        raise TocsinError(f"the city's {problem.file}, row {problem.row}, {problem.column}: {problem.what}")


def let_in(dsn: str, owned: Shop) -> list[Person]:
    """One account of each role, and a link for each; the officer's comes first. owned: the owner's enterprise."""
    scopes: dict[Role, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
        Role.OPERATOR: ("officer", (), ()),
        Role.SUPERVISOR: ("supervisor", (register([owned]).enterprises[0].district,), ()),
        Role.OWNER: ("owner", (), (owned.code,)),
        Role.INTEGRATOR: ("integrator", (), (owned.code,)),
        Role.ADMINISTRATOR: ("administrator", (), ()),
    }
    people = []
    with closing(Accounts(dsn, lambda: time.time_ns() // 1000)) as accounts:
        known = {account.login for account in accounts.list(house("demo"))}
        for role, (login, districts, enterprises) in scopes.items():
            if login not in known:
                accounts.add(house("demo"), login, role, districts=districts, enterprises=enterprises)
            people.append(Person(login, role, f"/login/link/{accounts.make_link(login, LINK_S, house('demo'))}"))
    return people


@contextmanager
def texting(folder: Path) -> Iterator[carrier.Carrier]:
    """A stand-in for the SMS carrier, which delivers everything after two seconds and texts nobody."""
    running = carrier.start(folder / "texts.jsonl")
    try:
        running.behave(carrier.Behaviour(delivers_after_s=2.0))
        yield running
    finally:
        running.stop()


def told_of(settings: Settings, running: carrier.Carrier) -> Settings:
    """The settings, with the carrier and the address at which links in messages open."""
    port = settings.console_port or _free_port()
    return settings.model_copy(
        update={
            "console_port": port, "public_url": f"http://127.0.0.1:{port}",
            "twilio_account": "ACdemo", "twilio_token": SecretStr("of the demo alone"), "twilio_sender": _SENDER,
            "twilio_url": running.url,
        }
    )  # fmt: skip


def environment_of(running: carrier.Carrier) -> dict[str, str]:
    """The carrier, for processes that are told by their environment."""
    return {
        "TOCSIN_TWILIO_ACCOUNT": "ACdemo", "TOCSIN_TWILIO_TOKEN": "of the demo alone",
        "TOCSIN_TWILIO_SENDER": _SENDER, "TOCSIN_TWILIO_URL": running.url,
    }  # fmt: skip


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


def simulate(port: int, scenario: str, enterprises: int, seed: int, seconds: float | None) -> subprocess.Popen[bytes]:
    """The simulator is a client like any other, so it is a process of its own."""
    arguments = [
        "sim", scenario, "--broker", f"mqtt://127.0.0.1:{port}", "--enterprises", str(enterprises), "--seed", str(seed),
    ]  # fmt: skip
    if seconds is not None:
        arguments += ["--seconds", str(seconds)]
    return subprocess.Popen(
        [sys.executable, "-m", "tocsin", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
