"""A rule pack in words: what they say is what the rules do, in both languages."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

import pytest

from alerting.texts import load_texts
from schemas.measures import MEASURES
from schemas.rules import Rule
from streams.pack_words import LANGUAGES, Names, RuleWords, bound_of, say, words_of_pack
from streams.packs import load_pack, parse_pack

PACK = load_pack()
NAMES = {language: Names(language, texts.measure, texts.grade) for language, texts in load_texts().items()}
RULES = {rule.id: rule for rule in words_of_pack(PACK, NAMES).rules}


def texts_of(language: str) -> Mapping[str, Any]:
    return tomllib.loads(files("streams").joinpath("texts", f"{language}.toml").read_text("utf-8"))


def keys_of(table: Mapping[str, Any], head: str = "") -> Iterator[str]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from keys_of(value, f"{head}{key}.")
        else:
            yield head + key


@pytest.mark.parametrize(
    ("rule", "zh", "en"),
    [
        (
            "heat.fire",
            "温度不低于 56 °C，持续 10 秒：红色预警。该值低于 50 °C，持续 5 分钟后须由人工复位。",
            "Red when temperature is at or above 56 °C for 10 s."
            " When it is below 50 °C for 5 min it waits for a person's reset.",
        ),
        (
            "co.50",
            "一氧化碳不低于 50 ppm，累计 75 分钟：橙色预警。该值低于 40 ppm，持续 10 分钟后解除。",
            "Orange when carbon monoxide is at or above 50 ppm, adding up to 75 min."
            " Over when it is below 40 ppm for 10 min.",
        ),
        (
            "elec.v",
            "电压低于 198 V或高于 235.4 V，持续 60 秒：黄色预警。该值不低于 200 V且不高于 233 V，持续 60 秒后解除。",
            "Yellow when voltage is below 198 V or above 235.4 V for 60 s."
            " Over when it is at or above 200 V and at or below 233 V for 60 s.",
        ),
        (
            "dev.mains",
            "主电断电，持续 30 秒：黄色预警。主电供电正常，持续 60 秒后解除。",
            "Yellow when there is no mains supply for 30 s. Over when there is mains supply for 60 s.",
        ),
        (
            "dev.fire_lost",
            "火灾或燃气探测器超过 5 分钟、且超过其 3 个上报周期没有消息：黄色预警。恢复上报 2 次后解除。",
            "Yellow when a fire or gas detector has not been heard for 5 min and for 3 of its periods."
            " Over when it is heard again, 2 times.",
        ),
    ],
)
def test_a_rule_is_a_sentence(rule: str, zh: str, en: str) -> None:
    """It is read by somebody who has thirty seconds."""
    assert (RULES[rule].said["zh"].sentence, RULES[rule].said["en"].sentence) == (zh, en)


@pytest.mark.parametrize("rule", PACK.rules, ids=lambda rule: rule.id)
def test_every_default_rule_has_words_in_both_languages(rule: Rule) -> None:
    """A rule that cannot be said cannot be argued with."""
    words: RuleWords = RULES[rule.id]
    for language in LANGUAGES:
        said = words.said[language]
        assert said.raises and said.clears and "{" not in said.sentence
        assert (("人工复位" in said.sentence) or ("person's reset" in said.sentence)) is rule.latched
    assert words.said["zh"] != words.said["en"]
    assert (words.grade, words.latched) == (rule.grade.word, rule.latched)
    assert (words.source, words.source_zh) == (rule.source, rule.source_zh)


def test_exceptions_stand_with_their_rule() -> None:
    """A kitchen's detector of class B is judged by its own limits."""
    found = {(one.heat_class, one.off): one for one in RULES["heat.fire"].exceptions}
    assert found["B", False].said["en"].raises == "temperature is at or above 74 °C for 10 s"
    assert found["B", False].whom == {"zh": "感温等级 B 的探测器", "en": "detectors of heat class B"}
    off = next(one for rule in RULES.values() for one in rule.exceptions if one.off)
    assert off.said["zh"].sentence == "本规则不适用。"


def test_the_words_are_those_of_the_pack_that_is_active() -> None:
    """They are made from its numbers, not written beside them."""
    text = PACK.toml.replace("at_or_above = 56.0", "at_or_above = 57.5", 1)
    changed = next(rule for rule in parse_pack(text, "mine").rules if rule.id == "heat.fire")
    assert say(changed, NAMES["en"]).raises == "temperature is at or above 57.5 °C for 10 s"


def test_the_languages_say_the_same_things() -> None:
    keys = {language: sorted(keys_of(texts_of(language))) for language in LANGUAGES}
    assert keys["zh"] == keys["en"]
    flags = sorted(measure.name for measure in MEASURES if measure.flag)
    for table in ("flag_true", "flag_false"):
        assert sorted(texts_of("zh")[table]) == flags


def test_a_bound_beside_a_round_number_is_that_number() -> None:
    """Bounds are inclusive inside; `above 4` is the next float."""
    assert bound_of(4.000000000000001, float("-inf")) == (True, 4.0)
    assert bound_of(56.0, float("-inf")) == (False, 56.0)
