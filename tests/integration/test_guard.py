"""Who is let in to the console: by session, key or token; what another site can make a browser do; sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import HTMLResponse, Response, StreamingResponse
from starlette.types import Message

from console import staying
from console.app import House
from console.entry import make_entry
from console.errors import answer_errors
from console.guard import COOKIE, Guard, keep_session, local_path, viewer_of
from registry.accounts import Accounts
from schemas.viewers import Act, NotAllowed, Role, house
from tests.accounts_world import PASSWORD, SetClock, make_accounts

pytestmark = pytest.mark.integration
TOKEN = "0123456789abcdef0123"
AWAY = ("192.0.2.7", 5000)
HOST = "console.example"


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def accounts(dsn: str, clock: SetClock) -> Iterator[Accounts]:
    made = make_accounts(dsn, clock)
    made.add(house(), "li", Role.OPERATOR, password=PASSWORD)
    yield made
    made.close()


def make_app(accounts: Accounts | None) -> FastAPI:
    app = FastAPI()
    answer_errors(app)
    app.add_middleware(Guard, token=TOKEN, accounts=accounts, larger={"/api/v1/import": 100_000})

    @app.api_route("/api/v1/who", methods=["GET", "POST"])
    def who(request: Request) -> str:
        return viewer_of(request).name

    @app.post("/api/v1/import")
    async def taken(request: Request) -> int:
        return len(await request.body())

    @app.get("/watch")
    @app.get("/login")
    def page() -> Response:
        return HTMLResponse("<p>calm</p>")

    @app.get("/static/open")
    def unknown(request: Request) -> str:
        return viewer_of(request).name

    @app.get("/api/v1/table.csv")
    def table() -> Response:
        return Response("a,b", media_type="text/csv", headers={"Content-Disposition": 'attachment; filename="a.csv"'})

    @app.get("/cookie")
    def cookie(request: Request) -> Response:
        response = Response()
        keep_session(response, "abc", request.scope)
        return response

    return app


def ask(app: FastAPI, method: str, path: str, scheme: str = "http", **more: Any) -> httpx.Response:
    async def one() -> httpx.Response:
        transport = httpx.ASGITransport(app, client=AWAY, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=f"{scheme}://{HOST}") as asker:
            return await asker.request(method, path, **more)

    return asyncio.run(one())


def cookie_of(accounts: Accounts) -> dict[str, str]:
    return {"Cookie": f"other=1; {COOKIE}={accounts.log_in('li', PASSWORD)}"}


def test_a_session_a_key_and_the_token_let_in(accounts: Accounts) -> None:
    app = make_app(accounts)
    key = accounts.make_key(house(), "till", "li").key
    assert ask(app, "GET", "/api/v1/who", headers=cookie_of(accounts)).json() == "li"
    assert ask(app, "GET", "/api/v1/who", headers={"Authorization": f"Bearer {key}"}).json() == "li"
    assert ask(app, "GET", "/api/v1/who", headers={"Authorization": f"Bearer {TOKEN}"}).json() == "house"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer tocsin_0123456789ab_wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Cookie": f"{COOKIE}=wrong"},
        {"Cookie": f"{COOKIE}"},
        {"Cookie": f'{COOKIE}="'},
        {"Cookie": f"{COOKIE}={TOKEN}"},
        {"Authorization": "Bearer é".encode()},
    ],
)
def test_nobody_else_is_let_in(accounts: Accounts, headers: Any) -> None:
    app = make_app(accounts)
    answer = ask(app, "GET", "/api/v1/who", headers=headers)
    assert answer.status_code == 401 and answer.json()["error"]["code"] == "unauthorized"
    page = ask(app, "GET", "/watch?grade=red&x=%2F", headers=headers)
    assert page.status_code == 303
    assert page.headers["Location"] == "/login?next=%2Fwatch%3Fgrade%3Dred%26x%3D%252F"
    assert ask(app, "POST", "/watch", headers=headers).status_code == 401
    assert ask(app, "GET", "/login", headers=headers).status_code == 200
    assert ask(app, "GET", "/static/open", headers=headers).status_code == 401, "open, but nobody is known there"


def test_a_wrong_key_does_not_fall_back_on_the_cookie(accounts: Accounts) -> None:
    """Who sends both means the key; another answer would hide that it is wrong."""
    headers = cookie_of(accounts) | {"Authorization": "Bearer tocsin_0123456789ab_wrong"}
    assert ask(make_app(accounts), "GET", "/api/v1/who", headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": f"http://{HOST}"}, 200),
        ({"Origin": f"https://{HOST}"}, 200),  # TLS ends before us
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": f"http://{HOST}"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": f"http://{HOST}.evil.example"}, 403),
        ({"Origin": f"http://{HOST}:8443"}, 403),
        ({"Origin": "null"}, 403),
        ({"Referer": f"http://{HOST}/"}, 403),
        ({}, 403),
    ],
)
def test_only_our_own_pages_change_anything_by_a_cookie(
    accounts: Accounts, headers: dict[str, str], status: int
) -> None:
    app = make_app(accounts)
    answer = ask(app, "POST", "/api/v1/who", headers=cookie_of(accounts) | headers)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["error"]["code"] == "forbidden"
    assert ask(app, "GET", "/api/v1/who", headers=cookie_of(accounts) | headers).status_code == 200, "reading is"


def test_a_program_with_a_key_needs_no_origin(accounts: Accounts) -> None:
    key = accounts.make_key(house(), "till", "li").key
    assert ask(make_app(accounts), "POST", "/api/v1/who", headers={"Authorization": f"Bearer {key}"}).json() == "li"


def test_a_body_is_bounded_by_its_path(accounts: Accounts) -> None:
    app = make_app(accounts)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert ask(app, "POST", "/api/v1/import", headers=headers, content=b"x" * 90_000).json() == 90_000
    for path, size in (("/api/v1/import", 100_001), ("/api/v1/who", 16_385)):
        assert ask(app, "POST", path, headers=headers, content=b"x" * size).status_code == 413
    assert ask(app, "POST", "/login", content=b"x" * 16_385).status_code == 413, "a stranger's too"
    for length in ("-1", "²", "1e3", ""):
        answer = ask(app, "POST", "/api/v1/who", headers=[*headers.items(), ("Content-Length", length.encode())])
        assert answer.status_code == 413


def test_every_answer_has_its_headers(accounts: Accounts) -> None:
    app = make_app(accounts)
    for path in ("/login", "/watch", "/api/v1/who", "/nothing"):
        answer = ask(app, "GET", path)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert "script-src 'self'" in ask(app, "GET", "/login").headers["Content-Security-Policy"]
    assert "default-src 'none'" in ask(app, "GET", "/api/v1/who").headers["Content-Security-Policy"]


def test_the_cookie_is_for_our_pages_alone(accounts: Accounts) -> None:
    app = make_app(accounts)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    plain = ask(app, "GET", "/cookie", headers=headers).headers["Set-Cookie"]
    assert "HttpOnly" in plain and "SameSite=lax" in plain and "Secure" not in plain
    assert "Secure" in ask(app, "GET", "/cookie", "https", headers=headers).headers["Set-Cookie"]


def test_what_was_taken_away_stands_in_the_log_of_acts(accounts: Accounts) -> None:
    """A list of enterprises with their phone numbers may leave; that it did is known."""
    app = make_app(accounts)
    assert ask(app, "GET", "/api/v1/table.csv", headers=cookie_of(accounts)).text == "a,b"
    ask(app, "GET", "/api/v1/who", headers=cookie_of(accounts))
    exports = accounts.audit(house(), act="export").entries
    assert [(one.who, one.subject, one.refused) for one in exports] == [("li", "/api/v1/table.csv", False)]


def test_who_comes_in_ends_the_session_that_was_there(accounts: Accounts) -> None:
    """At a desk that is shared the next officer acted from the open page under the name of the one before."""
    accounts.add(house(), "wang", Role.OPERATOR, password=PASSWORD)
    app = make_app(accounts)
    app.include_router(make_entry(cast(House, SimpleNamespace(accounts=accounts, language="en", static="/static/1"))))
    before = cookie_of(accounts)
    origin = {"Origin": f"http://{HOST}"}
    answer = ask(app, "POST", "/login", headers=before | origin, data={"login": "wang", "password": PASSWORD})
    assert answer.status_code == 303
    assert ask(app, "GET", "/api/v1/who", headers=before).status_code == 401
    assert ask(app, "GET", "/api/v1/who", headers={"Cookie": answer.headers["Set-Cookie"]}).json() == "wang"


def test_nobody_escapes_the_log_of_acts_by_a_zero_character(accounts: Accounts) -> None:
    """PostgreSQL takes none, so what was refused at such an address was not written down."""
    app = make_app(accounts)

    @app.get("/api/v1/theirs/{name}")
    def theirs(request: Request, name: str) -> None:
        raise NotAllowed(viewer_of(request), Act.CHANGE_ACCOUNTS)

    assert ask(app, "GET", "/api/v1/theirs/a%00b", headers=cookie_of(accounts)).status_code == 403
    refused = accounts.audit(house(), refused=True).entries
    assert [(one.who, one.subject) for one in refused] == [("li", "/api/v1/theirs/a\N{REPLACEMENT CHARACTER}b")]


@pytest.mark.parametrize(
    ("asked", "local"),
    [
        ("/watch?x=1#y", "/watch?x=1#y"),
        ("/", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("evil", "/"),
        ("", "/"),
    ],
)
def test_a_login_leads_to_our_own_pages_only(asked: str, local: str) -> None:
    assert local_path(asked) == local


def test_a_database_that_is_away_is_said(accounts: Accounts, tmp_path: Any, clock: SetClock) -> None:
    """And nobody is sent to log in, who is logged in."""
    app = make_app(make_accounts(f"host={tmp_path} dbname=none", clock))
    for path in ("/api/v1/who", "/watch"):
        answer = ask(app, "GET", path, headers={"Cookie": f"{COOKIE}=something"})
        assert answer.status_code == 503 and answer.json()["error"]["code"] == "away"
    assert ask(app, "GET", "/login").status_code == 200


# --- sockets and streams ---


class Socket:
    """One websocket of an app, spoken by hand."""

    def __init__(self, accounts: Accounts, headers: dict[str, str]) -> None:
        app = FastAPI()

        @app.websocket("/ws")
        async def echo(websocket: WebSocket) -> None:
            await websocket.accept()
            while True:
                await websocket.send_text(await websocket.receive_text())

        self._app = Guard(app, TOKEN, accounts)
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self._headers.append((b"host", HOST.encode()))
        self._in: asyncio.Queue[Message] = asyncio.Queue()
        self.said: list[Message] = []

    async def talk(self, *steps: Any) -> list[str]:
        """Each step is a text to say, or a call to make in between; the types of what came back."""
        scope = {
            "type": "websocket", "path": "/ws", "raw_path": b"/ws", "query_string": b"", "headers": self._headers,
            "scheme": "ws", "client": AWAY, "server": (HOST, 80), "root_path": "", "subprotocols": [],
            "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
        }  # fmt: skip
        heard = asyncio.Event()

        async def send(message: Message) -> None:
            self.said.append(message)
            heard.set()

        self._in.put_nowait({"type": "websocket.connect"})
        task = asyncio.ensure_future(self._app(scope, self._in.get, send))
        await asyncio.wait({task, asyncio.ensure_future(heard.wait())}, return_when=asyncio.FIRST_COMPLETED)
        for step in steps:
            if callable(step):
                step()
                continue
            heard.clear()
            self._in.put_nowait({"type": "websocket.receive", "text": step})
            await asyncio.wait({task, asyncio.ensure_future(heard.wait())}, return_when=asyncio.FIRST_COMPLETED)
        self._in.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await asyncio.wait({task})
        return [message["type"].removeprefix("websocket.") for message in self.said]


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        (f"http://{HOST}", ["accept", "send"]),
        ("http://evil.example", ["close"]),
        (None, ["close"]),
    ],
)
def test_a_socket_is_opened_by_our_own_pages_only(accounts: Accounts, origin: str | None, said: list[str]) -> None:
    headers = cookie_of(accounts) | ({"Origin": origin} if origin else {})
    assert asyncio.run(Socket(accounts, headers).talk("hello"))[:2] == said


def test_a_socket_needs_a_session(accounts: Accounts) -> None:
    assert asyncio.run(Socket(accounts, {"Origin": f"http://{HOST}"}).talk("hello")) == ["close"]


def test_a_socket_ends_with_its_session(accounts: Accounts, clock: SetClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that stays open must not go on showing what its account may not see any more."""
    monkeypatch.setattr(staying, "LOOK_AGAIN_S", 0.0)
    headers = cookie_of(accounts) | {"Origin": f"http://{HOST}"}
    said = Socket(accounts, headers)
    assert asyncio.run(said.talk("a", lambda: accounts.disable(house(), "li"), "b", "c")) == ["accept", "send", "close"]
    assert said.said[-1]["code"] == 1008


def test_a_stream_ends_with_its_session(accounts: Accounts, clock: SetClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staying, "LOOK_AGAIN_S", 0.0)
    app = FastAPI()
    told = []

    @app.get("/api/v1/stream")
    def stream() -> Response:
        async def lines() -> Any:
            for number in range(100):
                if number == 3:
                    accounts.disable(house(), "li")
                told.append(number)
                yield f"data: {number}\n\n"
                await asyncio.sleep(0)

        return StreamingResponse(lines(), media_type="text/event-stream")

    app.add_middleware(Guard, token=TOKEN, accounts=accounts)
    answer = ask(app, "GET", "/api/v1/stream", headers=cookie_of(accounts))
    assert answer.text == "".join(f"data: {number}\n\n" for number in range(3))
    assert len(told) < 100, "whoever writes it is told that nobody reads"


def test_a_stream_by_key_ends_when_its_account_sees_something_else(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key goes on to open, so the stream went on too: with the alarms of the enterprise that it had been for."""
    monkeypatch.setattr(staying, "LOOK_AGAIN_S", 0.0)
    accounts.add(house(), "wang", Role.OWNER, enterprises=("shop-1",))
    key = accounts.make_key(house(), "till", "wang").key
    app = FastAPI()

    @app.get("/api/v1/stream")
    def stream() -> Response:
        async def lines() -> Any:
            for number in range(100):
                if number == 3:
                    accounts.change(house(), "wang", enterprises=("shop-2",))
                yield f"data: {number}\n\n"
                await asyncio.sleep(0)

        return StreamingResponse(lines(), media_type="text/event-stream")

    app.add_middleware(Guard, token=TOKEN, accounts=accounts)
    answer = ask(app, "GET", "/api/v1/stream", headers={"Authorization": f"Bearer {key}"})
    assert answer.text == "".join(f"data: {number}\n\n" for number in range(3))
