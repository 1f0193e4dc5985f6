"""Enterprises with their risk and its reasons, in the browser (`risk_list.js`): one element however many they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nicegui import ui

from console.words import Words


class RiskList(ui.element, component="risk_list.js"):
    def __init__(self, words: Words, rows: Sequence[dict[str, Any]]) -> None:
        """rows: code, name, where, colour, score, and reasons: pairs of points ("" for a knock-out) and words."""
        super().__init__()
        self._props["texts"] = words.of("map.colour", "supervisor.list", "supervisor.none")
        self._props["rows"] = list(rows)

    def show(self, rows: Sequence[dict[str, Any]]) -> None:
        """These in place of those before."""
        self._props["rows"] = list(rows)
        self.update()

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """These behind those before, until others are shown."""
        self.run_method("add", list(rows))
