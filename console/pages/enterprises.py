"""Enterprises: look one up by name, code or address; who has one alone comes to it at once."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from nicegui import ui

from console.components.place_list import PlaceList
from console.pages.page import At, Page
from console.pages.parts import act_button, heading
from registry.trades import trade_of
from registry.views import EnterprisePage, EnterpriseView, Wanted
from schemas.viewers import Act

_PAGE = 60
_LONGEST_TEXT = 100


async def build(at: At) -> None:
    assert at.services.directory is not None
    only = at.viewer.enterprises
    if len(only) == 1 and not at.viewer.districts and not at.viewer.sees_all and not at.query:
        ui.navigate.to(f"/enterprises/{quote(only[0])}")
        return
    list_ = _List(at)
    list_.draw(await list_.read(""))


class _List:
    """The page as its address says it: `?text=noodle`."""

    def __init__(self, at: At) -> None:
        self._at = at
        self._text = at.query.get("text", "").replace("\0", "")[:_LONGEST_TEXT]
        self._next = ""
        self._shown: PlaceList

    async def read(self, cursor: str) -> list[dict[str, Any]]:
        """A page of rows."""
        at, directory, risk = self._at, self._at.services.directory, self._at.services.risk
        assert directory is not None
        page: EnterprisePage = await at.ask(directory.enterprises, at.viewer, Wanted(text=self._text), _PAGE, cursor)
        self._next = page.next
        colours: dict[str, str] = {}
        if risk is not None and at.may(Act.SEE_RISK) and page.enterprises:
            colours = await at.ask(risk.colours, at.viewer, codes=[one.code for one in page.enterprises])
        return [self._row(one, colours.get(one.code, "")) for one in page.enterprises]

    def draw(self, rows: list[dict[str, Any]]) -> None:
        words = self._at.words
        with ui.element("div").classes("s-page t-data"):
            with ui.element("header").classes("s-head"):
                heading(words("enterprise.title"), 1)
                self._search()
            if rows:
                self._shown = PlaceList(rows)
                self._more()
            else:
                ui.label(words("enterprise.none")).classes("w-none")

    def _search(self) -> None:
        """A form of the browser's own: the address says what is shown."""
        words = self._at.words
        with ui.element("form").classes("e-search").props('role="search" action="/enterprises" method="get"'):
            field = ui.element("input").classes("t-field").props('name="text" type="search"')
            field.props(f'maxlength="{_LONGEST_TEXT}"').props["^value"] = self._text
            field.props["placeholder"] = field.props["aria-label"] = words("enterprise.search")
            with ui.element("button").classes("t-button").props('type="submit"'):
                ui.label(words("enterprise.find"))

    @ui.refreshable_method
    def _more(self) -> None:
        if self._next:
            act_button(self._at.words("frame.more"), self._read_on)

    async def _read_on(self) -> None:
        self._shown.add(await self.read(self._next))
        self._more.refresh()

    def _row(self, one: EnterpriseView, colour: str) -> dict[str, Any]:
        at, trade = self._at, trade_of(one.trade)
        return {
            "code": one.code,
            "name": at.name(one.name, one.name_en),
            "where": at.name(one.address, one.address_en) or at.name(one.district_name, one.district_name_en),
            "trade": at.name(trade.name, trade.name_en),
            "colour": colour,
            "said": at.words("enterprise.coloured", colour=at.words(f"map.colour.{colour}")) if colour else "",
        }


PAGE = Page("enterprises", "/enterprises", build, Act.SEE_ENTERPRISES, "store")
