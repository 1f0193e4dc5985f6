"""Enterprises by name in the browser (`place_list.js`): one element however many they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nicegui import ui


class PlaceList(ui.element, component="place_list.js"):
    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        """rows: code, name, where, trade, colour ("" where there is none), and what the colour is called."""
        super().__init__()
        self._props["rows"] = list(rows)

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """These behind those before."""
        self.run_method("add", list(rows))
