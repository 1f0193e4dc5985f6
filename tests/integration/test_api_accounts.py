"""Coming in, one's own account and accounts over HTTP: the cookie, its end, and what one is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from console.api_accounts import accounts_router
from console.errors import answer_errors
from console.guard import COOKIE, Guard
from registry.accounts import Accounts
from schemas.viewers import MAY, Role, house
from tests.accounts_world import PASSWORD, SetClock, make_accounts

pytestmark = pytest.mark.integration
TOKEN = "0123456789abcdef0123"
ORIGIN = {"Origin": "http://tocsin"}
Ask = Callable[..., httpx.Response]


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def accounts(dsn: str, clock: SetClock) -> Iterator[Accounts]:
    made = make_accounts(dsn, clock)
    made.add(house(), "ann", Role.ADMINISTRATOR, password=PASSWORD)
    made.add(house(), "li", Role.OWNER, name="Li Wei", enterprises=("shop-1",), password=PASSWORD)
    yield made
    made.close()


@pytest.fixture
def ask(accounts: Accounts) -> Ask:
    app = FastAPI()
    answer_errors(app)
    app.add_middleware(Guard, token=TOKEN, accounts=accounts)
    app.include_router(accounts_router(accounts), prefix="/api/v1")

    def ask(method: str, path: str, session: str = "", token: str = "", **more: Any) -> httpx.Response:
        headers = {"Cookie": f"{COOKIE}={session}", **ORIGIN} if session else {}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}

        async def one() -> httpx.Response:
            transport = httpx.ASGITransport(app, client=("192.0.2.7", 5000), raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://tocsin/api/v1") as asker:
                return await asker.request(method, path, headers=headers | more.pop("headers", {}), **more)

        return asyncio.run(one())

    return ask


def come_in(ask: Ask, login: str, password: str = PASSWORD) -> str:
    answer = ask("POST", "/session", json={"login": login, "password": password})
    assert answer.status_code == 200, answer.text
    return answer.cookies[COOKIE]


def test_a_login_sets_a_cookie_that_opens_until_one_goes_out(ask: Ask) -> None:
    session = come_in(ask, "li")
    me = ask("GET", "/me", session).json()
    assert (me["login"], me["name"], me["role"], me["sees_all"]) == ("li", "Li Wei", "owner", False)
    assert me["may"] == sorted(MAY[Role.OWNER]) and me["has_password"]
    out = ask("DELETE", "/session", session)
    assert out.status_code == 204 and "Max-Age=0" in out.headers["Set-Cookie"]
    assert ask("GET", "/me", session).status_code == 401


def test_a_refused_login_says_the_same_whatever_was_wrong(ask: Ask) -> None:
    told = [
        ask("POST", "/session", json={"login": login, "password": "five words of wood"}).json()
        for login in ("li", "nobody", "a\u00e9", " ")
    ]
    assert told[0]["error"]["code"] == "unauthorized" and all(one == told[0] for one in told)
    for _ in range(4):
        ask("POST", "/session", json={"login": "li", "password": "five words of wood"})
    locked = ask("POST", "/session", json={"login": "li", "password": PASSWORD})
    assert locked.status_code == 429 and locked.headers["Retry-After"] == "60"
    assert locked.json()["error"]["code"] == "too_many"


def test_another_site_logs_nobody_in_or_out(ask: Ask) -> None:
    """Being logged in as somebody else without knowing it is an attack too."""
    wrong = {"Origin": "http://evil.example"}
    body = {"login": "li", "password": PASSWORD}
    assert ask("POST", "/session", json=body, headers=wrong).status_code == 403
    session = come_in(ask, "li")
    assert ask("DELETE", "/session", session, headers=wrong).status_code == 403
    assert ask("GET", "/me", session).status_code == 200


def test_a_new_password_ends_all_sessions_but_begins_this_one_anew(ask: Ask) -> None:
    here, elsewhere = come_in(ask, "li"), come_in(ask, "li")
    refused = ask("PUT", "/me/password", here, json={"old": "five words of wood", "new": "six words of old tin"})
    assert refused.status_code == 401
    weak = ask("PUT", "/me/password", here, json={"old": PASSWORD, "new": "short"})
    assert (weak.status_code, weak.json()["error"]["field"]) == (400, "password")
    done = ask("PUT", "/me/password", here, json={"old": PASSWORD, "new": "six words of old tin"})
    assert done.status_code == 204
    assert ask("GET", "/me", done.cookies[COOKIE]).status_code == 200
    assert [ask("GET", "/me", one).status_code for one in (here, elsewhere)] == [401, 401]
    come_in(ask, "li", "six words of old tin")


def test_an_administrator_adds_changes_and_disables(ask: Ask) -> None:
    ann = come_in(ask, "ann")
    made = ask("POST", "/accounts", ann, json={"login": "bo", "role": "supervisor", "districts": ["310101"]})
    assert (made.status_code, made.json()["districts"]) == (201, ["310101"])
    assert "password" not in {name for name in made.json() if name != "has_password"}
    link = ask("POST", "/accounts/bo/link", ann, json={"lasts_s": 60})
    assert link.status_code == 201 and link.json()["path"].startswith("/login/link/")
    changed = ask("PATCH", "/accounts/bo", ann, json={"role": "operator", "sees_all": True})
    assert (changed.status_code, changed.json()["role"], changed.json()["districts"]) == (200, "operator", [])
    assert ask("PATCH", "/accounts/bo", ann, json={"disabled": True}).json()["disabled"] is True
    assert [one["login"] for one in ask("GET", "/accounts", ann).json()["accounts"]] == ["ann", "bo", "li"]
    acts = [one["act"] for one in ask("GET", "/audit?who=ann", ann).json()["entries"]]
    assert acts == ["change_account", "change_account", "make_link", "add_account", "log_in"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("POST", "/accounts", {"login": "bo", "role": "king"}, 400, "role"),
        ("POST", "/accounts", {"login": "bo", "role": "owner"}, 400, "enterprises"),
        ("POST", "/accounts", {"login": "li", "role": "operator"}, 400, "login"),
        ("POST", "/accounts", {"login": "-bo", "role": "operator"}, 400, "login"),
        ("POST", "/accounts", {"login": "bo", "role": "operator", "phone": "call me"}, 400, "phone"),
        ("POST", "/accounts", {"login": "bo", "role": "operator", "password": "short"}, 400, "password"),
        ("PATCH", "/accounts/ann", {"role": "operator"}, 400, "login"),
        ("PATCH", "/accounts/ann", {"disabled": True}, 400, "login"),
        ("POST", "/accounts", {"login": "house", "role": "administrator"}, 400, "login"),
        ("POST", "/accounts", {"login": "House", "role": "operator"}, 400, "login"),
        ("PATCH", "/accounts/li", {"role": "operator", "enterprises": []}, 400, "enterprises"),
        ("PATCH", "/accounts/li", {"sees_all": True}, 400, "enterprises"),
        ("PATCH", "/accounts/li", {"role": "operator", "sees_all": True, "districts": ["31"]}, 400, "sees_all"),
        ("PATCH", "/accounts/li", {"sees_all": None}, 400, "sees_all"),
        ("PATCH", "/accounts/li", {}, 400, ""),
        ("PATCH", "/accounts/li", {"name": None}, 400, "name"),
        ("PATCH", "/accounts/nobody", {"name": "x"}, 404, ""),
        ("POST", "/accounts/nobody/link", {}, 404, ""),
        ("POST", "/accounts/li/link", {"lasts_s": 1 << 40}, 400, "lasts_s"),
        ("POST", "/keys", {"name": "x", "login": "nobody"}, 404, ""),
        ("DELETE", "/keys/none", None, 404, ""),
        ("DELETE", "/keys/%00", None, 404, ""),
    ],
)
def test_what_cannot_be_is_refused_with_its_field(
    ask: Ask, method: str, path: str, body: Any, status: int, field: str
) -> None:
    answer = ask(method, path, token=TOKEN, **({} if body is None else {"json": body}))
    assert (answer.status_code, answer.json()["error"]["field"]) == (status, field), answer.text


def test_a_program_manages_its_own_keys_and_sees_no_others(ask: Ask, accounts: Accounts) -> None:
    others = accounts.make_key(house(), "ann's", "ann")
    li = come_in(ask, "li")
    made = ask("POST", "/keys", li, json={"name": "till"}).json()
    assert ask("GET", "/me", token=made["key"]).json()["login"] == "li"
    assert [one["name"] for one in ask("GET", "/keys", token=made["key"]).json()["keys"]] == ["till"]
    assert ask("POST", "/keys", li, json={"name": "x", "login": "ann"}).status_code == 403
    assert ask("DELETE", f"/keys/{others.id}", li).status_code == 404
    assert ask("DELETE", f"/keys/{made['id']}", li).status_code == 204
    assert ask("GET", "/me", token=made["key"]).status_code == 401


def test_an_empty_list_makes_nobody_see_everything(ask: Ask, accounts: Accounts) -> None:
    """A form that was sent with its field left empty made a district's operator one of the whole city."""
    accounts.add(house(), "bo", Role.OPERATOR, districts=("310101",), enterprises=("shop-1",))
    bo = accounts.add(house(), "chen", Role.SUPERVISOR, districts=("310101",))
    assert ask("PATCH", "/accounts/bo", token=TOKEN, json={"enterprises": []}).status_code == 200, "that narrows"
    for login, body in (("bo", {"districts": []}), (bo.login, {"role": "operator", "districts": []})):
        refused = ask("PATCH", f"/accounts/{login}", token=TOKEN, json=body)
        assert (refused.status_code, refused.json()["error"]["field"]) == (400, "districts"), refused.text
        assert "sees_all" in refused.json()["error"]["mend"]
        assert accounts.one(house(), login).districts == ("310101",)
    asked = ask("PATCH", "/accounts/bo", token=TOKEN, json={"districts": [], "sees_all": True})
    assert (asked.status_code, accounts.one(house(), "bo").viewer.sees_all) == (200, True)
    assert ask("PATCH", "/accounts/bo", token=TOKEN, json={"name": "Bo"}).status_code == 200, "it does already"
    ruler = ask("PATCH", "/accounts/chen", token=TOKEN, json={"role": "administrator", "districts": []})
    assert ruler.status_code == 200, "a role that sees all says so itself"


def test_who_had_a_reserved_login_may_still_be_changed(ask: Ask, accounts: Accounts, dsn: str) -> None:
    """Accounts of before this was refused must not be stuck."""
    accounts.add(house(), "homer", Role.OPERATOR)
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE accounts SET login = 'house' WHERE login = 'homer'")
    assert ask("PATCH", "/accounts/house", token=TOKEN, json={"disabled": True}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/me/password", {"old": "", "new": "six words of old tin"}),
        ("PUT", "/me/password", {"old": PASSWORD, "new": "six words of old tin"}),
        ("PATCH", "/accounts/ann", {"password": "six words of old tin"}),
        ("PATCH", "/accounts/ann", {"password": ""}),
        ("POST", "/accounts/ann/link", {}),
        ("POST", "/keys", {"name": "more"}),
        ("POST", "/keys", {"name": "more", "login": "ann"}),
    ],
)
def test_a_key_makes_no_credentials_of_its_own_account(
    ask: Ask, accounts: Accounts, method: str, path: str, body: Any
) -> None:
    """Whoever found a key, or took it from a script, made itself a password and keys that its revoking left alone."""
    key = accounts.make_key(house(), "planner", "ann")
    refused = ask(method, path, token=key.key, json=body)
    assert refused.status_code == 403, refused.text
    error = refused.json()["error"]
    assert "an API key may not" in error["what"] and "Log in" in error["mend"]
    come_in(ask, "ann")
    assert [one.id for one in accounts.keys(house())] == [key.id]


def test_a_key_gives_itself_up_and_no_other_of_its_account(ask: Ask, accounts: Accounts) -> None:
    """One that leaked must not be able to shut the others out."""
    one, other = (accounts.make_key(house(), name, "li") for name in ("till", "planner"))
    assert ask("DELETE", f"/keys/{other.id}", token=one.key).status_code == 403
    assert ask("GET", "/me", token=other.key).status_code == 200
    assert ask("DELETE", f"/keys/{one.id}", token=one.key).status_code == 204
    assert ask("GET", "/me", token=one.key).status_code == 401


def test_an_administrators_program_manages_the_accounts_of_others(ask: Ask, accounts: Accounts) -> None:
    """That is what its key is for."""
    key = accounts.make_key(house(), "planner", "ann").key
    assert ask("PATCH", "/accounts/li", token=key, json={"password": "six words of old tin"}).status_code == 200
    assert ask("POST", "/accounts/li/link", token=key, json={}).status_code == 201
    assert ask("POST", "/keys", token=key, json={"name": "till", "login": "li"}).status_code == 201


def test_what_was_refused_stands_in_the_log_of_acts(ask: Ask) -> None:
    assert ask("GET", "/accounts", come_in(ask, "li")).status_code == 403
    (entry,) = ask("GET", "/audit?refused=true", token=TOKEN).json()["entries"]
    assert (entry["who"], entry["act"], entry["subject"]) == ("li", "refused", "/api/v1/accounts")
