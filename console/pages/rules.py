"""Rules: by what readings are judged, each in words with its numbers and its source; the pack that is active."""

from __future__ import annotations

from collections.abc import Iterable

from nicegui import ui

from console.pages.page import At, Page
from console.pages.parts import badge, fact, grade_mark, heading
from schemas.viewers import Act
from streams.pack_words import PackWords, RuleWords

_WEIGHT = {"red": 4, "orange": 3, "yellow": 2, "blue": 1}


async def build(at: At) -> None:
    services, words = at.services, at.words
    assert services.rules is not None
    pack = await at.ask(services.rules.words, at.viewer)
    with ui.element("div").classes("s-page"):
        with ui.element("header").classes("s-head"):
            heading(words("rules.title"), 1)
            badge(words("rules.pack", version=pack.version[:8], count=len(pack.rules)))
            ui.label(words("rules.how")).classes("t-soft s-own")
        for family, rules in _by_family(pack).items():
            _family(at, family, rules)


def _by_family(pack: PackWords) -> dict[str, list[RuleWords]]:
    """In the pack's order; within a family the gravest first."""
    families: dict[str, list[RuleWords]] = {}
    for rule in pack.rules:
        families.setdefault(rule.family, []).append(rule)
    for rules in families.values():
        rules.sort(key=lambda rule: -_WEIGHT.get(rule.grade, 0))
    return families


def _family(at: At, family: str, rules: Iterable[RuleWords]) -> None:
    words = at.words
    key = f"rules.family.{family}"
    with ui.element("section").classes("t-card p-family"):
        heading(words(key) if key in words else family)
        for rule in rules:
            with ui.element("article").classes(f"p-rule is-{rule.grade}").props(f'id="{rule.id}"'):
                grade_mark(rule.grade, words)
                with ui.element("div"):
                    ui.label(rule.said[words.language].sentence).classes("p-said")
                    _details(at, rule)


def _details(at: At, rule: RuleWords) -> None:
    words = at.words
    with ui.element("p").classes("p-under"):
        ui.label(rule.id).classes("p-id")
        if rule.latched:
            badge(words("rules.latched"))
        if rule.profile:
            badge(words("rules.profile", profile=rule.profile))
    with ui.element("dl").classes("t-facts p-facts"):
        fact(words("rules.source"), rule.source)
    if rule.exceptions:
        with ui.element("details"):
            ui.element("summary")._text = words("rules.exceptions", count=len(rule.exceptions))
            with ui.element("ul").classes("p-exceptions"):
                for exception in rule.exceptions:
                    said = words("rules.off") if exception.off else exception.said[words.language].sentence
                    with ui.element("li"):
                        ui.element("b")._text = exception.whom[words.language]
                        ui.label(said)


PAGE = Page("rules", "/rules", build, Act.SEE_RULES, "rule")
