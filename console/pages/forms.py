"""Forms: what is typed goes to the server as one answer when it is sent, and stays where it stands when refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from nicegui import ui

_LONGEST = 1000


def form(send: Callable[[dict[str, str]], Awaitable[None]], classes: str = "") -> ui.element:
    """send: is given what was typed, by the names of the fields; its button is off until that is done."""
    made = ui.element("form").classes(f"m-form {classes}".strip())

    async def sent(event: Any) -> None:
        told = event.args if isinstance(event.args, dict) else {}
        made.props("inert")
        try:
            # A zero character is none that a person types, and PostgreSQL takes none.
            await send({str(name): str(value)[:_LONGEST].replace("\0", "").strip() for name, value in told.items()})
        finally:
            if not made.is_deleted:
                made.props(remove="inert")

    made.on("submit", sent, js_handler="e => { e.preventDefault(); emit(Object.fromEntries(new FormData(e.target))); }")
    return made


def field(said: str, name: str, value: str = "", props: str = "", hint: str = "") -> ui.element:
    """A line of text under its name."""
    with ui.element("label"):
        ui.label(said)
        made = ui.element("input").classes("t-field").props(f'name="{name}" maxlength="200" autocomplete="off" {props}')
        # As an attribute: as a property every drawing of the page would put it back over what is being typed.
        made.props["^value"] = value
        if hint:
            made.props["placeholder"] = hint
    return made


def choice(said: str, name: str, options: Iterable[tuple[str, str]], chosen: str = "") -> ui.element:
    """options: value and what it is called."""
    with ui.element("label"):
        ui.label(said)
        with ui.element("select").classes("t-field").props(f'name="{name}"') as made:
            for value, text in options:
                option = ui.element("option")
                option.props["value"] = value
                if value == chosen:
                    option.props("selected")
                option._text = text
    return made


def buttons(send: str, cancel: str = "", back: Callable[[], None] | None = None, test: str = "") -> None:
    """The one that sends, and the one that does not."""
    with ui.element("div").classes("f-buttons"):
        with ui.element("button").classes("t-button is-main").props('type="submit"') as main:
            ui.label(send)
        if test:
            main.props(f'data-testid="{test}"')
        if back is not None:
            other = ui.element("button").classes("t-button").props('type="button"')
            other._text = cancel
            other.on("click", back)
