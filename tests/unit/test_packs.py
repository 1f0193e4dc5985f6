"""Rule packs: what the TOML becomes, and what is said of one that is wrong."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.alarms import Grade
from schemas.errors import ConfigError
from schemas.rules import RulePack, Signal, Watch
from streams.pack_text import PackRefused
from streams.packs import load_pack, parse_pack

GOOD = """\
[[rule]]
id      = "heat.fire"
measure = "temperature"
family  = "heat"
kind    = "fire"
grade   = "red"
raise   = { at_or_above = 56.0, for = "10s" }
clear   = { below = 50.0, for = "300s" }
latched = true
"""
STANDARD = r"(?:GBZ?|GB/T|EN|UL|IEC|EBL)[ ]?[0-9][0-9.-]*"


def refused(text: str) -> PackRefused:
    with pytest.raises(PackRefused) as caught:
        parse_pack(text, "p")
    return caught.value


@pytest.fixture(scope="module")
def default() -> RulePack:
    return load_pack()


def test_a_rule_becomes_inclusive_bounds_and_microseconds() -> None:
    """`below 50` is safe up to the float before 50; the engine only knows inclusive bounds."""
    rule = parse_pack(GOOD, "p").rules[0]
    assert (rule.high, rule.low, rule.delay_us, rule.readings, rule.band) == (56.0, -math.inf, 10_000_000, 1, False)
    assert (rule.clear_low, rule.clear_high) == (-math.inf, math.nextafter(50.0, -math.inf))
    assert (rule.clear_delay_us, rule.max_gap_us, rule.latched, rule.grade) == (
        300_000_000,
        60_000_000,
        True,
        Grade.RED,
    )


def test_a_flag_raises_on_one_state_and_clears_on_the_other(default: RulePack) -> None:
    rules = {r.id: r for r in default.rules}
    assert (rules["smoke.flag"].high, rules["smoke.flag"].clear_high) == (1.0, 0.0)
    assert (rules["dev.offline"].low, rules["dev.offline"].clear_low) == (0.0, 1.0)


def test_a_two_sided_rule_is_safe_between_its_clear_limits(default: RulePack) -> None:
    rule = next(r for r in default.rules if r.id == "gas.o2")
    assert (rule.low < 19.5, rule.clear_low, rule.clear_high, rule.high > 23.5) == (True, 19.8, 23.2, True)


def test_silence_and_stuck_say_a_time(default: RulePack) -> None:
    rules = {r.id: r for r in default.rules}
    lost = rules["dev.lost"]
    assert (lost.high, lost.periods, lost.clear_readings, lost.watch, lost.measures) == (300.0, 3.0, 2, Watch.ANY, ())
    assert rules["dev.lostd"].watch is Watch.DAILY
    assert (rules["dev.stuck"].high, rules["dev.stuck"].clear_high) == (86_400.0, 0.0)


def test_the_version_is_the_hash_of_the_text() -> None:
    """A comment changes it too: the version names exactly what a person activated."""
    one, two = parse_pack(GOOD, "a"), parse_pack(GOOD, "b")
    assert one.version == two.version != parse_pack(GOOD + "# c\n", "a").version
    assert one.toml == GOOD


def test_an_override_replaces_the_tables_it_names_and_keeps_the_rest() -> None:
    text = (
        GOOD + '[[override]]\nrule = "heat.fire"\nheat_class = ["B", "BS"]\nraise = { at_or_above = 74, for = "10s" }\n'
    )
    pack = parse_pack(text, "p")
    assert [o.heat_class for o in pack.overrides] == ["B", "BS"]
    assert pack.overrides[0].rule == replace(pack.rules[0], high=74.0)


def test_an_override_may_switch_a_rule_off() -> None:
    pack = parse_pack(GOOD + '[[override]]\nrule = "heat.fire"\ndevice = "a/b"\noff = true\n', "p")
    assert (pack.overrides[0].off, pack.overrides[0].device) == (True, "a/b")


def test_heat_classes_have_their_own_levels(default: RulePack) -> None:
    fire = {o.heat_class: o.rule.high for o in default.overrides if o.rule.id == "heat.fire"}
    assert fire["A2S"] == 60.0 and fire["B"] == 74.0 and fire["C"] == 86.0 and fire["G"] == 146.0
    off = {o.heat_class for o in default.overrides if o.rule.id == "heat.ror" and o.off}
    assert off == {"A1S", "A2S", "BS", "CS", "DS", "ES", "FS", "GS"}


def test_no_statistics_alone_page(default: RulePack) -> None:
    assert all(r.grade <= Grade.YELLOW for r in default.rules if r.signal is Signal.Z)


def test_every_rule_names_its_source_and_claims_no_certificate(default: RulePack) -> None:
    for rule in (*default.rules, *(override.rule for override in default.overrides)):
        assert rule.source, rule.id
        assert "certified to" not in rule.source and "compl" not in rule.source
        assert not {claim for claim in ("符合", "通过", "认证") if claim in rule.source_zh}


def test_every_default_rule_and_exception_names_its_source_in_both_languages(default: RulePack) -> None:
    """Who reads Chinese asks as well where a number is from; standards keep their numbers."""
    versions = [*default.rules, *(override.rule for override in default.overrides)]
    for rule in versions:
        assert rule.source and re.search("[一-鿿]", rule.source_zh), rule.id
        assert not re.search("[一-鿿]", rule.source), rule.id
        assert re.findall(STANDARD, rule.source) == re.findall(STANDARD, rule.source_zh), rule.id
        assert rule.source.startswith("Ours") == rule.source_zh.startswith("本系统自定"), rule.id


def test_an_override_with_a_source_of_its_own_has_none_of_its_rules(default: RulePack) -> None:
    """In the other language the base's source would speak of other numbers."""
    base = GOOD + 'source = "Ours."\nsource_zh = "本系统自定。"\n'
    changed = '[[override]]\nrule = "heat.fire"\ntrade = "H6"\n'
    for said, sources in (
        ("latched = false\n", ("Ours.", "本系统自定。")),
        ('source = "The site."\n', ("The site.", "")),
        ('source_zh = "本单位。"\n', ("", "本单位。")),
    ):
        rule = parse_pack(base + changed + said, "p").overrides[0].rule
        assert (rule.source, rule.source_zh) == sources


R = 7  # the line of `raise` in GOOD
C = 8
WRONG = [
    # what is changed in GOOD, line, field, part of what is said, part of the mend
    (("kind", "knid"), 5, "heat.fire.knid", "unknown key", "`kind`"),
    (('"temperature"', '"temprature"'), 3, "heat.fire.measure", "no measure", "`temperature`"),
    (('kind    = "fire"', 'kind    = "fires"'), 5, "heat.fire.kind", "no kind", "`fire`"),
    (('"red"', '"crimson"'), 6, "heat.fire.grade", "no grade", "red"),
    (('for = "10s"', "for = 10"), R, "heat.fire.raise.for", "no unit", '"10s"'),
    (('for = "10s"', 'for = "10m"'), R, "heat.fire.raise.for", "no unit of time", '"10min"'),
    (('for = "10s"', 'for = "soon"'), R, "heat.fire.raise.for", "not a duration", '"2min"'),
    (('for = "10s"', "and_reserve_used = 0.5"), R, "heat.fire.raise.and_reserve_used", "only a z rule", '"z"'),
    (("at_or_above = 56.0, ", ""), R, "heat.fire.raise", "at what value it raises", "at_or_above"),
    (("56.0", '"56"'), R, "heat.fire.raise.at_or_above", "finite number", "unit"),
    (("56.0", "inf"), R, "heat.fire.raise.at_or_above", "finite number", "unit"),
    (("56.0", "560.0"), R, "heat.fire.raise", "outside what a sensor", "Cel"),
    (('at_or_above = 56.0, for = "10s"', "at_or_above = 56.0"), R, "heat.fire.raise", "on one reading", "readings = 2"),
    (('"10s"', '"25s"'), R, "heat.fire.raise", "at most 20 s", '"20s"'),
    (("56.0, ", "56.0, above = 57.0, "), R, "heat.fire.raise.above", "exclude each other", "Keep one"),
    (('"10s"', '"10s", band = "10s"'), R, "heat.fire.raise.band", "exclude each other", "unbroken"),
    (("56.0, ", "56.0, at_or_below = 60.0, "), R, "heat.fire.raise", "limits meet", "upper"),
    (("56.0, ", "56.0, and_value_at_or_above = 5.0, "), R, "heat.fire.raise.and_value_at_or_above", "rate", '"rate"'),
    (('"10s"', '"10s", readings = 0'), R, "heat.fire.raise.readings", "whole number", "readings = 2"),
    (("below = 50.0", "below = 60.0"), C, "heat.fire.clear", "inside raise", "gap"),
    (("below = 50.0, ", ""), C, "heat.fire.clear", "at what value it clears", "below"),
    (("below = 50.0", "above = 50.0"), C, "heat.fire.clear", "below what value", "below"),
    (('clear   = { below = 50.0, for = "300s" }\n', ""), 1, "heat.fire.clear", "missing", "clear = {"),
    (('{ below = 50.0, for = "300s" }', "50.0"), C, "heat.fire.clear", "must be a table", "{"),
    (("latched = true", 'latched = "yes"'), 9, "heat.fire.latched", "true or false", "without quotes"),
    (("latched = true", 'signal = "z"\nlatched = true'), 6, "heat.fire.grade", "at most yellow", "blue"),
    (("latched = true", 'watch = "fire"'), 9, "heat.fire.watch", "silence", "Remove"),
    (('"heat"', '"clock"'), 4, "heat.fire.family", "belong together", "Change"),
    (("latched = true", 'signal = "rated"'), 3, "heat.fire.measure", "rated value", '"current"'),
    (('"temperature"', '"smoke_alarm"'), R, "heat.fire.raise", "true or false", "is = true"),
    (('"temperature"', '["temperature", "mains"]'), 3, "heat.fire.measure", "do not share", "one rule"),
    (('id      = "heat.fire"\n', ""), 1, "id", "missing", "id ="),
    (('"heat.fire"', '"heat.fire'), 2, "", "not TOML", "quotes"),
]


@pytest.mark.parametrize(("change", "line", "field", "what", "mend"), WRONG, ids=lambda v: str(v)[:40])
def test_a_wrong_pack_is_told_where_what_and_how(
    change: tuple[str, str], line: int, field: str, what: str, mend: str
) -> None:
    """A pack is written by an electrician at ten at night: each refusal says the line and the mend."""
    mistakes = refused(GOOD.replace(*change)).mistakes
    fits = [m for m in mistakes if (m.line, m.field) == (line, field) and what in m.what and mend in m.mend]
    assert fits, [str(m) for m in mistakes]


def test_all_mistakes_are_told_at_once_in_order_of_line() -> None:
    error = refused(GOOD.replace('"red"', '"rad"').replace("10s", "10x") + GOOD)
    assert [m.line for m in error.mistakes] == [6, 7, 11]
    assert "3 mistakes" in str(error) and "used twice" in str(error) and error.line == 6


@pytest.mark.parametrize(
    ("override", "what"),
    [
        ('rule = "heat.fir"\noff = true\ntrade = "bakery"', "no rule"),
        ('rule = "heat.fire"\noff = true', "for whom"),
        ('rule = "heat.fire"\ntrade = "bakery"', "switch the rule off or change"),
        ('rule = "heat.fire"\nheat_class = "Z"\noff = true', "no heat class"),
        ('rule = "heat.fire"\ndevice = "kitchen"\noff = true', "with its enterprise"),
        ('rule = "heat.fire"\ntrade = "x"\nraise = { at_or_above = 40.0, for = "5s" }', "inside raise"),
        ('rule = "heat.fire"\ntrade = "x"\nfamily = "y"', "unknown key"),
    ],
)
def test_a_wrong_override_is_told(override: str, what: str) -> None:
    error = refused(f"{GOOD}[[override]]\n{override}\n")
    assert what in str(error)
    assert all(m.line and m.line > 9 for m in error.mistakes)


def test_subtables_have_lines_too() -> None:
    text = (
        GOOD.replace('raise   = { at_or_above = 56.0, for = "10s" }\n', "")
        + '[rule.raise]\nat_or_above = 56.0\nfor = "x"\n'
    )
    assert [(m.line, m.field) for m in refused(text).mistakes] == [(11, "heat.fire.raise.for")]


def test_an_empty_pack_is_refused() -> None:
    """It would silence everything."""
    assert "no rule" in str(refused("# nothing\n"))


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_pack(tmp_path / "none.toml")
