"""Every endpoint and page as every role, and with another enterprise's ids: nobody sees more than the table says."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

import database.connections
from console.pages import PAGES
from console.words import words_of
from schemas.viewers import Act, Role
from tests.roles_table import ANYBODY, ENDPOINTS, HOME, PAGE, PERSON, Need, may, written
from tests.roles_world import DISTRICT, MESSAGE, NOWHERE, OTHERS, OURS, PHONE, World, serving
from tocsin.postgres import EmbeddedPostgres

pytestmark = pytest.mark.integration
EVERYBODY: tuple[Role | None, ...] = (None, *Role)
BOUND = tuple(role for role in Role if role is not Role.ADMINISTRATOR)
"""Who sees one enterprise of the two."""

BODIES: dict[str, dict[str, Any]] = {
    "PATCH /api/v1/me": {"language": "en"},
    "PUT /api/v1/me/password": {"old": "", "new": "short"},
    "POST /api/v1/accounts": {"login": "made", "role": "operator"},
    "PATCH /api/v1/accounts/{login}": {"name": "changed"},
    "POST /api/v1/accounts/{login}/link": {},
    "POST /api/v1/keys": {"name": "more"},
    "POST /api/v1/alarms/{key}/ack": {},
    "POST /api/v1/alarms/{key}/comments": {"text": "seen"},
    "POST /api/v1/alarms/{key}/reset": {},
    "POST /api/v1/alarms/{key}/assign": {"to": ""},
    "POST /api/v1/alarms/{key}/verdict": {"verdict": "test"},
    "PUT /api/v1/enterprises/{code}": {"name": "same", "trade": "H6210", "district": "310101"},
    "PUT /api/v1/enterprises/{code}/zones/{zone}": {"name": "same"},
    "PUT /api/v1/enterprises/{code}/contacts/{order}": {"name": "somebody"},
    "PUT /api/v1/districts/{code}": {"name": "same"},
    "PUT /api/v1/devices/{enterprise}/{device}": {"name": "same"},
    "POST /api/v1/devices/{enterprise}/{device}/claim": {},
}
NOT_ALLOWED = words_of("en")("frame.not_allowed_title")
_numbers = itertools.count()
REPLAY = "POST /api/v1/quarantine/replay"
"""Answers how many it has asked for, of those that were named and are there."""
NAMES_SOMETHING = [
    name for name in ENDPOINTS if re.search(r"\{(key|code|enterprise|message)\}", name) or name == REPLAY
]


def request_of(world: World, name: str, shop: str) -> tuple[str, str, dict[str, Any]]:
    """Method, path and the rest of a request for something of `shop`, that does no harm twice."""
    method, path = name.split(" ")
    is_alarm = "/alarms/" in path
    values = {
        "key": world.alarm[shop] if is_alarm else world.command[shop], "code": shop, "enterprise": shop,
        "zone": "spare" if method != "GET" else "kitchen", "order": "9" if method != "GET" else "1",
        "device": {"PUT": "fresh", "DELETE": "spare", "POST": "stray"}.get(method, "kitchen"),
        "message": MESSAGE[shop], "login": "owner", "id": "0" * 12, "about": "enterprises",
    }  # fmt: skip
    if "/districts/" in path:
        values["code"] = DISTRICT[shop]
    if path.endswith("/enterprises/{code}") and method == "DELETE":
        values["code"] = NOWHERE
    body = BODIES.get(name)
    if name == REPLAY:
        body = {"messages": [MESSAGE[shop]]}
    if name == "POST /api/v1/session":
        body = {"login": f"nobody-{next(_numbers)}", "password": "five words of wood"}
    if name == "POST /api/v1/registry/import":
        return method, f"{path}?dry_run=true", {"content": b"code,name\n", "headers": {"Content-Type": "text/csv"}}
    return method, path.format(**values), {} if body is None else {"json": body}


@pytest.fixture(scope="module")
def world(postgres: EmbeddedPostgres) -> Iterator[World]:
    name = "test_roles"
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE tocsin")
    with serving(postgres.dsn(name)) as made:
        yield made
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


# --- roles ---


def test_every_endpoint_stands_in_the_table(world: World) -> None:
    """Who adds an endpoint says what it asks for; what is not said is not walked."""
    document = world.ask(Role.ADMINISTRATOR, "GET", "/api/v1/openapi.json").json()
    found = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    assert found == set(ENDPOINTS)


def test_the_tables_of_the_page_are_those(world: World) -> None:
    assert written(PAGE.read_text()) == PAGE.read_text(), "run `python -m tests.roles_table`"


@pytest.mark.parametrize("role", EVERYBODY, ids=str)
def test_every_endpoint_lets_in_whom_the_table_says(world: World, role: Role | None) -> None:
    wrong = []
    for name, need in ENDPOINTS.items():
        method, path, more = request_of(world, name, OURS)
        answer = world.ask(role, method, path, **more)
        if not is_as_it_should_be(answer, role, need, name):
            wrong.append(
                f"{name}: {answer.status_code} {'' if answer.is_stream_consumed is False else answer.text[:200]}"
            )
    assert not wrong, "\n".join(wrong)


def is_as_it_should_be(answer: httpx.Response, role: Role | None, need: Need, name: str) -> bool:
    if name == "POST /api/v1/session":
        return answer.status_code == 401 and "login or password" in answer.text
    if not may(role, need):
        return answer.status_code == (401 if role is None else 403)
    if need == PERSON:  # everybody here asks by a key
        return answer.status_code == 403 and "an API key may not" in answer.text
    if name.startswith("GET"):
        return answer.status_code == 200
    return answer.status_code in (200, 201, 202, 204, 400, 404, 409)


@pytest.mark.parametrize("role", EVERYBODY, ids=str)
def test_every_page_lets_in_whom_it_says(world: World, role: Role | None) -> None:
    """A page that a role may not see says so, and shows nothing of what it would."""
    for page in PAGES:
        answer = world.ask(role, "GET", path_of(world, page.path, OURS))
        if role is None:
            assert answer.status_code == 303 and answer.headers["location"].startswith("/login"), page.name
            continue
        refused = page.act is not None and not may(role, page.act)
        if refused and answer.status_code == 303:  # home: to what this role may see
            assert answer.headers["location"] in {one.path for one in PAGES}, page.name
            continue
        assert answer.status_code == (403 if refused else 200), page.name
        assert (NOT_ALLOWED in answer.text) == refused, page.name


def test_nobody_reaches_what_is_not_public(world: World) -> None:
    """Whatever path is asked for: pages lead to the login, everything else is refused."""
    for path in ("/api/v1/nothing", "/api/v1/openapi.json", "/_nicegui_ws/socket.io/?EIO=4&transport=polling"):
        assert world.ask(None, "GET", path).status_code in (303, 401), path
    for path in ("/", "/nothing", "/docs", "/openapi.json", "/redoc"):
        assert world.ask(None, "GET", path).status_code == 303, path


def path_of(world: World, path: str, shop: str) -> str:
    """A page's path, for something of `shop`."""
    values = {"key": world.alarm[shop], "device": "kitchen", "arrival": MESSAGE[shop]}
    return re.sub(r"\{(\w+)\}", lambda part: values.get(part[1], shop), path)


# --- another enterprise's ids ---

AS_IF: dict[str, str] = {
    "row security and filters": "",
    "filters alone": "the role is not taken",
    "row security alone": "no query filters",
}
ALONE = ("filters alone", "row security alone")
NOT_BECOMING = "SELECT %(sees_all)s::boolean, %(sees_districts)s::text[], %(sees_enterprises)s::text[]"


@pytest.fixture(params=AS_IF)
def one_of_two(request: pytest.FixtureRequest, world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The world with one of the two taken away, or neither: either must do alone."""
    if request.param == "filters alone":
        monkeypatch.setattr(database.connections, "BECOME_VIEWER", NOT_BECOMING)
    with psycopg.connect(world.dsn, autocommit=True) as connection:
        kept = connection.execute("SELECT pg_get_functiondef('tocsin_sees'::regproc)").fetchone()
        assert kept is not None
        if request.param == "row security alone":
            connection.execute("""
                CREATE OR REPLACE FUNCTION tocsin_sees(code text, sees_all boolean, districts text[], codes text[])
                RETURNS boolean LANGUAGE sql STABLE AS 'SELECT true'
            """)
        try:
            yield world
        finally:
            connection.execute(kept[0])


@pytest.mark.parametrize("role", BOUND, ids=str)
def test_another_enterprises_ids_are_as_good_as_made_up_ones(one_of_two: World, role: Role) -> None:
    """Whoever asks for what is there and not theirs is answered as for what is not there: not a word differs.

    Where row security alone stands in the way of a write, it is a defect of ours that it stops (500).
    """
    world, wrong = one_of_two, []
    for name in ENDPOINTS:
        if name not in NAMES_SOMETHING:
            continue
        answers = []
        for shop in (OTHERS, NOWHERE):
            method, path, more = request_of(world, name, shop)
            answer = world.ask(role, method, path, **more)
            text = answer.text
            for word in (world.alarm[shop], world.command[shop], MESSAGE[shop], DISTRICT[shop], shop):
                text = text.replace(word, "…")
            answers.append((answer.status_code, text))
        if answers[0] != answers[1] or (answers[0][0] < 400 and name != REPLAY):
            wrong.append(f"{name}: {answers}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("role", BOUND, ids=str)
@pytest.mark.parametrize("one_of_two", ALONE, indirect=True)
def test_no_list_shows_another_enterprise(one_of_two: World, role: Role) -> None:
    world, wrong = one_of_two, []
    signs = (OTHERS, world.alarm[OTHERS], MESSAGE[OTHERS], PHONE[OTHERS], DISTRICT[OTHERS])
    for name, need in ENDPOINTS.items():
        if not name.startswith("GET") or "{" in name or need in (ANYBODY, HOME) or name.endswith("stream"):
            continue
        path = name.split(" ")[1]
        for query in ("?state=all&by=district", f"?enterprise={OTHERS}&district={DISTRICT[OTHERS]}"):
            answer = world.ask(role, "GET", path + query)
            if answer.status_code == 200 and any(sign in answer.text for sign in signs):
                wrong.append(f"{path}{query}: {answer.text[:300]}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("role", BOUND, ids=str)
@pytest.mark.parametrize("one_of_two", ALONE, indirect=True)
def test_no_page_shows_another_enterprise(one_of_two: World, role: Role) -> None:
    world, seen = one_of_two, 0
    for page in PAGES:
        for shop in (OURS, OTHERS) if "{" in page.path else (OURS,):
            answer = world.ask(role, "GET", path_of(world, page.path, shop))
            text = answer.text
            assert shop == OURS or answer.status_code in (403, 404), (page.name, "is not there")
            seen += f"name of {OURS}" in text or f"{OURS}/kitchen" in text
            assert f"name of {OTHERS}" not in text and PHONE[OTHERS] not in text, (page.name, shop)
    assert seen, "the names of one's own are in the text"


def test_one_who_may_not_see_contacts_sees_no_phone_number(world: World) -> None:
    """Neither among the contacts, nor in what was changed, nor in the story of an alarm."""
    assert not may(Role.INTEGRATOR, Act.SEE_CONTACTS)
    for name in ENDPOINTS:
        if name.startswith("GET") and not name.endswith("stream"):
            method, path, _ = request_of(world, name, OURS)
            assert PHONE[OURS][3:] not in world.ask(Role.INTEGRATOR, method, path).text, name
