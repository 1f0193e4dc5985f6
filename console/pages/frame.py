"""The frame around every page: menu, line, language, light, account; and what is said when a page cannot be shown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import quote

from nicegui import context, ui

from console.components.guide import Guide
from console.components.pulse import Pulse
from console.feed import Reader
from console.pages.page import At, Page
from console.words import LANGUAGES

THEMES = ("auto", "light", "dark")
THEME_COOKIE = "tocsin_theme"
_OTHER = {"zh": "en", "en": "zh"}
_NEXT_THEME = """() => {
    const order = ["auto", "light", "dark"];
    const now = (document.cookie.match(/tocsin_theme=(\\w+)/) || [0, "auto"])[1];
    const next = order[(order.indexOf(now) + 1) % 3];
    document.cookie = `tocsin_theme=${next};path=/;max-age=31536000;samesite=lax`;
    Quasar.Dark.set(next === "auto" ? "auto" : next === "dark");
    document.documentElement.dataset.theme = next;
}"""


@contextmanager
def framed(at: At, page: Page, pages: Sequence[Page]) -> Iterator[Reader]:
    """Draw the frame, and the page's own things within. The feed knows the reader before the page is made: what happens
    meanwhile comes to it, too.
    """
    words, viewer = at.words, at.viewer
    title = words(f"frame.page.{page.name}")
    ui.page_title(f"{title} · {words('frame.brand')}")
    theme = at.request.cookies.get(THEME_COOKIE, "auto")
    ui.dark_mode({"light": False, "dark": True}.get(theme))
    language, said = json.dumps(words.language), json.dumps(theme if theme in THEMES else "auto")
    ui.add_head_html(f"<script>document.documentElement.lang={language};"
                     f"document.documentElement.dataset.theme={said};</script>")  # fmt: skip
    ui.element("a").props('href="#main"').classes("t-skip")._text = words("frame.skip")
    with ui.element("header").classes("t-top"):
        with ui.link(target="/").classes("t-brand"):
            ui.element("img").props(f'src="{at.house.static}/bell.svg" alt=""')
            ui.label(words("frame.brand"))
        hall = at.house.feed
        pulse = Pulse(words, at.beat, f"/login?next={quote(str(at.request.url.path))}")
        with ui.element("div").classes("t-tools"):
            _language(at)
            _tool("contrast", words("frame.theme.switch")).on("click", js_handler=_NEXT_THEME)
            with ui.link(target="/me").classes("t-me").props(f'title="{words("frame.page.me")}"'):
                ui.icon("person")
                ui.label(viewer.name)
    with ui.element("nav").classes("t-nav").props(f'aria-label="{words("frame.menu")}"'):
        for one in pages:
            if one.icon and (one.act is None or viewer.may(one.act)):
                link = ui.link(target=one.path).classes("t-nav-link")
                if one.name == page.name:
                    link.classes("is-here").props('aria-current="page"')
                with link:
                    ui.icon(one.icon)
                    ui.label(words(f"frame.page.{one.name}"))
        ui.label(words("frame.own_grades")).classes("t-own")
    client = context.client
    reader = Reader(viewer, words.language, pulse.take, at.still_in, pulse.expired, pulse.done)
    hall.join(reader)
    client.on_delete(lambda: hall.leave(reader))
    try:
        with ui.element("main").classes(f"t-main t-page-{page.name}").props('id="main" tabindex="-1"'):
            yield reader
        Guide(words)
    except BaseException:
        hall.leave(reader)
        raise


def _language(at: At) -> None:
    other = _OTHER[at.words.language]

    async def switch() -> None:
        accounts = at.house.accounts
        if at.viewer.account and accounts is not None:
            await at.ask(accounts.change_own_language, at.viewer, other)
        ui.run_javascript(
            f"document.cookie = 'tocsin_language={other};path=/;max-age=31536000;samesite=lax';window.location.reload()"
        )

    assert other in LANGUAGES
    button = ui.element("button").classes("t-tool t-language").props(f'type="button" lang="{other}"')
    button.props["aria-label"] = at.words("frame.language.said")
    button.on("click", switch)
    with button:
        ui.label(at.words("frame.language.switch"))


def _tool(icon: str, said: str) -> ui.element:
    button = ui.element("button").classes("t-tool").props('type="button"')
    button.props["aria-label"] = said
    button.props["title"] = said
    with button:
        ui.icon(icon)
    return button


def message(title: str, text: str, icon: str, link: tuple[str, str] | None = None) -> None:
    """In the middle of the page: why there is nothing else."""
    with ui.element("section").classes("t-message"):
        ui.icon(icon)
        ui.element("h1").classes("t-message-title")._text = title
        ui.label(text)
        if link is not None:
            ui.link(link[1], link[0]).classes("t-button is-main")
