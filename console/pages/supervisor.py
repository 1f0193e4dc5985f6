"""Supervisor: enterprises by the risk of the place, worst first, with reasons; totals by district and by trade."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

from nicegui import ui

from console.components.risk_list import RiskList
from console.pages.doing import Looking
from console.pages.page import At, Page
from console.pages.parts import act_button, card, heading
from console.pages.risk_parts import bar, reason_pairs, with_names
from registry.trades import trade_of
from schemas.risk import RiskColour
from schemas.viewers import Act
from streams.risk_book import RiskPage, RiskTotal, RiskView

_FIRST, _PAGE = 30, 100
_LOOK_S = 15.0
"""So often the totals and the first page are looked at: colours change by events and by themselves."""
_FILTERS = ("colour", "district", "trade", "text")
_TRADES_SHOWN = 12
_LONGEST_TEXT = 100


async def build(at: At) -> None:
    view = _View(at)
    await view.load()
    view.draw()
    looking = Looking(_LOOK_S, view.look)
    if at.may(Act.SEE_ALARMS):
        # A fire makes its place red at once.
        at.reader.change = looking.soon


class _View:
    """The page as its address says it: `?colour=red&district=990101&trade=H62&text=noodle`."""

    def __init__(self, at: At) -> None:
        self._at = at
        self._wanted = {name: at.query[name][:_LONGEST_TEXT] for name in _FILTERS if at.query.get(name)}
        self._totals: dict[str, Sequence[RiskTotal]] = {}
        self._first: RiskPage
        self._next = ""
        self._read_on = False
        self._districts: dict[str, str] = {}
        self._list: RiskList

    async def load(self) -> None:
        at, services = self._at, self._at.services
        assert services.risk is not None and services.directory is not None
        book = services.risk
        self._first, districts, all_, by_district, by_trade = await asyncio.gather(
            self._page("", _FIRST),
            at.ask(services.directory.districts, at.viewer),
            at.ask(book.totals, at.viewer, "all"),
            at.ask(book.totals, at.viewer, "district"),
            at.ask(book.totals, at.viewer, "trade"),
        )
        self._totals = {"all": all_, "district": by_district, "trade": by_trade}
        self._districts = {one.code: at.name(one.name, one.name_en) for one in districts}
        self._next = self._first.next

    async def _page(self, cursor: str, limit: int) -> RiskPage:
        book = self._at.services.risk
        assert book is not None
        colour, district = self._wanted.get("colour"), self._wanted.get("district")
        known = [one.word for one in RiskColour]
        return await self._at.ask(
            book.list,
            self._at.viewer,
            colours=[RiskColour.of(colour)] if colour in known else None,
            districts=[district] if district else None,
            trade=self._wanted.get("trade"),
            text=self._wanted.get("text", "").replace("\0", ""),
            limit=limit,
            cursor=cursor,
        )

    async def look(self) -> None:
        """Draw anew what has changed; a list that somebody has read far into stays as it is."""
        if self._read_on:
            return
        before = self._totals, self._first
        await self.load()
        if self._totals != before[0]:
            self._chips.refresh()
            self._sums.refresh()
        if self._first != before[1]:
            self._list.show([self._row(view) for view in self._first.risks])
            self._more.refresh()

    def draw(self) -> None:
        with ui.element("div").classes("s-page t-data"):
            self._head()
            with ui.element("div").classes("s-columns"):
                with ui.element("div").classes("s-left"):
                    self._list = RiskList(self._at.words, [self._row(view) for view in self._first.risks])
                    self._more()
                self._sums()

    def _head(self) -> None:
        at, words = self._at, self._at.words
        with ui.element("header").classes("s-head"):
            heading(words("supervisor.title"), 1)
            with ui.element("nav").classes("s-colours").props(f'aria-label="{words("supervisor.by_colour")}"'):
                self._chips()
            self._search()
            if at.may(Act.EXPORT):
                with ui.link(target=f"/api/v1/risk.csv?{urlencode(self._exported())}").classes("t-button s-csv"):
                    ui.icon("download")
                    ui.label(words("supervisor.csv"))
            ui.label(words("supervisor.own_colour")).classes("t-soft s-own")
            self._chosen()

    @ui.refreshable_method
    def _chips(self) -> None:
        words, all_ = self._at.words, self._totals["all"][0] if self._totals["all"] else None
        self._chip("", words("supervisor.every"), all_.enterprises if all_ else 0)
        for colour in reversed(RiskColour):
            self._chip(colour.word, words(f"map.colour.{colour.word}"), getattr(all_, colour.word) if all_ else 0)

    def _search(self) -> None:
        """A form of the browser's own: it keeps the other filters by hidden fields."""
        words = self._at.words
        with ui.element("form").classes("e-search").props('role="search" action="/supervisor" method="get"'):
            for name, value in self._wanted.items():
                if name != "text":
                    ui.element("input").props(f'type="hidden" name="{name}"').props["^value"] = value
            field = ui.element("input").classes("t-field").props('name="text" type="search" maxlength="100"')
            field.props["^value"] = self._wanted.get("text", "")
            field.props["placeholder"] = field.props["aria-label"] = words("enterprise.search")
            with ui.element("button").classes("t-button").props('type="submit"'):
                ui.label(words("enterprise.find"))

    def _exported(self) -> dict[str, str]:
        """Of what narrows the list what the table takes, and in the reader's language."""
        known = [one.word for one in RiskColour]
        wanted = {name: value for name, value in self._wanted.items() if name != "colour" or value in known}
        return {**wanted, "language": self._at.words.language}

    def _chip(self, colour: str, text: str, count: int) -> None:
        here = self._wanted.get("colour", "") == colour
        with ui.link(target=self._address(colour=colour)).classes(
            f"w-chip is-{colour}" if colour else "w-chip"
        ) as link:
            if here:
                link.props('aria-current="true"').classes("is-here")
            if colour:
                ui.element("i").classes("m-dot")
            ui.label(text)
            ui.element("b")._text = f"{count:,}"

    def _chosen(self) -> None:
        """What narrows the list, each with a way to let go of it."""
        words = self._at.words
        said: dict[str, Callable[[str], str]] = {
            "district": self._district, "trade": self._trade, "text": lambda text: f"“{text}”",
        }  # fmt: skip
        for name, of in said.items():
            if value := self._wanted.get(name):
                with ui.link(target=self._address(**{name: ""})).classes("w-chip is-here"):
                    ui.label(of(value))
                    ui.icon("close").props(f'aria-label="{words("supervisor.let_go")}"')

    @ui.refreshable_method
    def _more(self) -> None:
        if self._next:
            act_button(self._at.words("frame.more"), self._read_more)

    async def _read_more(self) -> None:
        page = await self._page(self._next, _PAGE)
        self._next, self._read_on = page.next, True
        self._list.add([self._row(view) for view in page.risks])
        self._more.refresh()

    def _row(self, view: RiskView) -> dict[str, Any]:
        at, risk = self._at, view.risk
        return {
            "code": risk.enterprise,
            "name": at.name(view.name, view.name_en) or risk.enterprise,
            "where": f"{self._district(view.district)} · {self._trade(view.trade)}",
            "colour": view.colour,
            "score": f"{risk.score:.0f}",
            "reasons": reason_pairs(with_names(view, at.words), at.words),
        }

    @ui.refreshable_method
    def _sums(self) -> None:
        words = self._at.words
        with ui.element("div").classes("s-sums"):
            self._table(words("supervisor.by_district"), "district", self._totals["district"], self._district)
            self._table(words("supervisor.by_trade"), "trade", self._totals["trade"][:_TRADES_SHOWN], self._trade)

    def _table(self, title: str, by: str, totals: Sequence[RiskTotal], name: Callable[[str], str]) -> None:
        words = self._at.words
        with card(title), ui.element("table").classes("s-table"):
            with ui.element("thead"), ui.element("tr"):
                for key in (f"supervisor.{by}", "supervisor.colours", "supervisor.count", "supervisor.mean"):
                    ui.element("th").props('scope="col"')._text = words(key)
            with ui.element("tbody"):
                for one in totals:
                    with ui.element("tr"):
                        with ui.element("td"):
                            ui.link(name(one.key), self._address(**{by: one.key}))
                        with ui.element("td"):
                            bar(one, words)
                        ui.element("td")._text = f"{one.enterprises:,}"
                        ui.element("td")._text = f"{one.mean:.1f}"

    # --- words and addresses ---

    def _address(self, **change: Any) -> str:
        query = {name: value for name, value in {**self._wanted, **change}.items() if value}
        return f"/supervisor?{urlencode(query)}" if query else "/supervisor"

    def _district(self, code: str) -> str:
        return self._districts.get(code, code) or self._at.words("supervisor.no_district")

    def _trade(self, code: str) -> str:
        trade = trade_of(code)
        return self._at.name(trade.name, trade.name_en) or code or self._at.words("supervisor.no_trade")


PAGE = Page("supervisor", "/supervisor", build, Act.SEE_RISK, "shield")
