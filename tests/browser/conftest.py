"""A Tocsin with its console and a Chromium, once for all tests here; a page of a person for each test."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser.watch_room import WatchRoom, open_room

PATIENCE_MS = 90_000
"""A machine that does much else at the same time is slow, and not wrong."""
DESK = {"width": 1440, "height": 900}
Opened = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = which("chromium") or which("chromium-browser")
    if chromium is None:
        words = "there is no Chromium: `apt-get install chromium fonts-noto-cjk`"
        if os.environ.get("TOCSIN_REQUIRE") == "all":
            pytest.fail(words)
        pytest.skip(words)
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def room() -> Iterator[WatchRoom]:
    # Not in pytest's own folder, which it closes to the server's user whenever another session begins.
    with tempfile.TemporaryDirectory(prefix="tocsin-") as folder, open_room(Path(folder)) as made:
        yield made


@pytest.fixture(autouse=True)
def nothing_rings(room: WatchRoom) -> None:
    """What an earlier test left open is acknowledged, so that a title counts the test's own reds."""
    for alarm in room.api("GET", "/api/v1/alarms?acknowledged=false").json()["alarms"]:
        room.api("POST", f"/api/v1/alarms/{alarm['key']}/ack", json={}).raise_for_status()


@pytest.fixture
def open_as(browser: Browser, room: WatchRoom) -> Iterator[Opened]:
    """`open_as("officer", "/path")`: a page in a browser of its own, logged in; an error in it fails the test."""
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def opened(login: str, path: str = "/", *, new: bool = False, **more: Any) -> Page:
        context = browser.new_context(viewport=more.pop("viewport", DESK), **more)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        if login:
            context.add_cookies([{"name": "tocsin_session", "value": room.token(login, new=new), "url": room.url}])
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url) if not _ours(request.url, room.url) else None)
        page.goto(room.url + path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not wrong, "a page failed, or asked somebody else"


def _ours(url: str, home: str) -> bool:
    return url.startswith((home, home.replace("http", "ws"), "data:", "blob:"))
