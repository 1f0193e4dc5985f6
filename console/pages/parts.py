"""What pages are made of: cards, facts, badges, marks of grades, buttons. All text goes in as text."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from nicegui import ui

from console.words import Words

SHAPES = {
    "red": "M6 1 H14 L19 6 V14 L14 19 H6 L1 14 V6 Z",
    "orange": "M10 1 L19.5 18.5 H0.5 Z",
    "yellow": "M10 0.5 L19.5 10 L10 19.5 L0.5 10 Z",
    "blue": "M10 1 A9 9 0 1 1 9.99 1 Z",
}
"""Octagon, triangle, diamond, circle: grades are told apart without colour. As in `tocsin_words.js`."""


@contextmanager
def card(title: str = "", classes: str = "") -> Iterator[ui.element]:
    with ui.element("section").classes(f"t-card {classes}".strip()) as made:
        if title:
            heading(title)
        yield made


def heading(text: str, level: int = 2) -> ui.element:
    made = ui.element(f"h{level}")
    made._text = text
    return made


def fact(name: str, text: str, link: str = "") -> None:
    """A row of a `<dl class="t-facts">`; nothing where nothing is known."""
    if not text:
        return
    ui.element("dt")._text = name
    with ui.element("dd"):
        if link:
            ui.link(text, link)
        else:
            ui.label(text)


_DAYS = "Mo|Tu|We|Th|Fr|Sa|Su"
_EVERY_DAY, _DAY = re.compile(r"\bMo\s*-\s*Su\b", re.I), re.compile(rf"\b({_DAYS})\b", re.I)
_SPAN = re.compile(rf"\b({_DAYS})\s*-\s*({_DAYS})\b", re.I)


def hours_said(hours: str, words: Words) -> str:
    """Opening hours as a person says them: `Mo-Su 10:30-21:30` is `daily 10:30-21:30`."""

    def day(name: str) -> str:
        return words(f"enterprise.day.{name.lower()}")

    if hours.strip() == "24/7":
        return words("enterprise.always")
    said = _EVERY_DAY.sub(words("enterprise.every_day"), hours)
    said = _SPAN.sub(lambda found: words("enterprise.days", first=day(found[1]), last=day(found[2])), said)
    said = _DAY.sub(lambda found: day(found[1]), said)
    return re.sub(r"\b(off|closed)\b", words("enterprise.day_off"), said)


def badge(text: str, classes: str = "") -> ui.label:
    return ui.label(text).classes(f"t-badge {classes}".strip())


def shape(grade: str) -> ui.element:
    """The grade's shape, in its colour."""
    made = ui.element("svg").props('viewBox="0 0 20 20" aria-hidden="true"').classes("t-shape")
    with made:
        ui.element("path").props(f'd="{SHAPES.get(grade, SHAPES["blue"])}"')
    return made


def grade_mark(grade: str, words: Words) -> None:
    """Shape, colour and word of a warning grade or a risk colour."""
    with ui.element("div").classes(f"t-grade is-{grade}"):
        shape(grade)
        ui.element("strong")._text = words("grade." + grade)


def act_button(
    text: str, act: Callable[[], Awaitable[None] | None], *, main: bool = False, test: str = "", icon: str = ""
) -> ui.element:
    """A button that is off while its act is under way."""
    button = ui.element("button").classes("t-button" + (" is-main" if main else "")).props('type="button"')
    if test:
        button.props(f'data-testid="{test}"')
    with button:
        if icon:
            ui.icon(icon)
        if text:
            ui.label(text)

    async def clicked() -> None:
        button.props("disabled")
        try:
            answer = act()
            if answer is not None:
                await answer
        finally:
            if not button.is_deleted:
                button.props(remove="disabled")

    button.on("click", clicked)
    return button
