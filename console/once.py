"""A thing that is asked for twice under one idempotency key is done once.

Acts about alarms know their keys themselves, and give the first answer again. Everything else that makes or changes
something by POST is kept here by its key alone. The first answer is not kept, since some of them bear a secret that is
shown once. A repeat is told what is known: that it was done; or only that it was begun, while that goes on, or when the
console died in the middle or the database did not say whether it took it. Then nobody but a person who looks can say
what came of it, so nothing is done again by itself. What was refused may be tried again.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Enum

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
_LOOK = "SELECT what, done_at IS NOT NULL FROM done_once WHERE who = %s AND key = %s"
_DONE = "UPDATE done_once SET done_at = now() WHERE who = %s AND key = %s"
_RELEASE = "DELETE FROM done_once WHERE who = %s AND key = %s"


class Claim(Enum):
    """What a key stands for by now."""

    FIRST = "first"
    """For what is asked now, and for nothing before."""
    DONE = "done"
    BEGUN = "begun"
    """What came of it is not known."""
    OTHER = "other"
    """For something else."""


_SAID = {
    Claim.DONE: ("this was done already, under this key.", "Look at it; use a new key for more."),
    Claim.BEGUN: (
        "this was begun under this key, and what came of it is not known.",
        "It may be at it still: ask again in a minute. If it stays so, look whether it was done, and if it was not, "
        "use a new key.",
    ),
    Claim.OTHER: ("this key was used for something else.", "Use a new key."),
}


class OnceBook:
    """Which keys have been used, for two days. Thread-safe. Raises ServiceAway."""

    def __init__(self, dsn: str) -> None:
        self._database = Database(dsn, "tocsin once")
        self._lock = threading.Lock()

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def claim(self, who: str, key: str, what: str) -> Claim:
        with self._lock, self._database.transaction() as connection:
            connection.execute(_FORGET)
            if connection.execute(_CLAIM, [who, key, what]).fetchone() is not None:
                return Claim.FIRST
            found = connection.execute(_LOOK, [who, key]).fetchone()
        if found is None:
            return Claim.BEGUN  # given back in this very moment
        if found[0] != what:
            return Claim.OTHER
        return Claim.DONE if found[1] else Claim.BEGUN

    def done(self, who: str, key: str) -> None:
        """It was, for certain."""
        with self._lock, self._database.transaction() as connection:
            connection.execute(_DONE, [who, key])

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
            claim = await run_in_threadpool(self._book.claim, viewer.name, key, what)
        except ServiceAway as error:
            await away_response(error)(scope, receive, send)
            return
        if claim is not Claim.FIRST:
            refused, mend = _SAID[claim]
            await error_response("not_possible", refused, HEADER, mend)(scope, receive, send)
            return

        async def note(status: int) -> None:
            """Before the asker hears of it: whoever has an answer finds the key as it says."""
            # From 500 on it is not known what was done before it failed.
            say = self._book.done if status < 400 else self._book.release if status < 500 else None
            if say is not None:
                with suppress(ServiceAway):  # then it stays begun, which is true
                    await run_in_threadpool(say, viewer.name, key)

        await self._app(scope, receive, _noting(send, note))


def _is_meant(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] != "POST":
        return False
    path: str = scope["path"]
    return path.startswith("/api/v1/") and not path.startswith(_OWN)


def _noting(send: Send, note: Callable[[int], Awaitable[None]]) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            await note(message["status"])
        await send(message)

    return sending
