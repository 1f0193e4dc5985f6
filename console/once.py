"""A thing that is asked for twice under one idempotency key is done once.

Acts about alarms know their keys themselves, and give the first answer again. Everything else that makes or changes
something by POST is kept here by its key alone: a repeat is told that it was done. The first answer is not kept, since
some of them bear a secret that is shown once.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alerting.database import Database
from console.errors import away_response, error_response
from schemas.errors import ServiceAway
from schemas.viewers import Viewer

HEADER = "Idempotency-Key"
_KEY = re.compile(r"[\x21-\x7e]{1,200}\Z")
_OWN = "/api/v1/alarms/"
_FORGET = "DELETE FROM done_once WHERE at < now() - interval '2 days'"
_CLAIM = "INSERT INTO done_once (who, key, what) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING RETURNING true"
_RELEASE = "DELETE FROM done_once WHERE who = %s AND key = %s"


class OnceBook:
    """Which keys have been used, for two days. Thread-safe. Raises ServiceAway."""

    def __init__(self, dsn: str) -> None:
        self._database = Database(dsn, "tocsin once")
        self._lock = threading.Lock()

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def claim(self, who: str, key: str, what: str) -> bool:
        """False when the key was used."""
        with self._lock, self._database.transaction() as connection:
            connection.execute(_FORGET)
            return connection.execute(_CLAIM, [who, key, what]).fetchone() is not None

    def release(self, who: str, key: str) -> None:
        """It came to nothing, and may be tried again."""
        with self._lock, self._database.transaction() as connection:
            connection.execute(_RELEASE, [who, key])


class Once:
    """Stands behind the guard, which says who asks."""

    def __init__(self, app: ASGIApp, book: OnceBook) -> None:
        self._app = app
        self._book = book

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = Headers(scope=scope).get(HEADER, "") if _is_meant(scope) else ""
        viewer = (scope.get("state") or {}).get("viewer")
        if not key or not isinstance(viewer, Viewer):
            await self._app(scope, receive, send)
            return
        if not _KEY.match(key):
            refusal = error_response("bad_request", "a key has up to 200 characters without spaces.", HEADER)
            await refusal(scope, receive, send)
            return
        what = f"POST {scope['path']}"[:500].replace("\0", "\N{REPLACEMENT CHARACTER}")
        try:
            is_first = await run_in_threadpool(self._book.claim, viewer.name, key, what)
        except ServiceAway as error:
            await away_response(error)(scope, receive, send)
            return
        if not is_first:
            refusal = error_response(
                "not_possible", "this was done already, under this key.", HEADER, "Look at it; use a new key for more."
            )
            await refusal(scope, receive, send)
            return
        status: list[int] = []
        try:
            await self._app(scope, receive, _noting(send, status.append))
        finally:
            if not status or status[0] >= 400:
                await run_in_threadpool(self._book.release, viewer.name, key)


def _is_meant(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] != "POST":
        return False
    path: str = scope["path"]
    return path.startswith("/api/v1/") and not path.startswith(_OWN)


def _noting(send: Send, note: Callable[[int], None]) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            note(message["status"])
        await send(message)

    return sending
