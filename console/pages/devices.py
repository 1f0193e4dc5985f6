"""Devices: what was refused and why, who is silent, who is not registered yet, and everybody else by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from nicegui import ui

from console.pages.device_rows import named_row, refused_row, silent_row, unclaimed_row
from console.pages.doing import Looking, do
from console.pages.forms import buttons, choice, field, form
from console.pages.page import At, Page
from console.pages.parts import act_button, heading
from ingest.payloads import WantedRefusals
from registry.views import Placed, Unclaimed
from schemas.enterprises import Zone
from schemas.viewers import Act

_FIRST, _PAGE = 25, 100
_LOOK_S = 5.0
_LONGEST = 100
TABS = ("refused", "silent", "unclaimed", "all")
_FILTERS = {"refused": ("enterprise", "device"), "silent": ("enterprise",), "unclaimed": ("enterprise",),
            "all": ("text", "enterprise")}  # fmt: skip
_ROWS: dict[str, Callable[[At, Any], None]] = {
    "refused": refused_row, "silent": silent_row, "unclaimed": unclaimed_row, "all": named_row,
}  # fmt: skip


async def build(at: At) -> None:
    tab = at.query.get("tab", "refused")
    view = _View(at, tab if tab in TABS else "refused")
    await view.load()
    with ui.element("div").classes("s-page"):
        view.draw()
    looking = Looking(_LOOK_S, view.look)
    if at.may(Act.SEE_ALARMS):
        at.reader.change = looking.soon


class _View:
    """The page as its address says it: `?tab=refused&enterprise=shop-1`; each tab is a list in pages."""

    def __init__(self, at: At, tab: str) -> None:
        self._at = at
        self._tab = tab
        asked = {name: at.query.get(name, "").strip().replace("\0", "")[:_LONGEST] for name in _FILTERS[tab]}
        self._wanted = {name: value for name, value in asked.items() if value}
        self._found: Sequence[Any] = ()
        self._next = ""
        self._refusal = self._said = ""
        self._sure = False
        self._open: tuple[str, str] | None = None
        """The unclaimed device whose form is open."""
        self._zones: list[Zone] = []

    async def load(self) -> None:
        self._found, self._next = await self._page("", _FIRST)

    async def _page(self, cursor: str, limit: int) -> tuple[Sequence[Any], str]:
        at, payloads, directory = self._at, self._at.services.payloads, self._at.services.directory
        assert payloads is not None and directory is not None
        enterprise = self._wanted.get("enterprise", "")
        page: Any
        if self._tab == "silent":
            page = await at.ask(payloads.silent, at.viewer, enterprise=enterprise, limit=limit, cursor=cursor)
        elif self._tab == "unclaimed":
            page = await at.ask(directory.unclaimed, at.viewer, limit, cursor, enterprise or None)
        elif self._tab == "all":
            text = self._wanted.get("text", "")
            page = await at.ask(
                payloads.devices, at.viewer, enterprise=enterprise, text=text, limit=limit, cursor=cursor
            )
        else:
            page = await at.ask(payloads.quarantine, at.viewer, self._refusals(), limit, cursor)
            return page.messages, page.next
        return page.devices, page.next

    def _refusals(self) -> WantedRefusals:
        return WantedRefusals(self._wanted.get("enterprise", ""), self._wanted.get("device", ""))

    async def look(self) -> None:
        """Anew while only the first rows are shown and nobody is at work in them."""
        if len(self._found) <= _FIRST and self._open is None and not self._sure:
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
            self._search()
            ui.label(words(f"devices.about.{self._tab}")).classes("t-soft s-own")
        with ui.element("div").classes("t-data"):
            self._list()

    def _search(self) -> None:
        """A form of the browser's own: the address says what is shown, and can be kept."""
        words = self._at.words
        with ui.element("form").classes("e-search").props('role="search" action="/devices" method="get"'):
            ui.element("input").props(f'type="hidden" name="tab" value="{self._tab}"')
            for name in _FILTERS[self._tab]:
                sought = ui.element("input").classes("t-field").props(f'name="{name}" type="search"')
                sought.props(f'maxlength="{_LONGEST}"').props["^value"] = self._wanted.get(name, "")
                sought.props["aria-label"] = sought.props["placeholder"] = words(f"devices.find.{name}")
            with ui.element("button").classes("t-button").props('type="submit"'):
                ui.label(words("enterprise.find"))

    @ui.refreshable_method
    def _list(self) -> None:
        words = self._at.words
        if self._refusal:
            ui.label(self._refusal).classes("a-refusal").props('role="alert"')
        if self._said:
            ui.label(self._said).classes("m-shown").props('role="status" data-testid="said"')
        if self._tab == "refused" and self._found and self._at.may(Act.CONNECT_DEVICES):
            self._replay_all()
        if not self._found:
            ui.label(words("devices.not_found" if self._wanted else f"devices.none.{self._tab}")).classes("w-none")
        else:
            with ui.element("ul").classes("e-list d-list"):
                for one in self._found:
                    with ui.element("li"), ui.element("div").classes("d-row"):
                        _ROWS[self._tab](self._at, one)
                        if isinstance(one, Unclaimed) and self._at.may(Act.CONNECT_DEVICES):
                            self._claiming(one)
        if self._next:
            act_button(words("frame.more"), self._more)

    async def _more(self) -> None:
        found, self._next = await self._page(self._next, _PAGE)
        self._found = [*self._found, *found]
        self._list.refresh()

    # --- refused messages, many at once ---

    def _replay_all(self) -> None:
        words = self._at.words
        with ui.element("div").classes("d-all"):
            if not self._sure:
                act_button(words("devices.replay_all"), partial(self._ask, sure=True), icon="replay", test="replay-all")
                return
            count = f"{len(self._found)}{'+' if self._next else ''}"
            ui.label(words("devices.replay_all_sure", count=count))
            act_button(words("devices.replay_all_do"), self._do_replay_all, main=True, test="replay-all-do")
            act_button(words("frame.cancel"), partial(self._ask, sure=False))

    def _ask(self, *, sure: bool) -> None:
        self._sure, self._said, self._refusal = sure, "", ""
        self._list.refresh()

    async def _do_replay_all(self) -> None:
        at, payloads = self._at, self._at.services.payloads
        assert payloads is not None

        async def replay() -> None:
            asked = await at.ask(payloads.replay, at.viewer, self._refusals())
            self._said = at.words("devices.replay_all_asked", count=asked.asked)

        await self._try(replay)

    # --- unclaimed devices ---

    def _claiming(self, one: Unclaimed) -> None:
        words = self._at.words
        if self._open != (one.enterprise, one.device):
            with ui.element("div").classes("d-claim"):
                act_button(words("devices.claim"), partial(self._claim, one, {}), main=True, test="claim")
                act_button(words("devices.claim_with"), partial(self._open_form, one), test="claim-with")
            return
        with form(partial(self._claim, one), "c-form d-form"):
            zones = [(zone.zone, self._at.name(zone.name, zone.name_en)) for zone in self._zones]
            choice(words("enterprise.zone"), "zone", [("", words("devices.no_zone")), *zones])
            field(words("devices.name"), "name", props="autofocus")
            field(words("devices.name_en"), "name_en")
            buttons(words("devices.claim"), words("frame.cancel"), self._close, "claim-named")

    async def _open_form(self, one: Unclaimed) -> None:
        at, directory = self._at, self._at.services.directory
        assert directory is not None
        self._said = self._refusal = ""
        self._zones = []

        async def read() -> None:
            self._zones = await at.ask(directory.zones, at.viewer, one.enterprise)

        if one.known_enterprise:
            self._refusal = await do(at, read)
        self._open = (one.enterprise, one.device)
        self._list.refresh()

    def _close(self) -> None:
        self._open, self._refusal = None, ""
        self._list.refresh()

    async def _claim(self, one: Unclaimed, told: dict[str, str]) -> None:
        """It goes on meanwhile, by the login that it came with."""
        at, directory = self._at, self._at.services.directory
        assert directory is not None
        placed = Placed(
            enterprise=one.enterprise,
            device=one.device,
            zone=told.get("zone", ""),
            name=told.get("name", ""),
            name_en=told.get("name_en", ""),
        )

        async def claim() -> None:
            await at.ask(directory.claim, at.viewer, placed)
            said = at.name(placed.name, placed.name_en) or f"{one.enterprise} / {one.device}"
            self._said = at.words("devices.claimed", name=said)

        await self._try(claim)

    async def _try(self, act: Callable[[], Any]) -> None:
        self._said = self._refusal = ""
        refusal = await do(self._at, act, "devices.wrong_field")
        self._sure, self._open = False, None
        await do(self._at, self.load)
        self._refusal = refusal
        self._list.refresh()


PAGE = Page("devices", "/devices", build, Act.SEE_DEVICES, "sensors")
