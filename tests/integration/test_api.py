"""The HTTP API on a real PostgreSQL: what it answers, to whom, and how it says that it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psycopg
import pytest
from prometheus_client import CollectorRegistry, Counter

from alerting.people import People
from alerting.routes import Recipient, Routes
from console.api import make_api
from console.errors import CODES
from console.live import Live
from console.services import Services
from schemas.alarms import Grade, State
from tests.alerting_world import HandClock, HeldChannel, Story, event, make_desk

TOKEN = "0123456789abcdef0123"
HOME = ("127.0.0.1", 5000)
AWAY = ("192.0.2.7", 5000)
Ask = Callable[..., httpx.Response]


@pytest.fixture
def people(dsn: str) -> Iterator[People]:
    made = People(dsn, HandClock(), lambda subject, from_us, until_us: [(from_us, 1.5)])
    yield made
    made.close()


@pytest.fixture
def trouble() -> dict[str, str]:
    return {"door": "", "desk": ""}


@pytest.fixture
def ask(people: People, trouble: dict[str, str]) -> Ask:
    registry = CollectorRegistry()
    Counter("tocsin_test_total", "A collector that was handed in.", registry=registry)
    api = make_api(Services(people, Live("", people)), registry, lambda: trouble, TOKEN)

    def ask(
        method: str, path: str, *, token: str = TOKEN, client: tuple[str, int] = HOME, **more: Any
    ) -> httpx.Response:
        async def one() -> httpx.Response:
            transport = httpx.ASGITransport(api, client=client, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://tocsin") as asker:
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                return await asker.request(method, path, headers=headers | more.pop("headers", {}), **more)

        return asyncio.run(one())

    return ask


@pytest.fixture
def story(dsn: str) -> Iterator[Callable[..., list[str]]]:
    """Tells events and lets the desk take them; gives their keys."""
    told = Story(dsn)
    channel = HeldChannel("held")
    desk = make_desk(dsn, Routes((Recipient("ops", "held"),)), HandClock(), channel)

    def tell(*events: Any) -> list[str]:
        keys = [e.key for e in told.tell(*events)]
        desk.serve_once()
        assert desk.wait_for_ledger(10.0)
        return keys

    yield tell
    desk.stop()
    desk.run()


def error_of(response: httpx.Response) -> dict[str, str]:
    """The error, after checking that it has the one shape."""
    error: dict[str, str] = response.json()["error"]
    assert set(error) == {"code", "what", "field", "mend"}
    assert response.status_code == CODES[error["code"]]
    assert error["what"] and all(isinstance(value, str) for value in error.values())
    return error


def test_alarms_come_worst_first_in_pages(ask: Ask, story: Callable[..., list[str]]) -> None:
    grades = [Grade.YELLOW, Grade.RED, Grade.BLUE, Grade.ORANGE, Grade.RED]
    story(*(event(State.RAISED, grade, device=f"d{n}", event_us=n) for n, grade in enumerate(grades)))
    found, cursor = [], ""
    while True:
        page = ask("GET", "/api/v1/alarms", params={"limit": 2, "cursor": cursor}).json()
        found += [(alarm["grade"], alarm["device"]) for alarm in page["alarms"]]
        cursor = page["next"]
        if not cursor:
            break
    assert found == [("red", "d4"), ("red", "d1"), ("orange", "d3"), ("yellow", "d0"), ("blue", "d2")]


@pytest.mark.parametrize(
    ("query", "devices"),
    [
        ("", {"a", "b"}),
        ("?state=ended", {"c"}),
        ("?state=all", {"a", "b", "c"}),
        ("?grade=red", {"a"}),
        ("?grade=red&grade=yellow", {"a", "b"}),
        ("?kind=gas", set()),
        ("?kind=fire&kind=gas", {"a", "b"}),
        ("?enterprise=shop-2", {"b"}),
    ],
)
def test_the_list_can_be_narrowed(ask: Ask, story: Callable[..., list[str]], query: str, devices: set[str]) -> None:
    story(
        event(State.RAISED, Grade.RED, device="a"),
        event(State.RAISED, Grade.YELLOW, device="b", enterprise="shop-2"),
        event(State.RAISED, Grade.RED, device="c"),
        event(State.CLEARED, Grade.RED, device="c", step=2),
    )
    assert {alarm["device"] for alarm in ask("GET", f"/api/v1/alarms{query}").json()["alarms"]} == devices


def test_one_alarm_is_shown_whole(ask: Ask, story: Callable[..., list[str]]) -> None:
    (key,) = story(event(State.RAISED, Grade.RED))
    shown = ask("GET", f"/api/v1/alarms/{key}").json()
    assert shown["alarm"]["standing"] == "active_unacknowledged"
    assert shown["events"][0]["evidence"]["value"] == 95.0
    assert shown["decisions"][0]["reason"] == "first red"
    (message,) = shown["notifications"]
    assert [receipt["stamp"] for receipt in message["receipts"]] == ["planned", "queued", "sent", "accepted"]
    assert [attempt["outcome"] for attempt in message["attempts"]] == ["accepted"]
    assert shown["readings"][0][1] == 1.5


def test_an_acknowledgement_is_seen_everywhere_and_taken_once(ask: Ask, story: Callable[..., list[str]]) -> None:
    (key,) = story(event(State.RAISED, Grade.RED))
    act, headers = {"by": "Li Wei", "step": 1, "note": "on my way"}, {"Idempotency-Key": "one"}
    for _ in range(2):
        answer = ask("POST", f"/api/v1/alarms/{key}/ack", json=act, headers=headers)
        assert answer.status_code == 200 and answer.json()["standing"] == "active_acknowledged"
    shown = ask("GET", f"/api/v1/alarms/{key}").json()
    assert [(a["by"], a["note"]) for a in shown["acknowledgements"]] == [("Li Wei", "on my way")]
    assert "acknowledged" in [receipt["stamp"] for receipt in shown["notifications"][0]["receipts"]]
    other = ask("POST", f"/api/v1/alarms/{key}/ack", json={"by": "Zhang San"}, headers=headers)
    assert error_of(other)["code"] == "not_possible"


def test_the_engine_and_people_do_not_overwrite_each_other(ask: Ask, story: Callable[..., list[str]]) -> None:
    (key,) = story(event(State.RAISED, Grade.YELLOW))
    ask("POST", f"/api/v1/alarms/{key}/ack", json={"by": "Li Wei"})
    story(event(State.REGRADED, Grade.RED, step=2, previous=Grade.YELLOW, latched=True))
    assert ask("GET", f"/api/v1/alarms/{key}").json()["alarm"]["standing"] == "active_acknowledged"
    story(event(State.CLEARED, Grade.RED, step=3, latched=True), event(State.RAISED, Grade.RED, step=4, latched=True))
    assert ask("GET", f"/api/v1/alarms/{key}").json()["alarm"]["standing"] == "active_unacknowledged"
    stale = ask("POST", f"/api/v1/alarms/{key}/ack", json={"by": "Li Wei", "step": 2})
    assert "raised again at step 4" in error_of(stale)["what"]


def test_a_reset_is_asked_until_the_engine_has_judged(ask: Ask, story: Callable[..., list[str]], dsn: str) -> None:
    (key,) = story(event(State.RAISED, Grade.RED, latched=True))
    headers = {"Idempotency-Key": "reset-1"}
    asked = ask("POST", f"/api/v1/alarms/{key}/reset", json={"by": "Li Wei"}, headers=headers)
    assert (asked.status_code, asked.json()["standing"]) == (202, "asked")
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE commands SET accepted = false, answer = 'still active', answered_at = now()")
    again = ask("POST", f"/api/v1/alarms/{key}/reset", json={"by": "Li Wei"}, headers=headers)
    assert (again.status_code, again.json()["standing"], again.json()["reason"]) == (200, "refused", "still active")
    assert ask("GET", "/api/v1/commands/reset-1").json() == again.json()
    assert ask("GET", f"/api/v1/alarms/{key}").json()["commands"][0]["standing"] == "refused"


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "field"),
    [
        ("GET", "/api/v1/alarms/none", None, "not_found", ""),
        ("GET", "/api/v1/alarms/%00", None, "not_found", ""),
        ("GET", "/api/v1/nothing", None, "not_found", ""),
        ("GET", "/nothing", None, "not_found", ""),
        ("GET", "/api/v1/commands/none", None, "not_found", ""),
        ("DELETE", "/api/v1/alarms", None, "method_not_allowed", ""),
        ("GET", "/api/v1/alarms?state=lost", None, "bad_request", "state"),
        ("GET", "/api/v1/alarms?grade=green", None, "bad_request", "grade.0"),
        ("GET", "/api/v1/alarms?limit=0", None, "bad_request", "limit"),
        ("GET", "/api/v1/alarms?cursor=x", None, "bad_request", "cursor"),
        ("GET", "/api/v1/alarms?enterprise=%00", None, "bad_request", "enterprise.0"),
        ("GET", "/api/v1/commands/%00", None, "not_found", ""),
        ("POST", "/api/v1/alarms/none/ack", {"by": "x"}, "not_found", ""),
        ("POST", "/api/v1/alarms/none/ack", {}, "not_found", ""),
        ("POST", "/api/v1/alarms/none/ack", {"by": "a\0b"}, "bad_request", "by"),
        ("POST", "/api/v1/alarms/none/reset", {"by": "x", "step": 0}, "bad_request", "step"),
        ("POST", "/api/v1/alarms/none/reset", {"by": "x", "more": 1}, "bad_request", "more"),
        ("POST", "/api/v1/alarms/none/reset", None, "bad_request", ""),
        ("POST", "/api/v1/alarms/none/ack", {"by": "x", "note": "y" * 20_000}, "too_large", "Content-Length"),
    ],
)
def test_every_error_has_the_one_shape(ask: Ask, method: str, path: str, body: Any, code: str, field: str) -> None:
    error = error_of(ask(method, path, json=body) if body is not None else ask(method, path))
    assert (error["code"], error["field"]) == (code, field)


@pytest.mark.parametrize(
    ("path", "token", "client", "headers", "status"),
    [
        # Alive is said to everybody.
        ("/healthz", "", AWAY, {}, 200),
        # The API is for those with the token, wherever they are; what is not there is not told to strangers.
        ("/api/v1/alarms", TOKEN, AWAY, {}, 200),
        ("/api/v1/alarms", "", HOME, {}, 401),
        ("/api/v1/alarms", "wrong", HOME, {}, 401),
        ("/api/v1/openapi.json", "", HOME, {}, 401),
        ("/nothing", "", HOME, {}, 401),
        # Metrics and readiness are for this machine, and for those with the token.
        ("/metrics", "", HOME, {}, 200),
        ("/metrics", "", AWAY, {}, 401),
        ("/metrics", TOKEN, AWAY, {}, 200),
        ("/readyz", "", HOME, {}, 200),
        # What was forwarded comes from anywhere.
        ("/readyz", "", HOME, {"X-Forwarded-For": "192.0.2.7"}, 401),
    ],
)
def test_who_may_ask(
    ask: Ask, path: str, token: str, client: tuple[str, int], headers: dict[str, str], status: int
) -> None:
    answer = ask("GET", path, token=token, client=client, headers=headers)
    assert answer.status_code == status
    if status == 401:
        assert error_of(answer)["code"] == "unauthorized" and answer.headers["WWW-Authenticate"] == "Bearer"


def test_readiness_says_which_part_and_why(ask: Ask, trouble: dict[str, str]) -> None:
    assert ask("GET", "/readyz").json() == {"ready": True, "parts": {"door": "ok", "desk": "ok"}}
    trouble["desk"] = "PostgreSQL is away"
    answer = ask("GET", "/readyz")
    assert error_of(answer)["what"] == "desk: PostgreSQL is away"
    assert answer.json()["parts"] == {"door": "ok", "desk": "PostgreSQL is away"}


def test_metrics_are_those_of_the_registry(ask: Ask) -> None:
    answer = ask("GET", "/metrics")
    assert "tocsin_test_total 0.0" in answer.text and answer.headers["content-type"].startswith("text/plain")


def test_a_postgresql_that_is_away_is_said_without_its_address(tmp_path: Any) -> None:
    people = People(f"host={tmp_path} dbname=none password=hush", HandClock())
    api = make_api(Services(people, Live("", people)), CollectorRegistry(), dict, TOKEN)

    async def one() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://tocsin") as asker:
            return await asker.get("/api/v1/alarms", headers={"Authorization": f"Bearer {TOKEN}"})

    answer = asyncio.run(one())
    assert error_of(answer)["code"] == "away" and answer.headers["Retry-After"] == "1"
    assert str(tmp_path) not in answer.text and "hush" not in answer.text


def test_the_document_names_the_shape_of_every_answer_and_error(ask: Ask) -> None:
    document = ask("GET", "/api/v1/openapi.json").json()
    shapes = document["components"]["schemas"]
    assert {"AlarmPage", "AlarmDetail", "WatchedAlarm", "Command", "Error"} <= set(shapes)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if path.startswith("/api/") and int(status) >= 400:
                    assert response["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Error"}
    assert "HTTPValidationError" not in str(document)
