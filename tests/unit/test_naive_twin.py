"""The naive twin against the tables of `docs/reference/detection.md`, written out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from schemas.alarms import AlarmEvent, Grade, Kind, State
from schemas.entries import DeviceFacts, Entry, PackActivated, Payload, ResetAsked, Sensor, Sensors, Tick
from schemas.identity import alarm_key, id_of
from schemas.measures import BY_NAME
from schemas.readings import Origin, ReadingBatch
from schemas.rules import Rule, RulePack, Signal, Watch
from scoring.naive import NaiveEngine
from scoring.naive_sensor import Phase, RuleState, SensorState, f32

S = 1_000_000
T0 = 1_700_000_000 * S
HOT = Rule(
    "hot",
    ("temperature",),
    "heat",
    Kind.FIRE,
    Grade.RED,
    high=56.0,
    clear_high=50.0,
    delay_us=10 * S,
    clear_delay_us=20 * S,
)

IDLE, P, A, C = Phase.IDLE, Phase.PENDING, Phase.ACTIVE, Phase.CLEARING
LIVES = [
    ("`for` counts while it holds and starts again when it does not", HOT,
     [(60, 0), (60, 5), (55, 5), (60, 5), (60, 5), (60, 5)], [P, P, IDLE, P, P, A]),
    ("between the limits an active rule stays active", HOT, [(60, 0), (60, 10), (53, 5), (53, 60)], [P, A, A, A]),
    ("clearing counts while it is safe and is over when it is not", HOT,
     [(60, 0), (60, 10), (49, 1), (49, 19), (51, 1), (49, 1), (49, 20)], [P, A, C, C, A, C, IDLE]),
    ("`band` keeps its sum between the limits", replace(HOT, band=True),
     [(60, 0), (60, 6), (53, 5), (60, 5), (60, 4)], [P, P, P, P, A]),
    ("`band` counts only from one that holds to one that holds", replace(HOT, band=True),
     [(60, 0), (53, 30), (60, 30), (60, 9), (60, 1)], [P, P, P, P, A]),
    ("`band` is lost when it is safe", replace(HOT, band=True), [(60, 0), (60, 9), (50, 1), (60, 1)], [P, P, IDLE, P]),
    ("no delay and one reading is at once", replace(HOT, delay_us=0), [(60, 0)], [A]),
    ("`readings` are needed beside the delay", replace(HOT, delay_us=0, readings=2), [(60, 0), (60, 1)], [P, A]),
    ("clearing without a delay wants its readings", replace(HOT, delay_us=0, clear_delay_us=0, clear_readings=2),
     [(60, 0), (49, 1), (49, 1)], [A, C, IDLE]),
    ("a floor holds a rule back, whatever its signal says", replace(HOT, delay_us=0, floor=100.0), [(60, 0)], [IDLE]),
]  # fmt: skip


@pytest.mark.parametrize(("claim", "rule", "readings", "phases"), LIVES, ids=[row[0] for row in LIVES])
def test_a_rules_life(claim: str, rule: Rule, readings: list[tuple[float, int]], phases: list[Phase]) -> None:
    state, t, found = RuleState(rule), T0, []
    for value, d in readings:
        t += d * S
        state.read(value, value, t, d * S)
        found.append(state.phase)
    assert found == phases, claim


class World:
    """One sensor of one device, and the twin that watches it."""

    def __init__(self, *rules: Rule, measure: str = "temperature") -> None:
        self.twin = NaiveEngine(RulePack("test", "v1", rules), read_pack=lambda toml, version: self.packs[version])
        self.packs: dict[str, RulePack] = {}
        self.key = f"shop/dev/{measure}"
        self.number = 0
        self.tell(Sensors([Sensor(id_of(self.key), "shop", "dev", measure)]))

    def tell(self, payload: Payload) -> Sequence[AlarmEvent]:
        self.number += 1
        verdict = self.twin.apply(Entry(self.number, payload))
        self.answers = verdict.answers
        return verdict.events

    def read(
        self, at: float, value: float, *, arrival: float | None = None, origin: int = Origin.LIVE
    ) -> Sequence[AlarmEvent]:
        """A reading `at` s after T0."""
        t = T0 + round(at * S)
        arrived = t if arrival is None else T0 + round(arrival * S)
        return self.tell(ReadingBatch.of([id_of(self.key)], [t], [arrived], [value], [0], [origin]))

    def tick(self, at: float) -> Sequence[AlarmEvent]:
        return self.tell(Tick(T0 + round(at * S)))


def test_an_alarm_lives_from_its_onset_under_one_key() -> None:
    world = World(replace(HOT, latched=True))
    assert not world.read(0, 60)
    (raised,) = world.read(10, 61)
    assert (raised.state, raised.grade, raised.previous, raised.step) == (State.RAISED, Grade.RED, Grade.NONE, 1)
    assert raised.onset_us == T0 and raised.key == alarm_key(world.key, "heat", T0)
    assert (raised.evidence.value, raised.evidence.limit, raised.evidence.held_s) == (61.0, 56.0, 10.0)
    world.read(20, 40)
    (cleared,) = world.read(40, 40)
    assert (cleared.state, cleared.latched, cleared.active, cleared.grade) == (State.CLEARED, True, False, Grade.RED)
    world.read(50, 60)
    (again,) = world.read(60, 60)
    assert (again.state, again.key, again.step) == (State.RAISED, raised.key, 3)


def test_a_reset_needs_a_cleared_alarm_and_the_newest_raise_seen() -> None:
    world = World(replace(HOT, latched=True, delay_us=0, clear_delay_us=0))
    (raised,) = world.read(0, 60)
    asked = ResetAsked("c1", raised.key, seen_step=1, by="li")
    world.tell(asked)
    assert (world.answers[0].accepted, world.answers[0].reason) == (False, "active")
    world.read(1, 40)
    world.read(2, 60)
    world.read(3, 40)
    world.tell(asked)
    assert world.answers[0].reason == "raised again"
    (reset,) = world.tell(replace_step(asked, 3))
    assert (reset.state, reset.reason, reset.latched, world.answers[0].accepted) == (State.RESET, "li", False, True)
    world.tell(asked)
    assert world.answers[0].reason == "unknown"


def replace_step(asked: ResetAsked, step: int) -> ResetAsked:
    return ResetAsked(asked.command, asked.alarm, step, asked.by)


def test_no_key_comes_twice() -> None:
    """A pending rule whose since lies before the end of the last life starts its alarm at that end."""
    world = World(
        replace(HOT, id="a", delay_us=0, clear_delay_us=0),
        replace(HOT, id="b", high=45.0, clear_high=30.0, delay_us=30 * S, grade=Grade.YELLOW),
    )
    (first,) = world.read(0, 60)
    (cleared,) = world.read(5, 48)
    (second,) = world.read(40, 48)
    assert (first.onset_us, cleared.state, second.onset_us) == (T0, State.CLEARED, T0 + 5 * S)
    assert second.key != first.key


def test_the_grade_is_the_highest_that_holds_and_a_latched_one_stays() -> None:
    world = World(
        replace(HOT, id="low", high=40.0, clear_high=30.0, grade=Grade.YELLOW, delay_us=0),
        replace(HOT, id="high", delay_us=0, clear_delay_us=0, latched=True),
    )
    assert world.read(0, 45)[0].grade is Grade.YELLOW
    (up,) = world.read(1, 60)
    assert (up.state, up.grade, up.previous, up.evidence.rule) == (State.REGRADED, Grade.RED, Grade.YELLOW, "high")
    assert not world.read(2, 45), "the latched red stays while anything holds"


def test_a_wrong_clock_is_judged_by_arrival_from_the_third_reading_on() -> None:
    world = World(replace(HOT, delay_us=15 * S))
    for i in range(2):
        world.read(i * 10, 60, arrival=i * 10 + 1000)
    assert world.twin.counts["backfill"] == 2
    assert not world.read(20, 60, arrival=1020), "the base of time changed: nothing was held over it"
    found = world.read(30, 60, arrival=1030)
    assert found[0].event_us == T0 + 1030 * S
    assert world.twin.counts["clock"] == 2


def test_a_backlog_sent_in_a_burst_is_a_back_fill_not_a_wrong_clock() -> None:
    world = World(HOT)
    for i in range(10):
        world.read(i * 10, 20, arrival=1000 + i * 0.01)
    assert (world.twin.counts["backfill"], world.twin.counts["clock"]) == (10, 0)


def test_a_back_fill_pages_once_if_it_is_still_true_and_tells_the_rest_as_history() -> None:
    world = World(replace(HOT, delay_us=0, clear_delay_us=0))
    world.tick(5000)
    for at, value in ((0, 60), (10, 40), (20, 60)):
        assert not world.read(at, value, arrival=5000, origin=Origin.REPLAY)
    told = world.read(30, 60, arrival=5000, origin=Origin.REPLAY_END)
    assert [(e.state, e.late, e.active) for e in told] == [
        (State.RAISED, True, True), (State.CLEARED, True, False), (State.RAISED, False, True),
    ]  # fmt: skip
    assert told[2].age_s == 4980.0 and told[0].key == told[1].key != told[2].key


def test_a_back_fill_ends_after_five_quiet_seconds() -> None:
    world = World(replace(HOT, delay_us=0))
    world.tick(5000)
    assert not world.read(0, 60, arrival=5000)
    assert not world.tick(5004)
    assert world.tick(5005)[0].state is State.RAISED


def test_a_held_flag_completes_at_the_tick_after_its_delay() -> None:
    rule = Rule("tamper", ("tamper",), "tamper", Kind.FAULT, Grade.YELLOW, high=1.0, clear_high=0.0, delay_us=5 * S)
    world = World(rule, measure="tamper")
    world.tick(0)
    world.read(0.5, 1.0)
    assert not world.tick(5)
    (raised,) = world.tick(6)
    assert (raised.event_us, raised.onset_us, raised.evidence.held_s) == (T0 + 6 * S, T0 + S // 2, 5.5)


SILENT = Rule("lost", (), "silence", Kind.SILENCE, Grade.BLUE, Signal.SILENCE, high=30.0, periods=3.0, clear_readings=2)


def test_silence_is_the_devices_and_needs_a_period() -> None:
    world = World(SILENT)
    world.read(0, 20)
    assert not [e for s in range(1, 100) for e in world.tick(s)]
    world.tell(DeviceFacts("shop", "dev", period_s=20.0))
    (raised,) = world.tick(100)
    assert (raised.subject, raised.measure, raised.onset_us) == ("shop/dev", "", T0)
    assert (raised.evidence.value, raised.evidence.limit) == (100.0, 60.0)
    assert not world.read(101, 20)
    (cleared,) = world.read(102, 20)
    assert (cleared.state, cleared.event_us) == (State.CLEARED, T0 + 102 * S)


def test_a_hole_in_the_ticks_is_ours_and_no_silence() -> None:
    world = World(replace(SILENT, periods=0.0))
    world.tell(DeviceFacts("shop", "dev", period_s=10.0))
    world.read(0, 20)
    world.tick(5)
    blind = world.tick(65)
    assert [(e.family, e.state, e.kind) for e in blind] == [
        ("blind", State.RAISED, Kind.OPERATION), ("blind", State.CLEARED, Kind.OPERATION),
    ]  # fmt: skip
    found = [e for s in range(66, 100) for e in world.tick(s)]
    assert [e.event_us for e in found] == [T0 + 90 * S], "25 of the 30 s were still to come"


def test_watch_sorts_devices_by_period_and_supply() -> None:
    fire, daily = replace(SILENT, id="f", watch=Watch.FIRE), replace(SILENT, id="d", watch=Watch.DAILY)
    for facts, rule in (
        ({"period_s": 1.0}, "lost"), ({"period_s": 1.0, "supply": "mains"}, "f"), ({"period_s": 21_600.0}, "d"),
    ):  # fmt: skip
        world = World(SILENT, fire, daily)
        world.tell(DeviceFacts("shop", "dev", **facts))  # type: ignore[arg-type]
        world.read(0, 20)
        device = world.twin._devices["shop/dev"]
        assert (
            device.watch(device.expected_period or 0.0) is {"lost": Watch.ANY, "f": Watch.FIRE, "d": Watch.DAILY}[rule]
        )


def test_a_pack_without_the_rule_withdraws_its_alarm_and_keeps_the_others_timers() -> None:
    other = replace(HOT, id="other", family="else", delay_us=20 * S)
    world = World(replace(HOT, delay_us=0), other)
    world.read(0, 60)
    world.packs["v2"] = RulePack("test", "v2", (other,))
    (withdrawn,) = world.tell(PackActivated("v2", ""))
    assert (withdrawn.state, withdrawn.reason) == (State.WITHDRAWN, "pack")
    (raised,) = world.read(20, 60)
    assert (raised.family, raised.onset_us) == ("else", T0)


def test_the_rate_of_a_ramp_is_its_slope() -> None:
    """For any dt, once the filters have settled; that is why there are two of them and no exp."""
    rate = Rule("r", ("temperature",), "heat", Kind.FIRE, Grade.YELLOW, Signal.RATE, high=1e9)
    for dt in (1, 4, 10):
        world = World(rate)
        for i in range(400 // dt):
            world.read(i * dt, i * dt * 0.1)
        sensor = next(iter(world.twin._sensors.values()))
        assert sensor.signal(Signal.RATE, 0.0, 0, None, None) == pytest.approx(6.0, rel=0.01)


def test_scores_say_nothing_before_thirty_readings_and_five_minutes() -> None:
    world = World()
    batch = ReadingBatch.of(
        [id_of(world.key)] * 40, [T0 + i * 10 * S for i in range(40)], [T0] * 40, [20.0] * 40, [0] * 40, [0] * 40
    )
    scores = world.twin.apply(Entry(99, batch)).scores
    assert all(math.isnan(s) for s in scores[:30]) and scores[30:] == [0.0] * 10


def test_float32_is_rounded_like_a_store() -> None:
    assert f32(0.1) == 0.10000000149011612 and f32(1e300) == math.inf
    assert SensorState(Sensor(1, "e", "d", "smoke"), BY_NAME["smoke"]).base == f32(0.1)
