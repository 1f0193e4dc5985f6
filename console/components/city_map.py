"""A map that needs no network: enterprises by risk colour, rings where something is open (`city_map.js`).

Leaflet comes from NiceGUI's own wheel; there are no tiles unless the house names a server of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nicegui
from nicegui import ui

from console.words import Words

_LEAFLET = Path(nicegui.__file__).parent / "elements" / "leaflet" / "dist"


class CityMap(ui.element, component="city_map.js", esm={"nicegui-leaflet": str(_LEAFLET)}):
    def __init__(
        self,
        words: Words,
        places: Sequence[Sequence[Any]],
        districts: dict[str, str],
        alarms: Sequence[dict[str, Any]],
        *,
        at: str = "",
        tiles: str = "",
    ) -> None:
        """places: (code, name, district, longitude, latitude, risk colour or "").  districts: code → name.

        alarms: rows of `console.rows`.  at: the enterprise that is shown first.  tiles: a URL of Leaflet's form.
        """
        super().__init__()
        self.add_resource(_LEAFLET)
        self._props["texts"] = words.of("map", "grade", "kind")
        self._props["places"] = places
        self._props["districts"] = districts
        self._props["alarms"] = alarms
        self._props["at"] = at
        self._props["tiles"] = tiles

    def change(self, change: dict[str, Any]) -> None:
        """A change of the open alarms, as the feed says it."""
        self.run_method("change", change)
