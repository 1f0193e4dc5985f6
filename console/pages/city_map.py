"""Map: where the enterprises are, how they stand, and where something is open now."""

from __future__ import annotations

import asyncio

from nicegui import ui

from console.components.city_map import CityMap
from console.feed import Hall
from console.pages.doing import Looking, do
from console.pages.page import At, Page
from registry.places import Place, Places
from schemas.viewers import Act

_LOOK_S = 30.0
"""So often the colours are looked at; rings come by themselves."""


async def build(at: At) -> None:
    view = _View(at, await at.house.feed.hall(at.viewer))
    if view.sees_alarms:
        at.reader.change = view.shown.change
    ui.timer(0, view.put, once=True)
    Looking(_LOOK_S, view.look)


class _View:
    def __init__(self, at: At, hall: Hall) -> None:
        self._at = at
        self._colours: dict[str, str] = {}
        self.sees_alarms = at.may(Act.SEE_ALARMS)
        first = hall.rows.whole() if hall.rows is not None and self.sees_alarms else None
        self.shown = CityMap(at.words, first, self._whole, at=at.query.get("enterprise", ""))

    async def _whole(self) -> None:
        """All that is open, to a page that has missed something; what is not known yet comes by itself."""
        if self.sees_alarms:
            hall = await self._at.house.feed.hall(self._at.viewer)
            if hall.rows is not None:
                self.shown.change(hall.rows.whole())

    async def put(self) -> None:
        """The places, once the ground is there; and what became known between the page's making and its opening."""
        await self._whole()
        refusal = await do(self._at, self._put)
        if refusal:
            self.shown.put([], {}, refusal)

    async def _put(self) -> None:
        at, services = self._at, self._at.services
        assert services.places is not None and services.directory is not None
        found, self._colours, districts = await asyncio.gather(
            at.ask(services.places.places, at.viewer), self._read(), at.ask(services.directory.districts, at.viewer)
        )
        drawn = await at.ask(self._drawn, found)
        note = ""
        if found.enterprises > len(found.places):
            counts = {"drawn": len(found.places), "all": found.enterprises, "without": found.without}
            note = at.words("map.not_drawn", **counts)
        self.shown.put(drawn, {one.code: at.name(one.name, one.name_en) for one in districts}, note)

    def _drawn(self, found: Places) -> list[tuple[str, str, str, float, float, str]]:
        return [self._dot(place) for place in found.places]

    def _dot(self, place: Place) -> tuple[str, str, str, float, float, str]:
        name = self._at.name(place.name, place.name_en) or place.code
        where = round(place.longitude, 6), round(place.latitude, 6)
        return place.code, name, place.district, *where, self._colours.get(place.code, "")

    async def _read(self) -> dict[str, str]:
        book = self._at.services.risk
        if book is None or not self._at.may(Act.SEE_RISK):
            return {}
        return await self._at.ask(book.colours, self._at.viewer)

    async def look(self) -> None:
        before, self._colours = self._colours, await self._read()
        if self._colours.keys() != before.keys():
            # Somebody was added or has left.
            await self._put()
            return
        changed = {code: colour for code, colour in self._colours.items() if before.get(code) != colour}
        if changed:
            self.shown.colour(changed)


PAGE = Page("map", "/map", build, Act.SEE_ENTERPRISES, "map")
