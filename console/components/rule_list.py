"""The rules of a pack in the browser (`rule_list.js`): all of them once, filtered where they are read."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from console.words import Words
from streams.pack_words import PackWords, RuleWords

_WEIGHT = {"red": 4, "orange": 3, "yellow": 2, "blue": 1}


class RuleList(ui.element, component="rule_list.js", dependencies=["tocsin_words.js"]):
    def __init__(self, words: Words, pack: PackWords) -> None:
        super().__init__()
        self._props["texts"] = words.of("rules", "grade")
        self._props["families"] = families(words, pack)


def families(words: Words, pack: PackWords) -> list[dict[str, Any]]:
    """In the pack's order; within a family the gravest first."""
    found: dict[str, list[RuleWords]] = {}
    for rule in pack.rules:
        found.setdefault(rule.family, []).append(rule)
    return [
        {
            "family": family,
            "name": _name(words, f"rules.family.{family}", family),
            "rules": [_row(words, rule) for rule in sorted(rules, key=lambda rule: -_WEIGHT.get(rule.grade, 0))],
        }
        for family, rules in found.items()
    ]


def _row(words: Words, rule: RuleWords) -> dict[str, Any]:
    language = words.language
    return {
        "id": rule.id,
        "grade": rule.grade,
        "said": rule.said[language].sentence,
        "measures": " ".join(_name(words, f"measure.{measure}", measure) for measure in rule.measures),
        "latched": rule.latched,
        "profile": words("rules.profile", profile=rule.profile) if rule.profile else "",
        "source": words.name(rule.source_zh, rule.source),
        "own": [
            {"whom": own.whom[language], "said": words("rules.off") if own.off else own.said[language].sentence}
            for own in rule.exceptions
        ],
    }


def _name(words: Words, key: str, otherwise: str) -> str:
    return words(key) if key in words else otherwise
