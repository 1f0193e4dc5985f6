"""Who may ask: a bearer token for `/api/`, loopback or the token for `/metrics` and `/readyz`; nothing large is read.

It stands before everything else, so a stranger's body is never read. Behind a proxy on this machine everybody seems
to come from loopback: a request that was forwarded needs the token.
"""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from console.errors import error_response

LARGEST_BODY = 16_384
_LOOPBACK = frozenset({"127.0.0.1", "::1"})
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
_OPEN_AT_HOME = frozenset({"/metrics", "/readyz"})
_OPEN = frozenset({"/healthz"})


class Guard:
    def __init__(self, app: ASGIApp, token: str) -> None:
        if len(token) < 16:
            raise ValueError("the token is shorter than 16 characters")
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        if not self._may_ask(scope, headers):
            return error_response(
                "unauthorized",
                "this needs the token.",
                "Authorization",
                "Send `Authorization: Bearer TOKEN`; the token is in the data directory.",
                {"WWW-Authenticate": "Bearer"},
            )
        if "transfer-encoding" in headers:
            return error_response("length_required", "a body must say its length.", "Content-Length")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > LARGEST_BODY:
            return error_response("too_large", f"a body may have {LARGEST_BODY} bytes.", "Content-Length")
        return None

    def _may_ask(self, scope: Scope, headers: Headers) -> bool:
        path: str = scope["path"]
        if path in _OPEN or hmac.compare_digest(headers.get("authorization", "").encode(), self._expected):
            return True
        client = scope.get("client")
        at_home = client is not None and client[0] in _LOOPBACK and not any(name in headers for name in _FORWARDED)
        return path in _OPEN_AT_HOME and at_home
