"""Health: how every part of the house stands, what that is measured by, and what to do where it does not."""

from __future__ import annotations

from nicegui import ui

from console.components.since import Since
from console.house_health import Health, PartHealth
from console.pages.doing import Looking
from console.pages.page import At, Page
from console.pages.parts import heading
from schemas.viewers import Act

_LOOK_S = 3.0
_BYTES = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3))
_WORST_FIRST = ("wrong", "warning", "unknown", "ok")


async def build(at: At) -> None:
    view = _View(at)
    await view.load()
    with ui.element("div").classes("s-page t-data"):
        view.draw()
    Looking(_LOOK_S, view.look)


class _View:
    def __init__(self, at: At) -> None:
        self._at = at
        self._health: Health

    async def load(self) -> None:
        health = self._at.services.health
        assert health is not None
        self._health = await self._at.ask(health.look, self._at.viewer)

    async def look(self) -> None:
        await self.load()
        self.draw.refresh()

    @ui.refreshable_method
    def draw(self) -> None:
        words, health = self._at.words, self._health
        with ui.element("header").classes("s-head"):
            heading(words("health.title"), 1)
            ui.label(words(f"health.all.{health.standing}")).classes(f"h-standing is-{health.standing}")
            with ui.element("p").classes("t-soft h-as-of"):
                ui.label(words("health.as_of"))
                Since(health.as_of_us, words, "time")
        with ui.element("ul").classes("h-parts"):
            for part in sorted(health.parts, key=lambda part: _WORST_FIRST.index(part.standing)):
                self._part(part)

    def _part(self, part: PartHealth) -> None:
        words = self._at.words
        language = words.language
        with ui.element("li").classes(f"t-card h-part is-{part.standing}").props(f'data-part="{part.part}"'):
            with ui.element("div").classes("h-head"):
                ui.element("h2")._text = part.name[language]
                ui.label(words(f"health.standing.{part.standing}")).classes(f"h-standing is-{part.standing}")
            if part.standing != "ok" and (said := part.said.get(language)):
                ui.label(said).classes("h-said")
            if mend := part.mend.get(language):
                with ui.element("p").classes("h-mend"):
                    ui.icon("build")
                    ui.label(mend)
            with ui.element("dl").classes("t-facts h-figures"):
                for name, value in part.figures.items():
                    key = f"health.figure.{name}"
                    ui.element("dt")._text = words(key) if key in words else name.replace("_", " ")
                    ui.element("dd")._text = figure(name, value)


def figure(name: str, value: float) -> str:
    """A figure by its name's unit: `size_bytes`, `behind_s`, a share, or a count."""
    if name.endswith("_bytes"):
        unit, size = next(((unit, size) for unit, size in _BYTES if value >= size), ("B", 1.0))
        return f"{value / size:.3g} {unit}"
    if name.endswith("_s"):
        return f"{value:.1f} s" if value < 120 else f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"
    return f"{value:,.0f}" if value == int(value) else f"{value:.3g}"


PAGE = Page("health", "/health", build, Act.SEE_HEALTH, "monitor_heart")
