"""Server-sent events from a real uvicorn: what a program hears, over a cut, and when it must leave."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from console import staying
from console.services import Services
from schemas.alarms import Grade, State
from schemas.viewers import Role, house
from tests.accounts_world import PASSWORD
from tests.alerting_world import event
from tests.api_world import TOKEN, all_services, api_of
from tests.cut_link import CutLink, Fate
from tests.waiting import until
from tests.watching_world import Tale, settle, telling
from tocsin.http_server import HttpServer

pytestmark = pytest.mark.integration


@dataclass
class Heard:
    name: str
    id: str
    data: Any


@contextmanager
def served(services: Services) -> Iterator[str]:
    """The API on a port of its own, with `live` running. Gives its address."""
    server = HttpServer(api_of(services), "127.0.0.1", 0)
    threads = [threading.Thread(target=run) for run in (server.run, services.live.run)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: services.live.cut_since_us is None, "it listens")
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.stop()
        services.live.stop()
        for thread in threads:
            thread.join(60)


@contextmanager
def listening(address: str, bearer: str = TOKEN, last: str = "") -> Iterator[Iterator[Heard]]:
    """Events, one after the other; comments are passed over."""
    headers = {"Authorization": f"Bearer {bearer}"} | ({"Last-Event-ID": last} if last else {})
    url = f"{address}/api/v1/alarms/stream"
    with httpx.Client(timeout=60, trust_env=False) as client, client.stream("GET", url, headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield _events(answer.iter_lines())


def _events(lines: Iterator[str]) -> Iterator[Heard]:
    fields: dict[str, str] = {}
    for line in lines:
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield Heard(fields["event"], fields.get("id", ""), json.loads(fields["data"]))
            fields = {}


@pytest.fixture
def tale(dsn: str) -> Iterator[Tale]:
    settle(dsn, "shop-1", "shop-2")
    with telling(dsn) as made:
        yield made


def test_a_program_hears_what_stands_and_then_what_changes(dsn: str, tale: Tale) -> None:
    """And, when it comes again, nothing twice."""
    (first,) = tale.tell(event(State.RAISED, Grade.RED, latched=True))
    with all_services(dsn) as services, served(services) as address:
        with listening(address) as heard:
            whole = next(heard)
            assert (whole.name, [alarm["key"] for alarm in whole.data["alarms"]]) == ("alarms", [first])
            assert whole.id == str(whole.data["version"])
            (second,) = tale.tell(event(State.RAISED, Grade.BLUE, enterprise="shop-2"))
            known = {first}
            while second not in known:
                change = next(heard)
                assert change.name == "changes" and int(change.id) > int(whole.id)
                known |= {alarm["key"] for alarm in change.data["changed"]}
            services.people.acknowledge(house("li"), first)
            while not any(alarm["acknowledged"] for alarm in change.data["changed"]):
                change = next(heard)
                assert {alarm["key"] for alarm in change.data["changed"]} <= known
            tale.tell(event(State.CLEARED, Grade.BLUE, enterprise="shop-2", step=2))
            while second not in change.data["gone"]:
                change = next(heard)
            assert (change.data["total"], change.data["grades"]) == (1, {"red": 1})
        until(lambda: services.live.watchers == 0, "who has gone is let go")
        # The same version says nothing; the next change is heard.
        with listening(address, last=change.id) as heard:
            until(lambda: services.live.watchers == 1, "it is there again")
            services.people.comment(house("li"), first, "all is well")
            again = next(heard)
            assert (again.name, [alarm["comments"] for alarm in again.data.get("changed", [])]) in (
                ("changes", [1]),
                ("alarms", []),
            )


def test_a_cut_from_the_database_is_said_and_nothing_old_is_sent(dsn: str, tale: Tale) -> None:
    """Silence would look like calm."""
    (key,) = tale.tell(event(State.RAISED, Grade.RED, latched=True))
    with (
        CutLink(dsn) as link,
        all_services(link.dsn) as services,
        served(services) as address,
        listening(address) as heard,
    ):
        whole = next(heard)
        link.decide = lambda packet: Fate.SWALLOW
        link.cut()
        cut = next(heard)
        assert (cut.name, cut.data["as_of_us"]) == ("cut", whole.data["as_of_us"])
        tale.tell(event(State.CLEARED, Grade.RED, step=2, latched=True))
        link.decide = lambda packet: Fate.PASS
        back, change = next(heard), next(heard)
        assert (back.name, change.name) == ("back", "changes")
        assert [(alarm["key"], alarm["state"]) for alarm in change.data["changed"]] == [(key, "cleared")]


def test_a_stream_ends_with_the_key_that_opened_it(dsn: str, tale: Tale, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that was revoked must not go on listening for the rest of the year."""
    monkeypatch.setattr(staying, "LOOK_AGAIN_S", 0.0)
    (key,) = tale.tell(event(State.RAISED, Grade.RED, latched=True))
    with all_services(dsn) as services, served(services) as address:
        accounts = services.accounts
        assert accounts is not None
        viewer = accounts.add(house(), "wang", Role.OWNER, password=PASSWORD, enterprises=("shop-1",)).viewer
        made = accounts.make_key(viewer, "till")
        with listening(address, made.key) as heard:
            assert [alarm["key"] for alarm in next(heard).data["alarms"]] == [key]
            accounts.revoke_key(house(), made.id)
            services.people.comment(house("li"), key, "somebody else's business now")
            assert list(heard) == []
        until(lambda: services.live.watchers == 0, "who was sent away is let go")
        refused = httpx.get(f"{address}/api/v1/alarms/stream", headers={"Authorization": f"Bearer {made.key}"})
        assert refused.status_code == 401
