"""Who asks, and whether they may: before everything else, so that a stranger's body is never read.

A viewer comes in by the house's token, by a program's key (both as `Authorization: Bearer …`), or by the cookie of a
session. What is open to all has its list; `/metrics` and `/readyz` are open on this machine. Behind a proxy here
everybody seems to come from loopback: a request that was forwarded needs the token.

A cookie is sent by a browser whoever made it ask, so what changes something must come from our own pages, and a
socket too.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.errors import NotLoggedIn, away_response, error_response
from console.headers import with_headers
from console.staying import Stay
from registry.accounts import Accounts
from registry.sessions import KEY_PREFIX, LONGEST_S
from schemas.errors import ServiceAway
from schemas.viewers import Viewer, house

COOKIE = "tocsin_session"
LARGEST_BODY = 16_384
_LOOPBACK = frozenset({"127.0.0.1", "::1"})
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
_OPEN_AT_HOME = frozenset({"/metrics", "/readyz"})
OPEN = frozenset({"/healthz", "/login", "/logout", "/favicon.ico"})
OPEN_BELOW = ("/login/", "/static/", "/a/", "/_nicegui/")
"""Login, what it is drawn with, and links that carry their own signature."""
_API_LOGIN = "/api/v1/session"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


REFUSED, EXPORT = "refused", "export"


class Noted:
    """Passes an answer on, and sees whether it belongs into the log of acts.

    act: EXPORT when it is a file to keep, REFUSED when the viewer may not do that; what is done about alarms,
    accounts and the registry is written down where it is done.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self.act = ""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            said = Headers(raw=list(message.get("headers", ()))).get("content-disposition", "")
            self.act = REFUSED if message["status"] == 403 else EXPORT if said.startswith("attachment") else ""
        await self._send(message)


class Guard:
    def __init__(
        self,
        app: ASGIApp,
        token: str,
        accounts: Accounts | None = None,
        larger: Mapping[str, int] | None = None,
    ) -> None:
        """token: the house's.  accounts: None where nobody but the house comes in.

        larger: start of a path → the bytes that a body there may have, where LARGEST_BODY is too little.
        """
        if len(token) < 16:
            raise ValueError("the token is shorter than 16 characters")
        self._app = app
        self._token = token.encode()
        self._accounts = accounts
        self._larger = sorted((larger or {}).items(), key=lambda one: -len(one[0]))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        sending = with_headers(send) if scope["type"] == "http" else send
        try:
            viewer, by_cookie = await self._viewer(headers)
        except ServiceAway as error:
            await self._refuse(away_response(error), scope, receive, sending)
            return
        refusal = self._refusal(scope, headers, viewer, by_cookie)
        if refusal is not None:
            await self._refuse(refusal, scope, receive, sending)
            return
        state = scope.get("state") or {}
        scope["state"] = {**state, "viewer": viewer} if viewer else {**state}
        if viewer is None or self._accounts is None:
            await self._app(scope, receive, sending)
            return
        noted = Noted(sending)
        if viewer.account:
            stay = Stay(scope, receive, noted.send, lambda: self._still(headers, viewer))
            await self._app(scope, stay.receive, stay.send)
        else:
            await self._app(scope, receive, noted.send)
        if noted.act:
            with suppress(ServiceAway):
                await run_in_threadpool(
                    self._accounts.record, viewer, noted.act, scope["path"], refused=noted.act == REFUSED
                )

    # --- who ---

    async def _viewer(self, headers: Headers) -> tuple[Viewer | None, bool]:
        """Who asks, and whether a cookie says so. Raises ServiceAway."""
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            if hmac.compare_digest(bearer.encode(), self._token):
                return house(), False
            if self._accounts is not None and bearer.startswith(KEY_PREFIX):
                return await self._ask(self._accounts, bearer), False
            return None, False
        session = session_of(headers)
        if self._accounts is None or not session:
            return None, False
        viewer = await self._ask(self._accounts, session)
        return viewer, viewer is not None

    async def _ask(self, accounts: Accounts, secret: str) -> Viewer | None:
        is_known, viewer = accounts.known(secret)
        if is_known:
            return viewer
        return await run_in_threadpool(
            accounts.viewer_of_key if secret.startswith(KEY_PREFIX) else accounts.viewer_of, secret
        )

    async def _still(self, headers: Headers, seen: Viewer) -> bool:
        """Whether whoever was let in would be so now, as the same: what a stream shows was chosen for that role and
        scope. Another role or scope ends sessions, but no key.
        """
        try:
            viewer, _ = await self._viewer(headers)
        except ServiceAway:
            return True
        return viewer is not None and (viewer.role, viewer.scope) == (seen.role, seen.scope)

    # --- whether ---

    def _refusal(self, scope: Scope, headers: Headers, viewer: Viewer | None, by_cookie: bool) -> Response | None:
        if viewer is None and not self._is_open(scope, headers):
            return self._unknown(scope, headers)
        if (scope["type"] == "websocket" or scope["method"] not in _SAFE) and not _is_ours(scope, headers, by_cookie):
            return error_response(
                "forbidden",
                "this was asked from the page of another site.",
                "Origin",
                "Ask from the console's own pages, or with a key; a proxy must pass the Host header on.",
            )
        if scope["type"] == "websocket":
            return None
        if "transfer-encoding" in headers:
            return error_response("length_required", "a body must say its length.", "Content-Length")
        length = headers.get("content-length", "0")
        largest = next((size for below, size in self._larger if scope["path"].startswith(below)), LARGEST_BODY)
        if viewer is None:
            largest = min(largest, LARGEST_BODY)
        if not length.isdecimal() or int(length) > largest:
            return error_response("too_large", f"a body may have {largest} bytes.", "Content-Length")
        return None

    def _is_open(self, scope: Scope, headers: Headers) -> bool:
        path: str = scope["path"]
        if path == "/healthz":
            return True
        if path in _OPEN_AT_HOME:
            client = scope.get("client")
            return client is not None and client[0] in _LOOPBACK and not any(name in headers for name in _FORWARDED)
        if self._accounts is None:
            return False
        if path == _API_LOGIN and scope["type"] == "http" and scope["method"] == "POST":
            return True
        return path in OPEN or path.startswith(OPEN_BELOW)

    def _unknown(self, scope: Scope, headers: Headers) -> Response:
        """To somebody whom we do not know: pages send them to the login, everything else says so."""
        path: str = scope["path"]
        is_page = not path.startswith("/api/") and path not in _OPEN_AT_HOME
        if self._accounts is not None and is_page and scope["type"] == "http" and scope["method"] in _SAFE:
            query = scope.get("query_string", b"").decode("latin-1")
            return RedirectResponse(login_path(f"{path}?{query}" if query else path), 303)
        if self._accounts is None:
            mend = "Send `Authorization: Bearer TOKEN`; the token is in the data directory."
            what, field = "this needs the token.", "Authorization"
        else:
            mend = "Log in, or send `Authorization: Bearer KEY` with an API key or the token of the data directory."
            what, field = "this needs a login.", "Authorization"
        return error_response("unauthorized", what, field, mend, {"WWW-Authenticate": "Bearer"})

    async def _refuse(self, response: Response, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await response(scope, receive, send)


def viewer_of(request: HTTPConnection) -> Viewer:
    """Who asks. Raises NotLoggedIn where the guard let somebody in whom it does not know."""
    viewer = (request.scope.get("state") or {}).get("viewer")
    if not isinstance(viewer, Viewer):
        raise NotLoggedIn
    return viewer


def session_of(headers: Mapping[str, str]) -> str:
    """The token of the session cookie, or nothing."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found is not None else ""


def keep_session(response: Response, token: str, scope: Scope) -> None:
    """Hand the browser its session; over https it will not send it over anything else."""
    response.set_cookie(
        COOKIE, token, max_age=LONGEST_S, httponly=True, samesite="lax", secure=scope["scheme"] in ("https", "wss")
    )


def drop_session(response: Response) -> None:
    response.delete_cookie(COOKIE, httponly=True, samesite="lax")


def login_path(after: str = "/") -> str:
    """Where one logs in to come to `after`."""
    return "/login" if after in ("", "/") else f"/login?next={quote(local_path(after), safe='')}"


def local_path(path: str) -> str:
    """The path itself when it is one of ours, else `/`: a login must not send anybody to another site."""
    safe = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and "\\" not in path
    parts = urlsplit(path) if safe else None
    return path if parts is not None and not parts.scheme and not parts.netloc else "/"


def _is_ours(scope: Scope, headers: Headers, by_cookie: bool) -> bool:
    """Whether it was asked by a page of ours, or by no browser; where a cookie speaks, a browser must say so."""
    site = headers.get("sec-fetch-site")
    if site is not None and scope["type"] == "http":
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    if origin is None:
        return not by_cookie
    return origin != "null" and urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
