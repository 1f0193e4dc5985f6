"""Supervisor: enterprises by the risk of the place, worst first, with reasons; totals by district and by trade."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from nicegui import ui

from console.pages.page import At, Page
from console.pages.parts import act_button, card, heading
from console.pages.risk_parts import bar, reasons, risk_mark
from registry.trades import trade_of
from schemas.risk import RiskColour
from schemas.viewers import Act
from streams.risk_book import RiskPage, RiskTotal, RiskView

_PAGE = 50
_LOOK_S = 15.0
"""So often the totals and the first page are looked at: colours change by events and by themselves."""
_FILTERS = ("colour", "district", "trade")
_TRADES_SHOWN = 12


async def build(at: At) -> None:
    view = _View(at)
    await view.load()
    view.draw()
    ui.timer(_LOOK_S, view.look)


class _View:
    """The page as its address says it: `?colour=red&district=990101&trade=H62`."""

    def __init__(self, at: At) -> None:
        self._at = at
        self._wanted = {name: at.query[name] for name in _FILTERS if at.query.get(name)}
        self._totals: dict[str, Sequence[RiskTotal]] = {}
        self._pages: list[RiskPage] = []
        self._districts: dict[str, str] = {}

    async def load(self) -> None:
        at, services = self._at, self._at.services
        assert services.risk is not None and services.directory is not None
        for by in ("all", "district", "trade"):
            self._totals[by] = await at.ask(services.risk.totals, at.viewer, by)
        self._districts = {
            one.code: at.name(one.name, one.name_en) for one in await at.ask(services.directory.districts, at.viewer)
        }
        self._pages = [await self._page("")]

    async def _page(self, cursor: str) -> RiskPage:
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
            limit=_PAGE,
            cursor=cursor,
        )

    async def look(self) -> None:
        """Draw anew what has changed; a list that somebody has read far into stays as it is."""
        before = self._totals, self._pages
        if len(self._pages) == 1:
            await self.load()
            if (self._totals, self._pages) != before:
                self._head.refresh()
                self._sums.refresh()
                self._list.refresh()

    def draw(self) -> None:
        with ui.element("div").classes("s-page t-data"):
            self._head()
            with ui.element("div").classes("s-columns"):
                self._list()
                self._sums()

    # --- its parts ---

    @ui.refreshable_method
    def _head(self) -> None:
        at, words = self._at, self._at.words
        all_ = self._totals["all"][0] if self._totals["all"] else None
        with ui.element("header").classes("s-head"):
            heading(words("supervisor.title"), 1)
            with ui.element("nav").classes("s-colours").props(f'aria-label="{words("supervisor.by_colour")}"'):
                self._chip("", words("supervisor.every"), all_.enterprises if all_ else 0)
                for colour in reversed(RiskColour):
                    count = getattr(all_, colour.word) if all_ else 0
                    self._chip(colour.word, words(f"map.colour.{colour.word}"), count)
            if at.may(Act.EXPORT):
                query = urlencode(self._wanted)
                with ui.link(target=f"/api/v1/risk.csv?{query}").classes("t-button"):
                    ui.icon("download")
                    ui.label(words("supervisor.csv"))
            ui.label(words("supervisor.own_colour")).classes("t-soft s-own")
            self._chosen()

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
        said = {"district": self._district, "trade": self._trade}
        for name, of in said.items():
            if value := self._wanted.get(name):
                with ui.link(target=self._address(**{name: ""})).classes("w-chip is-here"):
                    ui.label(of(value))
                    ui.icon("close").props(f'aria-label="{words("supervisor.let_go")}"')

    @ui.refreshable_method
    def _list(self) -> None:
        words = self._at.words
        with ui.element("section").classes("s-list").props(f'aria-label="{words("supervisor.list")}"'):
            found = [risk for page in self._pages for risk in page.risks]
            if not found:
                ui.label(words("supervisor.none")).classes("w-none")
            with ui.element("ol"):
                for one in found:
                    self._row(one)
            if self._pages[-1].next:
                act_button(words("frame.more"), self._more)

    async def _more(self) -> None:
        self._pages.append(await self._page(self._pages[-1].next))
        self._list.refresh()

    def _row(self, view: RiskView) -> None:
        at, risk = self._at, view.risk
        with ui.element("li").classes(f"s-row is-{view.colour}"):
            risk_mark(view.colour, risk.score, at.words)
            with ui.element("div").classes("s-who"):
                ui.link(at.name(view.name, view.name_en) or risk.enterprise, f"/enterprises/{quote(risk.enterprise)}")
                ui.label(f"{self._district(view.district)} · {self._trade(view.trade)}").classes("t-soft")
            reasons(risk, at.words)

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
