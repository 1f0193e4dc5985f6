"""A map that needs no network: enterprises by risk colour, rings where something is open (`city_map.js`).

Leaflet comes from NiceGUI's own wheel; there are no tiles unless the house names a server of them. The ground is drawn
first and the places are put on it a moment later: thirty thousand of them are two megabytes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nicegui
from nicegui import ui

from console.components.telling import tell
from console.telling import Telling
from console.words import Words

_LEAFLET = Path(nicegui.__file__).parent / "elements" / "leaflet" / "dist"


class CityMap(ui.element, component="city_map.js", esm={"nicegui-leaflet": str(_LEAFLET)}):
    def __init__(
        self,
        words: Words,
        alarms: Mapping[str, Any] | None,
        whole: Callable[[], Awaitable[None]],
        *,
        at: str = "",
        tiles: str = "",
    ) -> None:
        """alarms: `Rows.whole` of `console.rows`; None: not known yet.  whole: called when they are wanted anew.

        at: the enterprise that is shown first.  tiles: a URL of Leaflet's form.
        """
        super().__init__()
        self.add_resource(_LEAFLET)
        self._props["texts"] = words.of("map", "grade", "kind")
        self._props["language"] = words.language
        self._props["alarms"] = alarms
        self._props["at"] = at
        self._props["tiles"] = tiles
        self.on("whole", whole)

    def put(self, places: Sequence[Sequence[Any]], districts: Mapping[str, str], note: str = "") -> None:
        """places: (code, name, district, longitude, latitude, risk colour or "").  districts: code → name.

        note: what is not drawn, in words.
        """
        tell(self, "put", Telling(places=places, districts=districts, note=note))

    def colour(self, colours: Mapping[str, str]) -> None:
        """Code → risk colour, of those that have another by now."""
        tell(self, "recolour", Telling(colours))

    def change(self, change: Telling) -> None:
        """A change of the open alarms, as the feed says it."""
        tell(self, "change", change)
