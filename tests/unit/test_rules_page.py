"""`docs/reference/rules.md` says what the default pack does, and its examples are good packs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from schemas.rules import Rule, Signal
from streams.packs import HEAT_CLASSES, load_pack, parse_pack
from tocsin.commands.rules import clears, raises

PAGE = Path(__file__).parents[2].joinpath("docs/reference/rules.md").read_text("utf-8")
PACK = load_pack()


def row_of(rule: Rule) -> str:
    """The rule's row, as the page must have it."""
    grade = rule.grade.word + (" ▲" if rule.latched else "")
    measure = ", ".join(f"`{name}`" for name in rule.measures)
    measure = measure or ("device" if rule.signal is Signal.SILENCE else "any")
    profile = f"`{rule.profile}`: " if rule.profile else ""
    return f"| `{rule.id}` | {measure} | {profile}{raises(rule)} | {clears(rule)} | {grade} | {rule.source} |"


@pytest.mark.parametrize("rule", PACK.rules, ids=lambda rule: rule.id)
def test_each_default_rule_has_its_row(rule: Rule) -> None:
    assert row_of(rule) in PAGE.splitlines()


def test_no_other_rule_is_described() -> None:
    rows = re.findall(r"^\| `([a-z0-9_]+\.[a-z0-9_]+)` \|", PAGE, re.MULTILINE)
    assert rows == [rule.id for rule in PACK.rules]


def test_the_examples_are_a_good_pack() -> None:
    pack = parse_pack("\n".join(re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)), "page")
    assert [rule.id for rule in pack.rules] == ["heat.fire"] and len(pack.overrides) == 2


def test_levels_by_heat_class_are_those_of_the_pack() -> None:
    rules = [rule for rule in PACK.rules if rule.family == "heat"]
    listed = re.findall(r"^\| ([A-G]\d?S?) \| (.+) \|$", PAGE, re.MULTILINE)
    assert {name for name, _ in listed} == {name for name in HEAT_CLASSES if not name.endswith("R")}
    for name, levels in listed:
        for rule, level in zip(rules, levels.split(" | "), strict=True):
            found = [o for o in PACK.overrides if o.rule.id == rule.id and o.heat_class == name]
            version = found[-1].rule if found else rule
            off = bool(found) and found[-1].off
            assert level == ("off" if off else f"{version.floor if rule.signal is Signal.RATE else version.high:g}")
