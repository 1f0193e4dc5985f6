"""The words of messages: both languages whole, short, and saying where, what, how bad and what to do."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec import structs

from alerting.life import fold
from alerting.message import SHOWN, compose, line_of
from alerting.names import shortened, without_suffix
from alerting.texts import load_texts
from schemas.alarms import AlarmEvent, Grade, Kind, State
from schemas.measures import MEASURES
from schemas.notifications import Line, Part, Place
from tests.alerting_world import event

UTC = ZoneInfo("UTC")


def line(e: AlarmEvent, part: Part = Part.WARNING) -> Line:
    return line_of(fold(None, e), part)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_word_of_the_schemas_has_its_text(language: str) -> None:
    texts = load_texts()[language]
    assert set(texts.kind) == {kind.value for kind in Kind} == set(texts.actions)
    assert set(texts.grade) == {grade.word for grade in Grade}
    assert set(texts.measure) >= {measure.name for measure in MEASURES}
    for actions in texts.actions.values():
        assert set(actions) == {"blue", "yellow", "orange", "red"}


def test_a_warning_says_where_what_how_bad_and_what_to_do() -> None:
    text = compose([line(event(State.RAISED, Grade.RED))], load_texts()["en"], UTC)
    head, action, own = text.splitlines()
    assert head == (
        "[RED] Fire · shop-1 / kitchen: temperature 95 °C (limit 56 °C), raised, at 2026-09-21 14:13:20 +0000"
    )
    assert action.startswith("Do: get everyone out")
    assert own == "The enterprise's own warning grade, not a public alert."


def test_the_limit_of_an_anomaly_is_of_its_score_and_stands_in_no_message() -> None:
    """`379 (limit 6)` sent people looking for a limit of 6 mA."""
    anomaly = structs.replace(line(event(State.RAISED, Grade.YELLOW)), kind=Kind.ANOMALY)
    for language in ("en", "zh"):
        text = compose([anomaly], load_texts()[language], UTC)
        assert "95 °C" in text and "56" not in text


def test_a_warning_in_chinese_and_in_local_time() -> None:
    text = compose([line(event(State.RAISED, Grade.RED))], load_texts()["zh"], ZoneInfo("Asia/Shanghai"))
    assert text.startswith(
        "【红色】火灾 · shop-1 / kitchen: 温度 95 °C (限值 56 °C), 报警, 时间 2026-09-21 22:13:20 +0800"
    )
    assert "119" in text and text.endswith("本单位自有预警等级，非政府发布的公共预警。")


def test_an_all_clear_of_a_latched_alarm_asks_for_the_reset_and_for_nothing_else() -> None:
    text = compose(
        [line(event(State.CLEARED, Grade.RED, step=2, latched=True), Part.ALL_CLEAR)], load_texts()["en"], UTC
    )
    assert text.startswith("[ALL CLEAR] Fire") and "then reset the alarm" in text and "Do:" not in text


def test_a_storm_is_a_head_some_lines_and_a_number() -> None:
    lines = [line(event(State.RAISED, Grade.YELLOW, device=f"d{n}")) for n in range(SHOWN + 3)]
    lines.append(line(event(State.RAISED, Grade.RED, device="worst")))
    said = compose(lines, load_texts()["en"], UTC).splitlines()
    assert said[0] == f"[RED] shop-1: {SHOWN + 4} alarms"
    assert "worst" in said[1]
    assert "… and 4 more." in said


def keys_of(table: dict[str, Any], path: str = "") -> set[str]:
    found: set[str] = set()
    for key, value in table.items():
        found |= keys_of(value, f"{path}{key}.") if isinstance(value, dict) else {path + key}
    return found


def test_both_languages_say_the_same_things() -> None:
    """What one of them lacks is a hole in somebody's message."""
    folder = files("alerting.texts")
    zh, en = (
        keys_of(tomllib.loads(folder.joinpath(f"{name}.toml").read_text(encoding="utf-8"))) for name in ("zh", "en")
    )
    assert zh == en


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_kind_has_its_short_template_and_every_grade_its_short_advice(language: str) -> None:
    sms = load_texts()[language].sms
    assert set(sms.warning) == set(sms.action) == {kind.value for kind in Kind}
    for advice in sms.action.values():
        assert set(advice) == {"blue", "yellow", "orange", "red"}


def test_a_place_is_called_as_people_call_it() -> None:
    place = Place("城东饭店", "East Gate Diner", "文三路 1 号", "", "后厨", "Kitchen", "1", "烟感2", "")
    named = line_of(fold(None, event(State.RAISED, Grade.RED)), Part.WARNING, place)
    assert "· East Gate Diner (文三路 1 号) / Kitchen / 烟感2: " in compose([named], load_texts()["en"], UTC)
    assert "· 城东饭店（文三路 1 号） / 后厨 / 烟感2: " in compose([named], load_texts()["zh"], UTC)


@pytest.mark.parametrize(
    ("name", "most", "short"),
    [
        ("城东饭店", 10, "城东饭店"),
        ("杭州市西湖区文三路城东大饭店", 8, "杭州市西湖区文…"),
        # At a word's end, where that loses little.
        ("East Gate Grand Restaurant", 20, "East Gate Grand…"),
        ("Abcdefghijklmnopqrstuvwxyz x", 10, "Abcdefghi…"),
    ],
)
def test_a_long_name_is_cut_where_it_can_still_be_read(name: str, most: int, short: str) -> None:
    assert shortened(name, most, "…") == short and len(short) <= most


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("城东饭店有限公司", "城东饭店"),
        ("East Gate Co., Ltd.", "East Gate"),
        ("有限公司", "有限公司"),
        ("城东饭店", "城东饭店"),
    ],
)
def test_a_short_message_leaves_out_the_legal_form(name: str, short: str) -> None:
    suffixes = [*load_texts()["zh"].sms.company_suffixes, *load_texts()["en"].sms.company_suffixes]
    assert without_suffix(name, suffixes) == short
