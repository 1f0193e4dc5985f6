"""Rules: by what readings are judged, each in words with its numbers and its source; the pack that is active."""

from __future__ import annotations

from nicegui import ui

from console.components.rule_list import RuleList
from console.pages.page import At, Page
from console.pages.parts import badge, heading
from schemas.viewers import Act


async def build(at: At) -> None:
    services, words = at.services, at.words
    assert services.rules is not None
    pack = await at.ask(services.rules.words, at.viewer)
    with ui.element("div").classes("s-page t-data"):
        with ui.element("header").classes("s-head"):
            heading(words("rules.title"), 1)
            badge(words("rules.pack", version=pack.version[:8], count=len(pack.rules)))
            ui.label(words("rules.how")).classes("t-soft s-own")
        RuleList(words, pack)


PAGE = Page("rules", "/rules", build, Act.SEE_RULES, "rule")
