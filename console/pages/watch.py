"""Watch: the open alarms of a duty desk, worst first, and what people do about them."""

from __future__ import annotations

from typing import Any

from nicegui import context

from console.acts import Acts
from console.components.alarm_list import AlarmList
from console.pages.page import At, Page
from schemas.errors import ServiceAway
from schemas.viewers import Act


async def build(at: At) -> None:
    feed = at.house.feed
    hall = await feed.hall(at.viewer)
    acts = Acts(at)
    districts = await _districts(at)

    async def act(asked: dict[str, Any]) -> None:
        if asked.get("act") == "whole":
            if hall.rows is not None:
                shown.change(hall.rows.whole())
            return
        key = str(asked.get("key", ""))
        refusal = await acts.do(asked)
        if not context.client.is_deleted:
            shown.answered(key, refusal, ok=not refusal)

    # From here on nothing is awaited: a change that came between would be neither in the list nor told to it.
    first: dict[str, Any] = (
        hall.rows.whole()
        if hall.rows is not None
        else {"rows": [], "total": 0, "grades": {}, "quiet_since": None, "number": 0}
    )
    shown = AlarmList(
        at.words,
        first,
        me=at.viewer.name,
        may={"acknowledge": at.may(Act.ACKNOWLEDGE), "direct": at.may(Act.DIRECT)},
        districts=districts,
        on_act=act,
    )
    at.reader.change = shown.change


async def _districts(at: At) -> dict[str, str]:
    """code → name, for the filter; the codes themselves do while the registry cannot say."""
    directory = at.services.directory
    if directory is None or not at.may(Act.SEE_ENTERPRISES):
        return {}
    try:
        districts = await at.ask(directory.districts, at.viewer)
    except ServiceAway:
        return {}
    return {one.code: at.name(one.name, one.name_en) for one in districts}


PAGE = Page("watch", "/", build, Act.SEE_ALARMS, "notifications_active")
