"""The risk of a place, by cases: what an event does to it, in what words it is told, when it is looked at again."""

from __future__ import annotations

import itertools
from functools import partial

import msgspec
import pytest

from schemas.alarms import AlarmEvent, Grade, Kind, State
from schemas.enterprises import Flammables
from schemas.risk import Letter, RiskColour, RiskFacts, Strain
from scoring.risk import explain, judge
from scoring.risk_hazard import hazard_of
from scoring.risk_reasons import REASONS
from scoring.risk_state import (
    LIVES,
    RiskState,
    apply_acknowledgement,
    apply_event,
    apply_facts,
    apply_verdict,
    encode_state,
    forget_old,
)
from scoring.risk_table import DAY_US, FACTS, HOUR_US, risk_table, wrong_with
from scoring.risk_words import LANGUAGES, devices_named, in_words, risk_texts, with_names
from streams.risk_turn import Happened, Kept, live_through
from tests.alerting_world import START_US, US, event

NOODLES = RiskFacts(
    trade="H6210", built=1995, wired=1995, open_flame=True, flammables=Flammables.SOME, area_m2=90, people=30, devices=5
)


def alarm(state: State, grade: Grade, at_us: int, *, step: int = 1, **more: object) -> AlarmEvent:
    """A step of the heat alarm that began at START_US; more: other fields."""
    made = event(state, grade, step=step, event_us=at_us, latched=bool(more.pop("latched", False)))
    return msgspec.structs.replace(made, **more)


def risk_after(*events: AlarmEvent, at_us: int, facts: RiskFacts = NOODLES) -> tuple[float, RiskColour]:
    state = RiskState(facts=facts)
    for one in events:
        apply_event(state, one)
    judge(state, at_us)
    risk = explain("shop-1", state)
    return risk.score, risk.colour


def test_a_noodle_shop_with_old_wiring_is_worse_than_a_new_one() -> None:
    new = msgspec.structs.replace(NOODLES, wired=2025, built=2020)
    assert hazard_of(NOODLES, 2026).value > hazard_of(new, 2026).value
    assert hazard_of(new, 2026).unknown == ()


def test_what_is_not_known_is_said_and_counts_as_a_middle() -> None:
    """Silence of the registry must not look like safety."""
    nothing = hazard_of(RiskFacts(on_file=False), 2026)
    assert set(nothing.unknown) == {"trade", *FACTS}
    assert nothing.value > 0
    state = RiskState()
    judge(state, START_US)
    risk = explain("shop-1", state)
    unknown = {term.letter for term in risk.terms if not term.known}
    assert unknown == {Letter.ELECTRICAL, Letter.PROTECTION, Letter.HAZARDS_OPEN, Letter.NUISANCE}
    assert all(term.note in risk_texts("en").note for term in risk.terms if not term.known)


@pytest.mark.parametrize(
    ("kind", "colour"), [(Kind.FIRE, RiskColour.RED), (Kind.GAS, RiskColour.RED), (Kind.ELECTRICAL, RiskColour.YELLOW)]
)
def test_an_open_red_of_fire_or_gas_is_red_at_once(kind: Kind, colour: RiskColour) -> None:
    raised = alarm(State.RAISED, Grade.RED, START_US, kind=kind)
    assert risk_after(raised, at_us=START_US)[1] is colour


def test_a_red_that_nobody_acknowledges_for_ten_minutes_makes_red_and_an_answer_ends_it() -> None:
    state = RiskState(facts=NOODLES)
    apply_event(state, alarm(State.RAISED, Grade.RED, START_US, kind=Kind.ELECTRICAL))
    _, due_us = judge(state, START_US)
    colours: list[tuple[int, str]] = []
    while state.colour < RiskColour.RED:
        at_us = due_us or 0
        _, due_us = judge(state, at_us)
        colours.append((at_us - START_US, RiskColour(state.colour).word))
    assert colours[-1] == (600 * US + 1, "red")
    apply_acknowledgement(state, alarm(State.RAISED, Grade.RED, START_US).key, 1, START_US + 700 * US)
    judge(state, START_US + 700 * US)
    assert state.colour < RiskColour.RED


def test_alarms_halve_in_a_week_once_they_are_over_and_not_before() -> None:
    raised = alarm(State.RAISED, Grade.ORANGE, START_US, kind=Kind.ANOMALY)
    cleared = alarm(State.CLEARED, Grade.ORANGE, START_US + HOUR_US, step=2, kind=Kind.ANOMALY)

    def points(at_us: int, *events: AlarmEvent) -> float:
        state = RiskState(facts=NOODLES)
        for one in events:
            apply_event(state, one)
        judge(state, at_us)
        return explain("shop-1", state).terms[1].value

    assert points(START_US + 20 * DAY_US, raised) == 20.0
    assert points(START_US + HOUR_US + 7 * DAY_US, raised, cleared) == pytest.approx(10.0)
    assert points(START_US + HOUR_US + 14 * DAY_US, raised, cleared) == pytest.approx(5.0)


def test_a_step_that_comes_twice_counts_once_and_a_withdrawn_alarm_not_at_all() -> None:
    state = RiskState(facts=NOODLES)
    raised = alarm(State.RAISED, Grade.RED, START_US)
    assert apply_event(state, raised)
    assert not apply_event(state, raised)
    assert apply_event(state, alarm(State.WITHDRAWN, Grade.RED, START_US + US, step=2))
    assert state.lives == []


def test_what_happens_while_somebody_works_there_counts_as_switched_off_and_not_as_an_alarm() -> None:
    """A fitter's smoke test at noon must not make the school red."""
    state = RiskState(facts=NOODLES)
    out = msgspec.structs.replace(NOODLES, out_of_service=("kitchen",))
    apply_facts(state, out, START_US)
    apply_event(state, alarm(State.RAISED, Grade.RED, START_US + US))
    judge(state, START_US + HOUR_US)
    assert state.colour < RiskColour.RED
    protection = explain("shop-1", state).terms[3]
    assert protection.value == pytest.approx(400 / 5 / 24)
    apply_facts(state, NOODLES, START_US + HOUR_US)
    judge(state, START_US + HOUR_US)
    assert state.colour == RiskColour.RED, "it still burns when the device is back"


def test_two_confirmed_fires_in_a_year_are_red_until_the_first_is_a_year_old() -> None:
    state = RiskState(facts=NOODLES)
    for number in (0, 1):
        at_us = START_US + number * 30 * DAY_US
        made = event(State.RAISED, Grade.RED, onset_us=at_us, event_us=at_us)
        apply_event(state, made)
        apply_acknowledgement(state, made.key, 1, at_us + US)
        apply_event(state, msgspec.structs.replace(made, step=2, state=State.RESET, active=False))
        apply_verdict(state, made.key, 1, "real")
    _, due_us = judge(state, START_US + 60 * DAY_US)
    assert state.colour == RiskColour.RED
    assert due_us == START_US + 365 * DAY_US
    judge(state, due_us)
    assert state.colour < RiskColour.RED


def test_a_test_and_a_false_alarm_are_told_apart() -> None:
    state = RiskState(facts=NOODLES)
    for number in range(12):
        at_us = START_US + number * HOUR_US
        made = event(State.RAISED, Grade.YELLOW, onset_us=at_us, event_us=at_us)
        apply_event(state, made)
        apply_event(state, msgspec.structs.replace(made, step=2, state=State.CLEARED, active=False))
        apply_verdict(state, made.key, 1, "test" if number == 0 else "false" if number < 4 else "")
    judge(state, START_US + DAY_US)
    nuisance = explain("shop-1", state).terms[6]
    assert nuisance.value == pytest.approx(100 * 3 / 11)


def test_memory_is_bounded_and_forgetting_moves_no_points() -> None:
    """A detector that chatters for a month must not fill the row of its enterprise."""
    state = RiskState(facts=NOODLES)
    for number in range(3 * LIVES):
        at_us = START_US + number * 60 * US
        made = event(State.RAISED, Grade.BLUE, onset_us=at_us, event_us=at_us)
        apply_event(state, made)
        apply_event(state, msgspec.structs.replace(made, step=2, state=State.CLEARED, active=False))
    at_us = START_US + 60 * DAY_US
    whole = RiskState(facts=NOODLES, lives=[*state.lives])
    forget_old(state, START_US + 3 * LIVES * 60 * US)
    assert len(state.lives) == LIVES
    judge(whole, at_us)
    judge(state, at_us)
    assert explain("shop-1", state).terms[1].value == pytest.approx(explain("shop-1", whole).terms[1].value)
    assert len(encode_state(state)) < 300


def test_how_events_are_cut_into_turns_does_not_matter() -> None:
    """The keeper was away for a day, or it was not: the same colours at the same instants."""
    events = [
        alarm(State.RAISED, Grade.RED, START_US, kind=Kind.ELECTRICAL, latched=True),
        alarm(State.CLEARED, Grade.RED, START_US + 2 * HOUR_US, step=2, kind=Kind.ELECTRICAL, latched=True),
        alarm(State.RESET, Grade.RED, START_US + 9 * HOUR_US, step=3, kind=Kind.ELECTRICAL, active=False),
    ]
    happened = [Happened(one.now_us, partial(apply_event, event=one)) for one in events]
    end_us = START_US + 40 * DAY_US
    told = []
    for cuts in ([], [1], [2], [1, 2], [0, 1, 2, 3]):
        kept = Kept("shop-1", RiskState(facts=NOODLES))
        edges = [0, *cuts, len(happened)]
        for start, end in itertools.pairwise(edges):
            until_us = happened[end - 1].at_us if end else START_US - 1
            live_through(kept, happened[start:end], until_us)
        live_through(kept, [], end_us)
        told.append([(one.at_us, one.colour, one.points) for one in kept.history])
    assert all(one == told[0] for one in told)
    assert len(told[0]) > 3


def test_the_table_keeps_its_own_rules() -> None:
    assert wrong_with(risk_table()) == []


def test_a_table_that_takes_the_unknown_for_safe_is_refused() -> None:
    table = risk_table()
    safe = {**table.fact, "people": msgspec.structs.replace(table.fact["people"], unknown=-1)}
    assert wrong_with(msgspec.structs.replace(table, fact=safe)) == ["people: unknown counts as safe"]


def test_both_languages_have_the_same_keys_and_every_code_has_its_words() -> None:
    zh, en = (msgspec.to_builtins(risk_texts(language)) for language in LANGUAGES)
    for name, words in zh.items():
        assert isinstance(words, str) or len(words) == len(en[name])
        assert not isinstance(words, dict) or set(words) == set(en[name])
    assert set(en["term"]) == {letter.value for letter in Letter}
    assert set(en["kind"]) == {kind.value for kind in Kind}
    assert set(en["colour"]) == {colour.word for colour in RiskColour}
    assert set(en["fact"]) == {"trade", *FACTS}
    assert len(en["columns"]) == 7 + len(Letter) + REASONS + 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_reasons_are_sentences_with_everything_filled_in(language: str) -> None:
    state = RiskState(facts=NOODLES)
    apply_event(state, alarm(State.RAISED, Grade.RED, START_US))
    judge(state, START_US + HOUR_US)
    words = in_words(explain("shop-1", state), language)
    assert len(words.reasons) == REASONS
    assert words.remedies
    assert not any("{" in said or "  " in said for said in (*words.reasons, *words.remedies))
    assert "kitchen" in words.reasons[0]


@pytest.mark.parametrize(
    ("language", "devices", "sensor", "wanted"),
    [
        (
            "zh",
            {"kitchen": "后厨感温", "panel": "总配电箱", "c": ""},
            {"current.L1": "电流 L1"},
            [
                "（后厨感温）",
                "总配电箱/电流 L1",
                "处理“后厨感温”的",
                "总配电箱/电流 L1",
                "恢复 3 个探测器：b、c、后厨感温",
            ],
        ),
        (
            "en",
            {},
            {},
            ["fire, kitchen)", "panel/current.L1", "red alarm of kitchen,", "panel/current.L1", "(3): b, c, kitchen"],
        ),
    ],
)
def test_a_device_is_called_what_the_registry_calls_it(
    language: str, devices: dict[str, str], sensor: dict[str, str], wanted: list[str]
) -> None:
    """A supervisor goes to the kitchen's detector, not to `d-0017`; what has no name keeps its code."""
    state = RiskState(facts=NOODLES, strain=Strain(2, 48, 40, "panel/current.L1"))
    apply_event(state, alarm(State.RAISED, Grade.RED, START_US))
    start_us = START_US - 20 * HOUR_US
    for device in ("b", "c", "kitchen"):
        silent = event(State.RAISED, Grade.YELLOW, device=device, onset_us=start_us, event_us=start_us)
        apply_event(state, msgspec.structs.replace(silent, kind=Kind.SILENCE, family="silence"))
    judge(state, START_US)
    risk = explain("shop-1", state)
    assert devices_named(risk) == {"b", "c", "kitchen", "panel"}
    named = with_names(risk, language, devices, lambda code: sensor.get(code, code))
    words = in_words(named, language)
    said = " ".join([*words.reasons, *words.remedies])
    assert [part for part in wanted if part not in said] == []
    assert [one.code for one in named.reasons] == [one.code for one in risk.reasons]
