"""The list of open alarms in the browser (`alarm_list.js`): all rows once, then what changed; acts come back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import events, ui

from console.components.telling import tell
from console.telling import Telling
from console.words import Words

Acted = Callable[[dict[str, Any]], Awaitable[None]]


class AlarmList(ui.element, component="alarm_list.js", dependencies=["tocsin_words.js", "alarm_row.js"]):
    def __init__(
        self,
        words: Words,
        first: dict[str, Any],
        *,
        me: str,
        may: dict[str, bool],
        districts: dict[str, str],
        on_act: Acted,
    ) -> None:
        """first: `console.rows.whole`.  may: acknowledge, direct.  districts: code → name, to filter by.

        on_act: awaited with what a person asked: act, key, step, note, id.
        """
        super().__init__()
        self._props["texts"] = words.of(
            "watch",
            "grade",
            "kind",
            "measure",
            "frame.close",
            "frame.cancel",
            "alarm.contact",
            "alarm.contact_before",
            "alarm.channel",
        )
        self._props["language"] = words.language
        self._props["first"] = first
        self._props["me"] = me
        self._props["may"] = may
        self._props["district-names"] = districts

        async def acted(event: events.GenericEventArguments) -> None:
            if isinstance(event.args, dict):
                await on_act(event.args)

        self.on("act", acted)

    def change(self, change: Telling) -> None:
        """Of `console.rows`."""
        tell(self, "change", change)

    def answered(self, key: str, what: str = "", *, ok: bool = True) -> None:
        self.run_method("answered", {"key": key, "ok": ok, "what": what})
