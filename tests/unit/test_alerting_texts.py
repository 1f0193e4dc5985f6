"""The words of messages: both languages whole, short, and saying where, what, how bad and what to do."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from alerting.life import fold
from alerting.message import SHOWN, compose, line_of
from alerting.texts import load_texts
from schemas.alarms import AlarmEvent, Grade, Kind, State
from schemas.measures import MEASURES
from schemas.notifications import Line, Part
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
