"""Payloads over HTTP: what each viewer sees, and what a replay must be told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from console.api_devices import devices_router
from console.errors import answer_errors
from ingest.payloads import Payloads
from ingest.ports import Kept
from ingest.quarantine import keep
from registry import audit
from schemas.entries import Sensor, Sensors
from schemas.errors import Reject
from schemas.identity import id_of
from schemas.viewers import Role, Viewer, house
from streams.store.heard import Heard
from tests.integration.test_api_registry import Known

pytestmark = pytest.mark.integration
Ask = Callable[..., httpx.Response]
AT_US = 1_790_000_000_000_000
WRONG = (Reject("text", "smoke", "The value is text, not a number.", "Send the number without quotes."),)
FITTER = Viewer("fitter", Role.INTEGRATOR, enterprises=("shop",))
OWNER = Viewer("owner", Role.OWNER, enterprises=("shop",))
OTHER = Viewer("other", Role.INTEGRATOR, enterprises=("elsewhere",))


@pytest.fixture
def ask(dsn: str) -> Iterator[Ask]:
    payloads = Payloads(dsn, audit=audit.record)
    app = FastAPI()
    answer_errors(app)
    app.add_middleware(Known, viewers={one.name: one for one in (house(), FITTER, OWNER, OTHER)})
    app.include_router(devices_router(payloads), prefix="/api/v1")
    with psycopg.connect(dsn, autocommit=True) as connection:
        heard = Heard(connection)
        heard.note(Sensors([Sensor(id_of("shop/boiler/temperature"), "shop", "boiler", "temperature")]))
        heard.write()
        with connection.cursor() as cursor:
            topic = "tocsin/v1/shop/boiler/telemetry"
            keep(cursor, [Kept(AT_US + k, "shop", "boiler", topic, "c", b'{"smoke": "1"}', WRONG) for k in range(3)])

    def ask(method: str, path: str, *, by: str = "fitter", **more: Any) -> Any:
        async def one() -> httpx.Response:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://tocsin/api/v1") as asker:
                return await asker.request(method, path, headers={"X-Name": by}, **more)

        return asyncio.run(one())

    yield ask
    payloads.close()


def test_a_device_shows_what_came_of_it_last(ask: Ask) -> None:
    """With the reason of every field, and how to mend it, in both languages."""
    now = ask("GET", "/devices/shop/boiler/payloads", by="owner").json()
    assert [one["sensor"] for one in now["values"]] == ["temperature"]
    assert now["waiting"] == 3
    assert now["refused"]["message"]["told"][0]["mend_zh"] == "请去掉引号，直接发送数字。"
    assert now["refused"]["suggestion"] == {"numbers_in_text": True}
    assert ask("GET", "/devices/shop/boiler/payloads", by="other").status_code == 404
    assert ask("GET", "/devices/shop/nowhere/payloads").json()["error"]["code"] == "not_found"


def test_lists_are_read_in_pages_within_the_scope(ask: Ask) -> None:
    first = ask("GET", "/quarantine?limit=2").json()
    second = ask("GET", f"/quarantine?limit=2&cursor={first['next']}").json()
    arrivals = [one["arrival_us"] for page in (first, second) for one in page["messages"]]
    assert arrivals == [AT_US + 2, AT_US + 1, AT_US]
    assert second["next"] == ""
    assert ask("GET", "/quarantine", by="other").json()["messages"] == []
    assert ask("GET", f"/quarantine/{AT_US}").json()["text"] == '{"smoke": "1"}'
    assert ask("GET", f"/quarantine/{AT_US}", by="other").status_code == 404
    assert ask("GET", "/quarantine/word").status_code == 400
    assert ask("GET", "/quarantine?cursor=word").json()["error"]["field"] == "cursor"
    (line,) = ask("GET", "/devices/heard?registered=false").json()["devices"]
    assert (line["device"], line["waiting"]) == ("boiler", 3)
    assert ask("GET", "/devices/heard?text=%00").status_code == 400
    assert ask("GET", "/devices/silent").json() == {"devices": [], "next": ""}


def test_a_replay_says_which_messages_and_is_written_down(ask: Ask, dsn: str) -> None:
    """Everything at once only where `all` is said: a forgotten filter must not set a hundred thousand going."""
    asked = ask("POST", "/quarantine/replay", json={"messages": [str(AT_US)], "mend": {"numbers_in_text": True}})
    assert (asked.status_code, asked.json()) == (202, {"asked": 1})
    assert ask("POST", "/quarantine/replay", json={"device": "boiler"}).json() == {"asked": 3}
    assert ask("POST", "/quarantine/replay", json={"all": True}, by="other").json() == {"asked": 0}
    for wrong in ({}, {"all": True, "device": "boiler"}, {"messages": []}, {"messages": ["x"]}, {"mend": {"odd": 1}}):
        assert ask("POST", "/quarantine/replay", json=wrong).status_code == 400
    wrong_measure = {"all": True, "mend": {"rename": {"smok": "smoak"}}}
    assert ask("POST", "/quarantine/replay", json=wrong_measure).json()["error"]["field"] == "rename"
    assert ask("POST", "/quarantine/replay", json={"all": True}, by="owner").status_code == 403
    with psycopg.connect(dsn) as connection:
        lines = connection.execute("SELECT who, act, subject, enterprise FROM audit_log ORDER BY number").fetchall()
    assert lines == [
        ("fitter", "replay", "1 refused messages", "shop"),
        ("fitter", "replay", "3 refused messages", "shop"),
    ]
