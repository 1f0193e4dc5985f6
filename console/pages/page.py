"""What a page is, and what it is given.

To add one: a module in `console/pages/` with a `PAGE`, its name in `PAGES` (`console/pages/__init__.py`), its texts in
`console/texts/{zh,en}/NAME.toml` and its title under `[page]` of `frame.toml`. `build` draws it with NiceGUI inside the
frame; whatever it asks of the services goes through `At.ask`, which keeps the event loop free. What it raises is shown:
NotAllowed, something unknown (not there), or a database that is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from fastapi import Request
from nicegui import run

from console.telling import Telling
from console.words import Words
from schemas.viewers import Act, Viewer

if TYPE_CHECKING:
    from console.app import House
    from console.feed import Reader
    from console.services import Services

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Page:
    name: str
    """Of its texts, and of its title."""
    path: str
    """`/alarms/{key}`: what stands in braces is in `At.parts`."""
    build: Callable[[At], Awaitable[None]]
    act: Act | None = None
    """What the role must be allowed to; None: everybody who is logged in."""
    icon: str = ""
    """Material icon in the menu; empty: it is not in the menu."""


@dataclass(slots=True)
class At:
    """One opening of a page."""

    house: House
    viewer: Viewer
    words: Words
    request: Request
    beat: Telling
    """As of the page's making (`console.feed`)."""
    still_in: Callable[[], Awaitable[bool]]
    """Whether the session is still good."""
    reader: Reader = field(init=False)
    """The open page, as the feed knows it."""

    @property
    def services(self) -> Services:
        return self.house.services

    @property
    def parts(self) -> dict[str, str]:
        """What stands in the path's braces."""
        return dict(self.request.path_params)

    @property
    def query(self) -> dict[str, str]:
        return dict(self.request.query_params)

    async def ask(self, function: Callable[P, R], *args: P.args, **more: P.kwargs) -> R:
        """Call something that waits for the database, in a thread. Its errors come through."""
        answer = await run.io_bound(function, *args, **more)
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # A page that was closed meanwhile; `run` keeps that to itself and answers None.
            raise asyncio.CancelledError
        return answer  # type: ignore[return-value]  # None only while the process ends

    def now_us(self) -> int:
        """The house's time."""
        return self.house.now_us()

    def may(self, act: Act) -> bool:
        return self.viewer.may(act)

    def name(self, own: str, english: str) -> str:
        """A name of something in the reader's language."""
        return self.words.name(own, english)
