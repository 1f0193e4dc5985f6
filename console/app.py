"""The web console: NiceGUI's pages beside the API, over the same services.

`make_console` is called once a process: NiceGUI keeps its pages for the whole process. Nothing is loaded from
elsewhere: what a browser needs is in the wheels, or in `static/`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from nicegui import app as pages_app
from nicegui import context, core, ui

from alerting.lists import Wanted
from alerting.people import UnknownAlarm
from console.entry import make_entry
from console.feed import Feed
from console.guard import session_of, viewer_of
from console.pages import PAGES
from console.pages.frame import framed, message
from console.pages.page import At, Page
from console.services import Services
from console.words import words_of
from ingest.payloads import UnknownDevice, UnknownMessage
from registry.account_rows import UnknownAccount
from registry.accounts import Accounts
from registry.errors import NotThere
from schemas.errors import ServiceAway, TocsinError
from schemas.viewers import Act, NotAllowed, Viewer

_log = structlog.get_logger("console.app")
STATIC = Path(__file__).parent / "static"
_YEAR_S = 365 * 24 * 3600
RECONNECT_S = 10.0
"""A page whose browser has been away for so long is forgotten; the browser then loads it anew, by itself."""


@dataclass(slots=True)
class House:
    """What pages stand on."""

    services: Services
    accounts: Accounts
    feed: Feed
    now_us: Callable[[], int]
    language: str
    """Of who has not said theirs."""
    static: str
    """Where `static/` is served: a new address when a file in it has changed."""


def make_console(
    app: FastAPI,
    services: Services,
    accounts: Accounts,
    *,
    now_us: Callable[[], int],
    judged_us: Callable[[], int | None],
    language: str = "en",
) -> FastAPI:
    """Add the pages to `app`, which has the API, its guard and its errors. Served with its lifespan on."""
    feed = Feed(services.live, now_us, judged_us, lambda viewer: _last_end_us(services, viewer))
    house = House(services, accounts, feed, now_us, language, f"/static/{_fingerprint()}")
    pages_app.add_static_files(house.static, STATIC, max_cache_age=_YEAR_S)
    for sheet in ("tocsin.css", *sorted(file.name for file in STATIC.glob("*.css") if file.name != "tocsin.css")):
        ui.add_head_html(f'<link rel="stylesheet" href="{house.static}/{sheet}">', shared=True)
    app.include_router(make_entry(house))
    for page in PAGES:
        _serve(house, page)
    ui.run_with(
        app,
        title="Tocsin",
        favicon=STATIC / "bell.svg",
        dark=None,
        tailwind=False,
        reconnect_timeout=RECONNECT_S,
        show_welcome_message=False,
        binding_refresh_interval=None,
    )
    core.sio.cors_allowed_origins = None
    app.router.lifespan_context = _with_feed(app, feed)
    return app


def _with_feed(app: FastAPI, feed: Feed) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(served: FastAPI) -> AsyncIterator[None]:
        async with inner(served):
            beating = asyncio.create_task(feed.run())
            try:
                yield
            finally:
                beating.cancel()

    return lifespan


def _serve(house: House, page: Page) -> None:
    async def serve(request: Request) -> Response | None:
        viewer = viewer_of(request)
        if page.path == "/" and page.act is not None and not viewer.may(page.act):
            return RedirectResponse(_home(viewer), 303)
        words = words_of(viewer.language)
        hall = await house.feed.hall(viewer)
        at = At(
            house, viewer, words, request, house.feed.beat_of(hall, words.language), lambda: _still_in(house, request)
        )
        with framed(at, page, PAGES) as reader:
            at.reader = reader
            await _build(at, page)
        return None

    serve.__name__ = f"page_{page.name}"
    ui.page(page.path, response_timeout=20.0, dark=None)(serve)


def _home(viewer: Viewer) -> str:
    """Where somebody begins who may not see alarms: who connects devices there, else at the first page of the menu."""
    menu = [page for page in PAGES if page.icon and page.path != "/" and (page.act is None or viewer.may(page.act))]
    theirs = [page for page in menu if page.act is Act.SEE_DEVICES and viewer.may(Act.CONNECT_DEVICES)]
    return next((page.path for page in [*theirs, *menu]), "/me")


def _last_end_us(services: Services, viewer: Viewer) -> int | None:
    """Of the alarms that were raised last, the last end; None while nothing ended, or nobody can say."""
    try:
        page = services.people.list_alarms(viewer, Wanted(open=False, order="newest"), 20)
    except TocsinError:
        return None
    return max((alarm.event_us for alarm in page.alarms), default=None)


async def _build(at: At, page: Page) -> None:
    """The page, or why it cannot be shown."""
    words = at.words
    try:
        if page.act is not None:
            at.viewer.must(page.act)
        await page.build(at)
    except NotAllowed:
        context.client.status_code = 403
        message(words("frame.not_allowed_title"), words("frame.not_allowed"), "lock", ("/", words("frame.back")))
    except ServiceAway:
        context.client.status_code = 503
        message(words("frame.away_title"), words("frame.away"), "cloud_off")
        # Asked until it answers, then loaded anew.
        ui.timer(2.0, lambda: ui.run_javascript("window.tocsin.reload && window.tocsin.reload()"))
    except (NotThere, UnknownAlarm, UnknownAccount, UnknownDevice, UnknownMessage):
        context.client.status_code = 404
        message(words("frame.not_there_title"), words("frame.not_there"), "search_off", ("/", words("frame.back")))
    except Exception:  # noqa: BLE001  a defect of one page; its words are for the log
        _log.exception("a page failed", page=page.name)
        context.client.status_code = 500
        message(words("frame.failed_title"), words("frame.failed"), "error_outline", ("/", words("frame.back")))


async def _still_in(house: House, request: Request) -> bool:
    """Whether the session with which the page was opened is still good; yes while the database is away."""
    token = session_of(request.headers)
    if not token:
        return True  # by a key or the house's token: they hold as long as the page
    is_known, viewer = house.accounts.known(token)
    if is_known:
        return viewer is not None
    try:
        return await asyncio.to_thread(house.accounts.viewer_of, token) is not None
    except ServiceAway:
        return True


def _fingerprint() -> str:
    found = sha256()
    for file in sorted(STATIC.iterdir()):
        found.update(file.name.encode() + file.read_bytes())
    return found.hexdigest()[:12]
