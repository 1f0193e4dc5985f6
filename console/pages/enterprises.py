"""Enterprises: look one up by name, code or address; who has one alone comes to it at once."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from nicegui import ui

from console.pages.page import At, Page
from console.pages.parts import act_button, heading
from registry.trades import trade_of
from registry.views import EnterprisePage, EnterpriseView, Wanted
from schemas.viewers import Act

_PAGE = 60


async def build(at: At) -> None:
    services = at.services
    assert services.directory is not None and services.risk is not None
    only = at.viewer.enterprises
    if len(only) == 1 and not at.viewer.districts and not at.viewer.sees_all and not at.query:
        ui.navigate.to(f"/enterprises/{quote(only[0])}")
        return
    colours = await at.ask(services.risk.colours, at.viewer) if at.may(Act.SEE_RISK) else {}
    list_ = _List(at, colours)
    await list_.more()
    list_.draw()


class _List:
    """The page as its address says it: `?text=noodle`."""

    def __init__(self, at: At, colours: dict[str, str]) -> None:
        self._at = at
        self._colours = colours
        self._text = at.query.get("text", "")
        self._pages: list[EnterprisePage] = []

    async def more(self) -> None:
        directory = self._at.services.directory
        assert directory is not None
        cursor = self._pages[-1].next if self._pages else ""
        wanted = Wanted(text=self._text)
        self._pages.append(await self._at.ask(directory.enterprises, self._at.viewer, wanted, _PAGE, cursor))

    def draw(self) -> None:
        words = self._at.words
        with ui.element("div").classes("s-page t-data"):
            with ui.element("header").classes("s-head"):
                heading(words("enterprise.title"), 1)
                with ui.element("form").classes("e-search").props('role="search"') as form:
                    field = ui.element("input").classes("t-field").props('name="text" type="search" maxlength="100"')
                    field.props["value"] = self._text
                    field.props["placeholder"] = words("enterprise.search")
                    field.props["aria-label"] = words("enterprise.search")
                    with ui.element("button").classes("t-button").props('type="submit"'):
                        ui.label(words("enterprise.find"))
                form.on(
                    "submit",
                    lambda event: ui.navigate.to(f"/enterprises?{urlencode({'text': str(event.args)})}"),
                    js_handler="e => { e.preventDefault(); emit(e.target.text.value); }",
                )
            self._found()

    @ui.refreshable_method
    def _found(self) -> None:
        words = self._at.words
        found = [one for page in self._pages for one in page.enterprises]
        if not found:
            ui.label(words("enterprise.none")).classes("w-none")
        with ui.element("ul").classes("e-list"):
            for one in found:
                self._row(one)
        if self._pages[-1].next:
            act_button(words("frame.more"), self._more)

    async def _more(self) -> None:
        await self.more()
        self._found.refresh()

    def _row(self, one: EnterpriseView) -> None:
        at = self._at
        colour, trade = self._colours.get(one.code, ""), trade_of(one.trade)
        with ui.element("li"), ui.link(target=f"/enterprises/{quote(one.code)}").classes("e-row"):
            ui.element("i").classes(f"m-dot is-{colour}" if colour else "m-dot")
            with ui.element("div"):
                ui.label(at.name(one.name, one.name_en)).classes("e-name")
                where = at.name(one.address, one.address_en) or at.name(one.district_name, one.district_name_en)
                ui.label(where).classes("t-soft")
            ui.label(at.name(trade.name, trade.name_en)).classes("t-soft")
            if colour:
                ui.label(at.words(f"map.colour.{colour}")).classes("t-soft")


PAGE = Page("enterprises", "/enterprises", build, Act.SEE_ENTERPRISES, "store")
