"""The line to the browser: a beat a second, the bell for reds, and a banner when either stays away (`pulse.js`)."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from console.components.telling import tell
from console.telling import Telling
from console.words import Words


class Pulse(ui.element, component="pulse.js", dependencies=["tocsin_words.js"]):
    """Stands in the frame of every page."""

    def __init__(self, words: Words, first: dict[str, Any], login: str) -> None:
        """first: the beat as of the page's making.  login: where a browser goes whose session has ended."""
        super().__init__()
        self._props["texts"] = words.of("pulse")
        self._props["language"] = words.language
        self._props["first"] = first
        self._props["login"] = login

    def take(self, beat: Telling) -> None:
        tell(self, "take", beat)

    def done(self, act: str) -> None:
        """Something was done from this page."""
        self.run_method("done", act)

    def expired(self) -> None:
        self.run_method("expired")
