"""Alarms of the engine in stories: latch, reset, grades, back-fills, silence, holes, packs."""

from __future__ import annotations

from schemas.alarms import AlarmEvent, Grade, Kind, State
from schemas.entries import ClockStepped, Entry, Sensor, Sensors, Tick
from schemas.readings import Origin, ReadingBatch
from schemas.rules import Rule, Signal
from streams.engine import Engine
from tests.engine_room import Room, a_rule, steps, us

S = 1_000_000
PRE = a_rule("pre", high=40.0, clear_high=35.0, grade=Grade.YELLOW)
FIRE = a_rule("fire", high=60.0, clear_high=50.0, latched=True)


def silence(name: str = "lost", **more: object) -> Rule:
    fixed = {"family": "silence", "kind": Kind.SILENCE, "grade": Grade.BLUE, "signal": Signal.SILENCE, "high": 60.0}
    return a_rule(name, "", **(fixed | {"periods": 3.0, "clear_readings": 2} | more))


def ticks(room: Room, start: int, end: int) -> list[AlarmEvent]:
    return [event for t in range(start, end) for event in room.tick(t)]


def test_one_alarm_rises_with_its_rules_and_a_latched_grade_stays() -> None:
    """One condition is one alarm, however many of its rules hold."""
    room = Room(PRE, FIRE)
    told = [e for t, v in enumerate((45.0, 65.0, 45.0, 20.0)) for e in room.read(t, v)]
    assert steps(told) == [("raised", "yellow"), ("regraded", "red"), ("cleared", "red")]
    assert len({e.key for e in told}) == 1
    assert [e.step for e in told] == [1, 2, 3]
    assert [e.previous.word for e in told] == ["none", "yellow", "red"]
    assert told[-1].latched
    assert not told[-1].active


def test_a_latched_alarm_that_returns_is_the_same_alarm_until_a_person_resets_it() -> None:
    room = Room(FIRE)
    told = [e for t, v in enumerate((65.0, 20.0, 65.0, 20.0)) for e in room.read(t, v)]
    assert [e.state.value for e in told] == ["raised", "cleared", "raised", "cleared"]
    assert len({e.key for e in told}) == 1
    events, answer = room.reset(told[1])
    assert (events, answer.accepted, answer.reason) == ([], False, "raised again")
    events, answer = room.reset(told[3])
    assert answer.accepted
    assert [(e.state, e.reason, e.step, e.latched) for e in events] == [(State.RESET, "ann", 5, False)]
    _, again = room.reset(told[3])
    assert (again.accepted, again.reason) == (False, "unknown")
    (raised,) = room.read(9, 65.0)
    assert raised.key != told[0].key
    assert room.reset(raised)[1].reason == "active"


def test_a_key_that_has_ended_is_never_used_again() -> None:
    """What follows starts at the ending event, even if its condition began before."""
    room = Room(
        a_rule("slow", high=30.0, delay_us=100 * S, clear_high=25.0), a_rule("fast", high=50.0, clear_high=45.0)
    )
    first = room.read(10, 40.0) + room.read(20, 60.0) + room.read(30, 40.0)
    second = room.read(70, 40.0) + room.read(110, 40.0)
    assert [e.onset_us for e in first + second] == [us(10), us(10), us(30)]


def test_a_backfill_that_is_over_is_told_as_history() -> None:
    """It pages nobody: raised and cleared, both late."""
    room = Room(FIRE)
    room.tick(0)
    room.read(0, 20.0)
    told = [e for t, v in ((1, 65.0), (2, 20.0)) for e in room.read(t, v, lag=1000.0, origin=Origin.REPLAY)]
    assert told == []
    told = room.read(3, 20.0, lag=1000.0, origin=Origin.REPLAY_END)
    assert [(e.state.value, e.late, e.event_us) for e in told] == [("raised", True, us(1)), ("cleared", True, us(2))]


def test_a_backfill_that_ends_in_alarm_pages_with_its_age() -> None:
    room = Room(FIRE)
    room.tick(2000)
    assert room.read(1000, 65.0, lag=1000.0, origin=Origin.REPLAY) == []
    assert ticks(room, 2001, 2005) == []
    (raised,) = room.tick(2005)
    assert (raised.late, raised.age_s, raised.event_us) == (False, 1005.0, us(1000))


def test_a_device_is_silent_after_its_periods_and_heard_after_two_arrivals() -> None:
    room = Room(silence(), measures="humidity")
    for t in range(5):
        room.tick(t)
        room.read(t + 0.5, 40.0)
    told = ticks(room, 5, 200)
    assert [(e.subject, e.onset_us, e.event_us) for e in told] == [("shop/room", us(4.5), us(65))]
    assert room.read(201, 40.0) == []
    (cleared,) = room.read(202, 40.0)
    assert (cleared.state, cleared.event_us) == (State.CLEARED, us(202))


def test_a_device_without_a_period_is_not_judged_silent() -> None:
    """A call point speaks only when it is pressed."""
    room = Room(silence(), measures="call_point")
    room.tick(0)
    room.read(0.5, 0.0)
    assert ticks(room, 1, 500) == []


def test_a_hole_in_the_ticks_is_our_blindness_not_the_devices_silence() -> None:
    """Silence stands still over it, and at least one period passes after it."""
    room = Room(silence(high=5.0, periods=0.0), measures="humidity")
    room.facts(period_s=2.0)
    room.tick(0)
    room.read(0.5, 40.0)
    blind = room.tick(1000)
    assert [(e.subject, e.family, e.state.value, e.onset_us) for e in blind] == [
        ("tocsin/engine-0", "blind", "raised", us(0)),
        ("tocsin/engine-0", "blind", "cleared", us(0)),
    ]
    told = ticks(room, 1001, 1020)
    assert [e.event_us for e in told] == [us(1005)]


def test_a_step_of_the_wall_clock_is_an_alarm_of_our_own_and_moves_nothing() -> None:
    room = Room(FIRE)
    told = room.apply(ClockStepped(3600 * S, us(5))) + room.apply(ClockStepped(-3600 * S, us(5)))
    assert [(e.family, e.state.value, e.evidence.value) for e in told] == [
        ("clock_step", "raised", 3600.0),
        ("clock_step", "cleared", 3600.0),
        ("clock_step", "raised", -3600.0),
        ("clock_step", "cleared", -3600.0),
    ]
    assert len({e.key for e in told}) == 2
    assert room.engine.now == 0


def test_a_tick_that_is_not_later_does_nothing() -> None:
    room = Room(FIRE)
    room.tick(100)
    assert room.tick(50) == []
    assert room.engine.now == us(100)


def test_a_rule_withdrawn_by_a_pack_takes_its_part_of_the_alarm() -> None:
    room = Room(PRE, FIRE)
    room.read(0, 65.0)
    assert room.activate(PRE) == [], "the latched grade stays"
    (withdrawn,) = room.activate(silence())
    assert (withdrawn.state, withdrawn.reason, withdrawn.active) == (State.WITHDRAWN, "pack", False)


def test_a_changed_grade_is_told_at_once() -> None:
    room = Room(PRE)
    room.read(0, 45.0)
    (regraded,) = room.activate(a_rule("pre", high=40.0, clear_high=35.0, grade=Grade.ORANGE))
    assert (regraded.state, regraded.grade, regraded.reason) == (State.REGRADED, Grade.ORANGE, "pack")


def test_timers_go_on_under_another_pack() -> None:
    """A changed limit is used from the next reading on; what was held counts."""
    room = Room(a_rule(delay_us=10 * S))
    room.read(0, 60.0)
    room.read(6, 60.0)
    assert room.activate(a_rule("new"), a_rule(delay_us=10 * S, high=55.0)) == []
    told = room.read(10, 60.0)
    assert {e.evidence.rule for e in told} == {"new"}
    assert told[0].onset_us == us(0)


def test_facts_may_come_before_the_sensor() -> None:
    room = Room(a_rule(measures="current", signal=Signal.RATED, high=1.0))
    room.apply(Sensors([]))
    room.facts(rated_current_a=10.0)
    room.sensors["current"] = Sensor(99, "shop", "room", "current")
    room.apply(Sensors([room.sensors["current"]]))
    assert steps(room.read(0, 11.0, "current")) == [("raised", "red")]


def test_unknown_and_malformed_readings_are_counted_and_left() -> None:
    room = Room(FIRE)
    room.sensors["ghost"] = Sensor(12345, "shop", "room", "temperature")
    assert room.read(0, 99.0, "ghost") == []
    assert room.read(0, float("nan"), "temperature") == []
    counted = room.engine.counters()
    assert (counted["unknown"], counted["malformed"], counted["judged"]) == (1, 1, 0)


def test_more_transitions_than_fit_are_taken_in_turns() -> None:
    """A batch in which every reading is an alarm outgrows the room for transitions; none is lost."""
    n = 6000
    engine = Engine(Room(FIRE).packs["first"], capacity=8192)
    ids = list(range(1, n + 1))
    engine.apply(Entry(1, Sensors([Sensor(i, "shop", f"room-{i}", "temperature") for i in ids])))
    batch = ReadingBatch.of(ids, [us(0)] * n, [us(0)] * n, [65.0] * n, [0] * n, [0] * n)
    events = engine.apply(Entry(2, batch)).events
    assert [e.device for e in events] == [f"room-{i}" for i in range(1, n + 1)]
    assert [e.seq for e in events] == list(range(1, n + 1))
    assert engine.apply(Entry(3, Tick(us(1)))).events == []
