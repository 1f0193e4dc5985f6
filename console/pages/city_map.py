"""Map: where the enterprises are, how they stand, and where something is open now."""

from __future__ import annotations

from nicegui import ui

from console.components.city_map import CityMap
from console.pages.page import At, Page
from schemas.viewers import Act


async def build(at: At) -> None:
    services, viewer = at.services, at.viewer
    assert services.places is not None and services.risk is not None and services.directory is not None
    hall = await at.house.feed.hall(viewer)
    found = await at.ask(services.places.places, viewer)
    colours = await at.ask(services.risk.colours, viewer) if at.may(Act.SEE_RISK) else {}
    districts = await at.ask(services.directory.districts, viewer)
    if found.enterprises > len(found.places):
        said = at.words("map.not_drawn", drawn=len(found.places), all=found.enterprises, without=found.without)
        ui.label(said).classes("t-soft m-note")
    drawn = [
        (p.code, at.name(p.name, p.name_en), p.district, round(p.longitude, 6), round(p.latitude, 6),
         colours.get(p.code, ""))
        for p in found.places
    ]  # fmt: skip
    shown = CityMap(
        at.words,
        drawn,
        {one.code: at.name(one.name, one.name_en) for one in districts},
        list(hall.rows.rows.values()) if hall.rows is not None and at.may(Act.SEE_ALARMS) else [],
        at=at.query.get("enterprise", ""),
    )
    if at.may(Act.SEE_ALARMS):
        at.reader.change = shown.change


PAGE = Page("map", "/map", build, Act.SEE_ENTERPRISES, "map")
