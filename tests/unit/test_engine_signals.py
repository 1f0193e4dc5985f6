"""Each signal of docs/reference/detection.md: what it says, and when it is not yet able to say."""

from __future__ import annotations

import math

import pytest

from schemas.alarms import Kind
from schemas.readings import Quality
from schemas.rules import Signal
from tests.engine_room import Room, a_rule, steps

UP = [("raised", "red")]


def test_a_value_counts_within_the_instruments_range() -> None:
    """A saturated sensor may be a hazard: it is judged at the limit."""
    (raised,) = Room(a_rule()).read(0, 900.0)
    assert raised.evidence.value == 150.0


def test_rated_says_nothing_until_the_rated_current_is_known() -> None:
    room = Room(a_rule(measures="current", signal=Signal.RATED, high=1.13), measures="current")
    assert room.read(0, 30.0) == []
    room.facts(rated_current_a=16.0)
    (raised,) = room.read(1, 20.0)
    assert raised.evidence.value == 1.25


@pytest.mark.parametrize("period", [1.0, 4.0, 17.0])
def test_a_rate_is_the_exact_slope_of_a_ramp_whatever_the_period(period: float) -> None:
    """Two filters of 5 s and 30 s differ by 25 s of slope, once they have run in."""
    room = Room(
        a_rule(measures="pressure", signal=Signal.RATE, high=5.99, clear_high=0.0, readings=200), measures="pressure"
    )
    seen = [room.read(i * period, 20.0 + 0.1 * i * period) for i in range(500)]
    (raised,) = [event for events in seen for event in events]
    assert raised.evidence.value == pytest.approx(6.0, abs=0.01)
    assert raised.evidence.unit == "kPa/min"


def test_a_rate_speaks_from_the_third_sample_and_above_its_floor() -> None:
    room = Room(a_rule(signal=Signal.RATE, high=4.0, floor=36.0))
    assert [steps(room.read(t, v)) for t, v in ((0, 0.0), (1, 30.0), (2, 35.0), (3, 37.0))] == [[], [], [], UP]


def test_a_smoke_baseline_starts_clean() -> None:
    """A sensor that is installed into smoke does not take it for normal."""
    room = Room(a_rule(measures="smoke", signal=Signal.ABOVE_BASELINE, high=2.2, clear_high=1.0), measures="smoke")
    seen = [room.read(t, 6.0) for t in range(20)]
    (raised,) = [event for events in seen for event in events]
    assert seen.index([raised]) == 12
    assert raised.evidence.unit == "%/m"


def test_a_fast_sensor_cannot_pass_the_smoke_filters_slope() -> None:
    """0.2 %/m a second at most: one wild reading raises nothing."""
    room = Room(a_rule(measures="smoke", signal=Signal.ABOVE_BASELINE, high=2.2, clear_high=1.0), measures="smoke")
    assert [e for t in range(100) for e in room.read(t, 99.0 if t % 10 == 0 else 0.1)] == []


def test_range_counts_the_last_five_readings() -> None:
    room = Room(a_rule(measures="", signal=Signal.RANGE, high=3.0, clear_high=0.0))
    bad, good = Quality.OUT_OF_RANGE, Quality.GOOD
    fates = [steps(room.read(t, 20.0, quality=q)) for t, q in enumerate((bad, good, bad, good, good, bad, bad))]
    assert fates == [[], [], [], [], [], [], UP]
    assert [steps(room.read(7 + t, 20.0)) for t in range(5)] == [[], [], [], [], [("cleared", "red")]]


def test_stuck_wants_a_hundred_readings_of_one_value() -> None:
    room = Room(a_rule(measures="", signal=Signal.STUCK, high=50.0, clear_high=0.0))
    fates = [steps(room.read(t, 20.0)) for t in range(101)]
    assert [t for t, fate in enumerate(fates) if fate] == [99]
    assert steps(room.read(101, 20.1)) == [("cleared", "red")]


def test_a_flag_is_never_stuck() -> None:
    room = Room(a_rule(measures="", signal=Signal.STUCK, high=50.0, clear_high=0.0), measures="presence")
    assert [e for t in range(300) for e in room.read(t, 0.0)] == []


def test_a_steady_lag_is_a_wrong_clock_and_a_burst_of_old_readings_is_not() -> None:
    """Three messages a second apart, each an hour old: a clock. Three at once: a back-fill."""
    clock = a_rule(measures="", family="clock", signal=Signal.CLOCK, high=1.0, clear_high=0.0)
    room = Room(clock)
    fates = [steps(room.read(t, 20.0, lag=3600.0)) for t in range(4)]
    assert fates == [[], [], UP, []]
    other = Room(clock)
    assert [e for t in range(9) for e in other.read(t, 20.0, lag=3600.0 - t)] == []


def test_the_alarm_of_a_wrong_clock_is_the_devices() -> None:
    clock = a_rule(measures="", family="clock", signal=Signal.CLOCK, high=3.0, clear_high=0.0)
    room = Room(clock, measures="temperature humidity")
    told = [
        event
        for t in range(5)
        for measure in ("temperature", "humidity")
        for event in room.read(t, 20.0, measure, quality=Quality.CLOCK)
    ]
    assert [(event.subject, event.measure) for event in told] == [("shop/room", "")]


def test_z_is_silent_for_thirty_readings_and_five_minutes() -> None:
    """Not yet able to say is never written as normal: the score is NaN."""
    room = Room(a_rule(measures="", signal=Signal.Z, kind=Kind.ANOMALY, family="anomaly", high=6.0, clear_high=3.0))
    for i in range(31):
        room.read(10.0 * i, 20.0 + 0.2 * (i % 3))
    assert all(math.isnan(score) for score in room.scores[:30])
    assert room.scores[30] < 0.1
    (raised,) = room.read(310, 60.0)
    assert raised.evidence.score is not None
    assert raised.evidence.score > 6.0
    assert room.scores[-1] > 0.5


@pytest.mark.parametrize(("reached", "rings"), [(32.0, False), (33.0, True), (46.0, True), (7.0, False)])
def test_an_unusual_reading_rings_as_far_as_it_leads_towards_a_limit(reached: float, rings: bool) -> None:
    """A kitchen steams and a shop opens: at sixty standard deviations, and far from any danger."""
    z = a_rule(
        "z", "", signal=Signal.Z, kind=Kind.ANOMALY, family="anomaly", grade=1, high=6.0, clear_high=3.0, floor=0.5
    )
    room = Room(a_rule(high=46.0, delay_us=60_000_000), z)
    for i in range(40):
        room.read(10.0 * i, 20.0)
    assert [e.family for e in room.read(400, reached)] == ["anomaly"] * rings


def test_what_has_no_limit_has_no_reserve_to_use_up() -> None:
    """Nobody can say what an unusual reading of it means."""
    z = {"signal": Signal.Z, "kind": Kind.ANOMALY, "family": "anomaly", "high": 6.0, "clear_high": 3.0}
    told = {}
    for floor in (0.5, -math.inf):
        room = Room(a_rule("z", "", floor=floor, **z))
        for i in range(40):
            room.read(10.0 * i, 20.0)
        told[floor] = len(room.read(400, 60.0))
    assert told == {0.5: 0, -math.inf: 1}


def test_z_learns_nothing_while_a_limit_is_broken() -> None:
    """A fire does not become the sensor's normal temperature."""
    room = Room(
        a_rule(clear_high=49.0),
        a_rule("z", "", signal=Signal.Z, kind=Kind.ANOMALY, family="anomaly", high=6.0, clear_high=3.0),
    )
    for i in range(40):
        room.read(10.0 * i, 20.0)
    for i in range(40, 400):
        room.read(10.0 * i, 60.0)
    assert room.scores[-1] == room.scores[40]


def test_an_anomaly_is_lifted_to_yellow_while_a_limit_is_broken() -> None:
    """A score alone pages nobody; beside a pre-alarm it lifts by a grade."""
    z = a_rule("z", "", signal=Signal.Z, kind=Kind.ANOMALY, family="anomaly", grade=1, high=6.0, clear_high=3.0)
    told = {}
    for name, rules in (("alone", [z]), ("beside", [a_rule(high=30.0), z])):
        room = Room(*rules)
        for i in range(40):
            room.read(10.0 * i, 20.0)
        told[name] = [e.grade.word for e in room.read(400, 35.0) if e.family == "anomaly"]
    assert told == {"alone": ["blue"], "beside": ["yellow"]}
