"""A short walk for a newcomer through their first alarm (`guide.js`); begun by `?guide=1`."""

from __future__ import annotations

from nicegui import ui

from console.words import Words


class Guide(ui.element, component="guide.js"):
    """Stands in the frame of every page, and shows itself only when it was begun in this tab."""

    def __init__(self, words: Words) -> None:
        super().__init__()
        self._props["texts"] = words.of("guide")
