"""What people read on their phones, for each kind and language, in files that a person reads.

Made again by `python -m tests.golden.test_short_messages`; the difference is read before it is committed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from msgspec import structs

from alerting import links
from alerting.life import fold
from alerting.message import line_of
from alerting.segments import segments
from alerting.short import compose_short
from alerting.texts import load_texts
from schemas.alarms import AlarmEvent, Evidence, Grade, Kind, State
from schemas.notifications import Line, Part, Place
from tests.alerting_world import START_US, US, event

FOLDER = Path(__file__).parent / "short_messages"
LANGUAGES = ("zh", "en")
SHOP = Place(
    "城东饭店有限公司",
    "East Gate Diner Co., Ltd.",
    "文三路 1 号",
    "1 Wensan Road",
    "后厨",
    "Kitchen",
    "1",
    "烟感2",
    "Detector 2",
)
LONG = Place(
    "杭州市西湖区文三路城东大饭店餐饮管理有限责任公司",
    "Hangzhou Xihu District East Gate Grand Restaurant and Catering Management Co., Ltd.",
    "", "", "地下一层北侧后厨与冷藏间", "Basement, north kitchen and cold storage room", "B1",
    "二号独立式光电感烟火灾探测报警器", "Standalone photoelectric smoke and heat detector number 2",
)  # fmt: skip
EVIDENCE = {
    Kind.FIRE: ("smoke", 6.2, 3.0, "%/m"),
    Kind.GAS: ("gas", 52.0, 50.0, "%EL"),
    Kind.ELECTRICAL: ("residual_current", 1012.0, 1000.0, "mA"),
    Kind.FAULT: ("fault", 1.0, None, "flag"),
    Kind.SILENCE: ("", None, None, ""),
    Kind.ANOMALY: ("temperature", 31.0, None, "Cel"),
    Kind.OPERATION: ("presence", 1.0, None, "flag"),
}


def warning(kind: Kind, grade: Grade, place: Place | None = SHOP, **more: object) -> Line:
    return line_of(fold(None, step_of(kind, grade, **more)), Part.WARNING, place)


def step_of(kind: Kind, grade: Grade, state: State = State.RAISED, **more: object) -> AlarmEvent:
    measure, value, limit, unit = EVIDENCE[kind]
    made = event(state, grade, step=1 if state is State.RAISED else 2)
    subject = f"shop-1/kitchen/{measure}" if measure else "shop-1/kitchen"
    evidence = Evidence("rule", "ab12", value, limit, unit)
    return structs.replace(made, kind=kind, measure=measure, subject=subject, evidence=evidence, **more)


def said(language: str) -> Iterator[tuple[str, str]]:
    """What is told → its text."""
    texts, zone = load_texts()[language], ZoneInfo("Asia/Shanghai")
    link = links.withheld("https://tocsin.example.org")

    def text(*lines: Line, now_us: int = START_US, duty: str = "0571-88887777") -> str:
        return compose_short(lines, texts, zone, now_us, link=link, duty_phone=duty)

    for kind in Kind:
        for grade in (Grade.RED, Grade.ORANGE, Grade.YELLOW):
            yield f"{kind.value} {grade.word}", text(warning(kind, grade))
    yield "a place with long names", text(warning(Kind.GAS, Grade.RED, LONG))
    yield "a place that the registry does not know", text(warning(Kind.FIRE, Grade.RED, None))
    yield "risen", text(warning(Kind.FIRE, Grade.RED, state=State.REGRADED, previous=Grade.ORANGE))
    yield "fallen", text(warning(Kind.FIRE, Grade.ORANGE, state=State.REGRADED, previous=Grade.RED))
    yield "found late", text(warning(Kind.FIRE, Grade.RED, age_s=900.0))
    yield "since yesterday", text(warning(Kind.ELECTRICAL, Grade.ORANGE), now_us=START_US + 7200 * US)
    yield (
        "several",
        text(*(warning(Kind.FIRE, Grade.RED), warning(Kind.GAS, Grade.ORANGE), warning(Kind.FIRE, Grade.RED))),
    )
    over = step_of(Kind.FIRE, Grade.RED, State.CLEARED, event_us=START_US + 420 * US, latched=True, active=False)
    clear = line_of(fold(None, over), Part.ALL_CLEAR, SHOP)
    yield "over", text(structs.replace(clear, latched=False))
    yield "over and latched", text(clear)
    yield "withdrawn", text(structs.replace(clear, state=State.WITHDRAWN, latched=False))
    yield "several are over", text(clear, clear)
    yield (
        "a house without a public address",
        compose_short([warning(Kind.FIRE, Grade.RED)], texts, zone, START_US, duty_phone="0571-88887777"),
    )
    yield (
        "a house with neither address nor number",
        compose_short([warning(Kind.FIRE, Grade.RED)], texts, zone, START_US),
    )


def written(language: str) -> str:
    blocks = []
    for what, text in said(language):
        cost = segments(text)
        blocks.append(f"# {what}: {cost.alphabet}, {cost.units}, segments {cost.count}\n{text}\n")
    return "\n".join(blocks)


@pytest.mark.parametrize("language", LANGUAGES)
def test_short_messages_are_as_a_person_has_read_them(language: str) -> None:
    assert written(language) == (FOLDER / f"{language}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_short_message_has_three_segments_at_most_and_says_whose_warning_it_is(language: str) -> None:
    own = {"zh": "本单位预警", "en": "Own grade"}[language]
    for what, text in said(language):
        assert segments(text).count <= 3, what
        assert own in text, what


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each in LANGUAGES:
        (FOLDER / f"{each}.txt").write_text(written(each), encoding="utf-8")
