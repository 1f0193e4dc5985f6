"""What lists of pages are made of: rules by family, readings in words, the state of a device, points of reasons."""

from __future__ import annotations

import pytest
from msgspec import structs

from console.components.rule_list import families
from console.pages.device_parts import device_state, sensor_name, value_words
from console.rulebook import names_of
from console.words import LANGUAGES, words_of
from schemas.alarms import Grade
from schemas.payloads import DeviceLine
from streams.pack_words import PackWords, words_of_pack
from streams.packs import load_pack

PACK = words_of_pack(load_pack(), {language: names_of(language) for language in LANGUAGES})


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_rule_stands_once_under_a_family_that_has_a_name(language: str) -> None:
    """In either language; the gravest of a family come first."""
    found = families(words_of(language), PACK)
    rules = [rule["id"] for one in found for rule in one["rules"]]
    assert sorted(rules) == sorted(rule.id for rule in PACK.rules)
    assert all(one["name"] != one["family"] for one in found)
    order = ["red", "orange", "yellow", "blue"]
    for one in found:
        grades = [order.index(rule["grade"]) for rule in one["rules"]]
        assert grades == sorted(grades)


def test_a_page_names_the_source_of_a_rule_in_its_language() -> None:
    """A pack that says it in one language says it so on every page."""
    rules = {rule.id: rule for rule in PACK.rules}
    for language, named in (("zh", "source_zh"), ("en", "source")):
        shown = {rule["id"]: rule["source"] for one in families(words_of(language), PACK) for rule in one["rules"]}
        assert shown == {id_: getattr(rule, named) for id_, rule in rules.items()}
    own = PackWords("own", "1", [structs.replace(rules["co.50"], source="Ours.", source_zh="")])
    assert families(words_of("zh"), own)[0]["rules"][0]["source"] == "Ours."


def test_a_reading_is_said_with_its_measure_channel_and_unit() -> None:
    words = words_of("en")
    assert value_words(words, "temperature", 22.5) == "temperature 22.5 °C"
    assert sensor_name("current.L1", words).endswith(" L1")
    assert value_words(words, "of_its_own.x", 1.0) == "of_its_own x 1"


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({}, "well"),
        ({"waiting": 2}, "refused"),
        ({"waiting": 2, "is_silent": True}, "silent"),
        ({"is_silent": True, "out_of_service": True}, "out_of_service"),
        ({"heard_us": 0}, "never"),
        ({"is_registered": False, "waiting": 2}, "unclaimed"),
    ],
)
def test_the_state_of_a_device_is_what_a_person_looks_for_first(more: dict[str, object], state: str) -> None:
    """One word, of all that could be said."""
    well = {"is_registered": True, "out_of_service": False, "heard_us": 1, "waiting": 0, "is_silent": False}
    line = DeviceLine(
        enterprise="shop", device="panel", name="", name_en="", zone="", newest_us=0, sensors=1, worst=Grade.NONE,
        **{**well, **more},  # type: ignore[arg-type]
    )  # fmt: skip
    assert device_state(line) == state
