"""What a page does beside showing: an act of its reader with a refusal in words, and looking again by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nicegui import background_tasks, context, ui

from alerting.trials import UnknownPlace
from console.refusals import refusal
from ingest.payloads import UnknownDevice, UnknownMessage
from registry.errors import NotThere
from schemas.errors import ConfigError, ServiceAway, TocsinError
from schemas.viewers import NotAllowed

if TYPE_CHECKING:
    from console.pages.page import At

GONE = (NotThere, UnknownDevice, UnknownMessage, UnknownPlace)


async def do(at: At, act: Callable[[], Awaitable[object]], wrong: str = "") -> str:
    """Do it. Returns why it was not done, in the reader's words, "" when it was.

    wrong: group of texts that say what is wrong with a field: `contacts.wrong` for `contacts.wrong.phone`.
    """
    words = at.words
    if not await at.still_in():
        at.reader.expired()
        return words("acts.expired")
    try:
        await act()
    except (NotAllowed, ServiceAway) as error:
        return refusal(error, words)
    except GONE:
        return words("frame.not_there")
    except ConfigError as error:
        key = f"{wrong}.{error.field}"
        return words(key) if key in words else refusal(error, words)
    except TocsinError as error:
        return words("acts.not_possible", why=refusal(error, words))
    return ""


class Looking:
    """Looks at the database again every `every_s`, and soon when something is known to have changed; never twice at
    a time. While the database is away what is shown stays, and the line says so."""

    def __init__(self, every_s: float, look: Callable[[], Awaitable[None]]) -> None:
        self._look = look
        self._client = context.client
        self._at_it = asyncio.Lock()
        self._again = False
        ui.timer(every_s, self.now, immediate=False)

    async def now(self) -> None:
        if self._at_it.locked():
            self._again = True
            return
        async with self._at_it:
            self._again = True
            while self._again and not self._client.is_deleted:
                self._again = False
                with suppress(ServiceAway, NotAllowed, *GONE), self._client:
                    await self._look()

    def soon(self, *_: Any) -> None:
        """From anywhere in the event loop."""
        if not self._client.is_deleted:
            background_tasks.create(self.now(), name="a page looks again")
