"""The short form of `one_day`, and that it would notice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from schemas.alarms import AlarmEvent, Evidence, Grade, Kind, State
from scoring.risk import explain, judge
from scoring.risk_state import RiskState
from tests.chaos.day_plan import DayPlan, Tally
from tests.chaos.one_day import Ran, differences, judge_alike, one_day

EVENT = AlarmEvent(
    "k", 1, 0, 7, State.RAISED, "shop-0001/kitchen/gas", "shop-0001", "kitchen", "gas", "gas", Kind.GAS,
    Grade.YELLOW, Grade.NONE, True, False, 1_000_000, 2_000_000, 2_000_001, 2_000_002, 42, Evidence("gas.yellow", "p"),
)  # fmt: skip


@pytest.mark.chaos
@pytest.mark.kafka
@pytest.mark.integration
def test_an_hour_is_the_same_in_one_process_and_in_a_cluster(kafka: object, tmp_path: Path) -> None:
    """Nobody learns a second system, or trusts a second engine, when they grow out of one machine."""
    tmp_path.chmod(0o711)
    verdict = one_day(DayPlan(shops=26, hours=1.0, seed=20_260_801, slower=3, from_hour=11), tmp_path, twins=8)
    print("\n" + verdict.says)
    assert not verdict.wrong, "\n".join(verdict.wrong[:20])


@pytest.mark.chaos
@pytest.mark.long
@pytest.mark.kafka
def test_a_day_of_a_thousand_shops_is_the_same_in_one_process_and_in_a_cluster(kafka: object, tmp_path: Path) -> None:
    """The long form."""
    tmp_path.chmod(0o711)
    verdict = one_day(DayPlan(shops=1000, hours=24.0, seed=20_260_801, slower=15), tmp_path, twins=60)
    print("\n" + verdict.says)
    assert not verdict.wrong, "\n".join(verdict.wrong[:20])


def test_a_step_that_differs_in_anything_but_its_place_is_seen() -> None:
    """The comparison is worth its word."""
    placed_elsewhere = msgspec.structs.replace(EVENT, partition=5, seq=1, entry=9)
    assert differences("", [EVENT], [placed_elsewhere]) == []
    for other in (
        msgspec.structs.replace(EVENT, onset_us=1_000_001),
        msgspec.structs.replace(EVENT, received_us=3),
        msgspec.structs.replace(EVENT, evidence=Evidence("gas.yellow", "p", held_s=0.1)),
    ):
        assert len(differences("", [EVENT], [other])) == 2
    assert len(differences("", [EVENT, EVENT], [EVENT])) == 1


def test_a_reading_that_is_lost_doubled_or_changed_changes_the_tally() -> None:
    """A sum may not hide one fault behind another."""

    def tally(values: list[float]) -> Tally:
        made = Tally()
        made.add(np.array([5] * len(values)), np.arange(len(values), dtype=np.int64), np.array(values, np.float64))
        return made

    whole = tally([1.0, 2.0, 3.0])
    assert whole.readings == 3
    assert tally([2.0, 1.0, 3.0]).values == whole.values, "in any order"
    assert tally([2.0, 1.0, 3.0]).times != whole.times, "but each at its time"
    assert tally([1.0, 2.0, 4.0]).values != whole.values
    assert tally([1.0, 2.0]).count != whole.count


def test_a_risk_or_a_message_that_one_of_two_runs_has_is_seen() -> None:
    """Alarms alone are not what people get."""
    state = RiskState()
    curve, next_us = judge(state, 1_800_000_000_000_000)
    risk = explain("shop-0001", state, curve, next_us)
    one = Ran("one", [EVENT], Tally(), {}, {}, 1.0, 1, risks={"shop-0001": risk}, messages={"m1"})
    assert judge_alike(one, replace(one, name="other")) == []
    worse = msgspec.structs.replace(risk, score=risk.score + 1e-9)
    for other in (replace(one, risks={"shop-0001": worse}), replace(one, risks={}), replace(one, messages=set())):
        assert len(judge_alike(one, other)) == 1
