"""A moment on a page: how long ago it is, ticking (`since.js`), or its time in the browser's own zone."""

from __future__ import annotations

from typing import Literal

from nicegui import ui

from console.words import Words


class Since(ui.element, component="since.js", dependencies=["tocsin_words.js"]):
    def __init__(self, us: int, words: Words, mode: Literal["ago", "time", "full"] = "ago") -> None:
        """us: microseconds since 1970."""
        super().__init__()
        self._props["us"] = us
        self._props["mode"] = mode
        self._props["language"] = words.language
        self._props["texts"] = words.of("watch.ago")
