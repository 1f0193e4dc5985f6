"""Devices: what was refused and why, who is silent, who is not registered yet, and everybody else by name."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

from nicegui import ui

from console.components.since import Since
from console.pages.device_parts import refusal
from console.pages.enterprise import device_state
from console.pages.page import At, Page
from console.pages.parts import act_button, badge, grade_mark, heading
from ingest.payloads import WantedRefusals
from registry.views import Placed, Unclaimed
from schemas.errors import TocsinError
from schemas.payloads import DeviceLine, RefusedMessage, SilentDevice
from schemas.viewers import Act

_PAGE = 50
_LOOK_S = 5.0
TABS = ("refused", "silent", "unclaimed", "all")


async def build(at: At) -> None:
    tab = at.query.get("tab", "refused")
    view = _View(at, tab if tab in TABS else "refused")
    await view.load()
    with ui.element("div").classes("s-page t-data"):
        view.draw()
    ui.timer(_LOOK_S, view.look)


class _View:
    """The page as its address says it: `?tab=silent`; each tab is a list in pages."""

    def __init__(self, at: At, tab: str) -> None:
        self._at = at
        self._tab = tab
        self._found: list[Any] = []
        self._next = ""
        self._said = ""

    async def load(self, cursor: str = "") -> None:
        at, services = self._at, self._at.services
        payloads, directory = services.payloads, services.directory
        assert payloads is not None and directory is not None
        page: Any
        if self._tab == "silent":
            page = await at.ask(payloads.silent, at.viewer, limit=_PAGE, cursor=cursor)
            found = page.devices
        elif self._tab == "unclaimed":
            page = await at.ask(directory.unclaimed, at.viewer, _PAGE, cursor)
            found = page.devices
        elif self._tab == "all":
            page = await at.ask(payloads.devices, at.viewer, text=at.query.get("text", ""), limit=_PAGE, cursor=cursor)
            found = page.devices
        else:
            page = await at.ask(payloads.quarantine, at.viewer, WantedRefusals(), _PAGE, cursor)
            found = page.messages
        self._found = [*(self._found if cursor else []), *found]
        self._next = page.next

    async def look(self) -> None:
        """Anew while only the first page is shown and nobody is at work in it."""
        if len(self._found) <= _PAGE:
            before = self._found
            await self.load()
            if before != self._found:
                self._list.refresh()

    def draw(self) -> None:
        words = self._at.words
        with ui.element("header").classes("s-head"):
            heading(words("devices.title"), 1)
            with ui.element("nav").classes("s-colours").props(f'aria-label="{words("devices.lists")}"'):
                for tab in TABS:
                    with ui.link(target=f"/devices?tab={tab}").classes("w-chip") as link:
                        ui.label(words(f"devices.tab.{tab}"))
                    if tab == self._tab:
                        link.classes("is-here").props('aria-current="true"')
            if self._tab == "all":
                self._search()
        ui.label(words(f"devices.about.{self._tab}")).classes("t-soft")
        self._list()

    def _search(self) -> None:
        words = self._at.words
        with ui.element("form").classes("e-search").props('role="search"') as form:
            field = ui.element("input").classes("t-field").props('name="text" type="search" maxlength="100"')
            field.props["value"] = self._at.query.get("text", "")
            field.props["aria-label"] = field.props["placeholder"] = words("devices.search")
        form.on(
            "submit",
            lambda event: ui.navigate.to(f"/devices?{urlencode({'tab': 'all', 'text': str(event.args)})}"),
            js_handler="e => { e.preventDefault(); emit(e.target.text.value); }",
        )

    @ui.refreshable_method
    def _list(self) -> None:
        words = self._at.words
        if self._said:
            ui.label(self._said).classes("a-refusal").props('role="alert"')
        if not self._found:
            with ui.element("div").classes("w-none"):
                ui.label(words(f"devices.none.{self._tab}"))
        with ui.element("ul").classes("e-list d-list"):
            for one in self._found:
                with ui.element("li"):
                    if isinstance(one, RefusedMessage):
                        self._refused(one)
                    elif isinstance(one, SilentDevice):
                        self._silent(one)
                    elif isinstance(one, Unclaimed):
                        self._unclaimed(one)
                    else:
                        self._line(one)
        if self._next:
            act_button(words("frame.more"), self._more)

    async def _more(self) -> None:
        await self.load(self._next)
        self._list.refresh()

    # --- rows ---

    def _refused(self, one: RefusedMessage) -> None:
        words = self._at.words
        with ui.element("div").classes("d-row"):
            with ui.element("div"):
                ui.link(f"{one.enterprise} / {one.device}", _address(one.enterprise, one.device)).classes("e-name")
                refusal(one.told, words)
            with ui.element("div").classes("d-side"):
                Since(one.arrival_us, words, "full")
                badge(words("devices.bytes", count=one.bytes))
                if one.replayed_us:
                    badge(words("devices.replayed"), "is-good")
                elif one.asked_us:
                    badge(words("devices.asked"))
                elif one.tries:
                    badge(words("devices.again", count=one.tries))
            ui.link(words("devices.open"), f"/devices/refused/{one.arrival_us}?source={quote(one.source)}").classes(
                "t-button is-small"
            )

    def _silent(self, one: SilentDevice) -> None:
        at, words = self._at, self._at.words
        with ui.element("div").classes("d-row"):
            with ui.element("div"):
                name = at.name(one.name, one.name_en) or one.device
                ui.link(name, _address(one.enterprise, one.device)).classes("e-name")
                ui.label(f"{one.enterprise} · {one.zone or one.device}").classes("t-soft")
            with ui.element("div").classes("d-side"):
                grade_mark(one.grade.word, words)
                ui.label(words("devices.last_heard")).classes("t-soft")
                Since(one.since_us, words)
            ui.link(words("frame.page.alarm"), f"/alarms/{one.alarm}").classes("t-button is-small")

    def _unclaimed(self, one: Unclaimed) -> None:
        words = self._at.words
        with ui.element("div").classes("d-row"):
            with ui.element("div"):
                ui.link(f"{one.enterprise} / {one.device}", _address(one.enterprise, one.device)).classes("e-name")
                ui.label(", ".join(one.sensors)).classes("t-soft")
                for newest in one.newest[:4]:
                    ui.label(f"{newest.sensor} {newest.value:g}").classes("t-badge")
            with ui.element("div").classes("d-side"):
                ui.label(words("devices.first_heard")).classes("t-soft")
                Since(round(one.heard_at.timestamp() * 1e6), words)
                if not one.known_enterprise:
                    badge(words("devices.unknown_enterprise"))
            if self._at.may(Act.CONNECT_DEVICES):
                act_button(words("devices.claim"), partial(self._claim, one), main=True, test="claim")

    async def _claim(self, one: Unclaimed) -> None:
        """As it is: zone and name can be given afterwards, and it goes on meanwhile."""
        at, directory = self._at, self._at.services.directory
        assert directory is not None
        try:
            await at.ask(directory.claim, at.viewer, Placed(enterprise=one.enterprise, device=one.device))
            self._said = ""
        except TocsinError as error:
            self._said = f"{error.what} {error.mend}".strip()
        await self.load()
        self._list.refresh()

    def _line(self, one: DeviceLine) -> None:
        at, words = self._at, self._at.words
        with ui.element("div").classes("d-row"):
            with ui.element("div"):
                name = at.name(one.name, one.name_en) or one.device
                ui.link(name, _address(one.enterprise, one.device)).classes("e-name")
                ui.label(f"{one.enterprise} / {one.device}").classes("t-soft")
            state = device_state(one)
            ui.label(words(f"enterprise.device_state.{state}")).classes(f"e-state is-{state}")
            with ui.element("div").classes("d-side"):
                if one.newest_us:
                    Since(one.newest_us, words)


def _address(enterprise: str, device: str) -> str:
    return f"/devices/{quote(enterprise)}/{quote(device)}"


PAGE = Page("devices", "/devices", build, Act.SEE_DEVICES, "sensors")
