"""Logs that hypothesis makes: few sensors, short times, every oddity, so that rules meet in all their phases."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from schemas.alarms import Grade, Kind
from schemas.entries import (
    ClockStepped,
    DeviceFacts,
    Entry,
    PackActivated,
    Payload,
    ResetAsked,
    Sensor,
    Sensors,
    Tick,
)
from schemas.readings import ReadingBatch
from schemas.rules import Override, Rule, RulePack, Signal, Watch
from streams.packs import load_pack

START = 1_790_000_000_000_000
S = 1_000_000


def rule(name: str, measures: str, family: str, grade: Grade, **more: Any) -> Rule:
    kind = more.pop("kind", Kind.FIRE)
    return Rule(name, tuple(measures.split()), family, kind, grade, **more)


TIGHT = RulePack(
    "tight",
    "tight-1",
    (
        rule("t.pre", "temperature", "heat", Grade.YELLOW, high=46.0, clear_high=42.0, delay_us=2 * S,
             clear_delay_us=3 * S, max_gap_us=2 * S),
        rule("t.fire", "temperature", "heat", Grade.RED, high=56.0, clear_high=50.0, delay_us=S, clear_delay_us=S,
             latched=True),
        rule("t.rate", "temperature smoke", "heat", Grade.ORANGE, signal=Signal.RATE, high=4.0, floor=30.0,
             clear_high=2.0, delay_us=S, latched=True),
        rule("t.band", "temperature value", "band", Grade.ORANGE, high=30.0, clear_high=20.0, delay_us=4 * S, band=True,
             low=-20.0, readings=2, clear_low=-10.0),
        rule("s.pre", "smoke", "smoke", Grade.YELLOW, signal=Signal.ABOVE_BASELINE, high=0.6, clear_high=0.3),
        rule("s.heavy", "smoke", "smoke", Grade.RED, high=10.0, readings=2, clear_high=6.0, clear_readings=2,
             latched=True),
        rule("s.dirty", "smoke temperature", "dirt", Grade.BLUE, signal=Signal.BASELINE, high=0.1002, clear_high=0.1001,
             kind=Kind.FAULT),
        rule("flag", "smoke_alarm", "smoke", Grade.RED, high=1.0, clear_high=0.0, clear_delay_us=3 * S, latched=True),
        rule("bat1", "battery", "battery", Grade.BLUE, low=20.0, clear_low=30.0, delay_us=4 * S, clear_delay_us=4 * S,
             kind=Kind.FAULT),
        rule("bat2", "battery", "battery", Grade.YELLOW, low=5.0, clear_low=15.0, delay_us=2 * S, band=True,
             kind=Kind.FAULT),
        rule("batz", "battery", "anomaly", Grade.BLUE, signal=Signal.Z, high=3.0, clear_high=2.0, delay_us=2 * S,
             kind=Kind.ANOMALY),
        rule("load", "current", "load", Grade.ORANGE, signal=Signal.RATED, high=1.13, clear_high=1.0, delay_us=2 * S,
             kind=Kind.ELECTRICAL),
        rule("home", "gas", "gas", Grade.ORANGE, high=10.0, clear_high=7.0, profile="gas.home", kind=Kind.GAS),
        rule("range", "", "range", Grade.BLUE, signal=Signal.RANGE, high=3.0, clear_high=1.0, kind=Kind.FAULT),
        rule("stuck", "", "stuck", Grade.BLUE, signal=Signal.STUCK, high=90.0, clear_high=0.0, kind=Kind.FAULT),
        rule("clock", "", "clock", Grade.BLUE, signal=Signal.CLOCK, high=2.0, clear_high=0.0, kind=Kind.FAULT),
        rule("clock.more", "", "clock", Grade.YELLOW, signal=Signal.CLOCK, high=3.0, clear_high=0.0, delay_us=S,
             kind=Kind.FAULT),
        rule("z", "", "anomaly", Grade.BLUE, signal=Signal.Z, high=6.0, clear_high=3.0, readings=2, clear_readings=2,
             kind=Kind.ANOMALY),
        rule("lost", "", "silence", Grade.BLUE, signal=Signal.SILENCE, high=8.0, periods=3.0, clear_readings=2,
             kind=Kind.SILENCE),
        rule("lost2", "", "silence", Grade.ORANGE, signal=Signal.SILENCE, high=20.0, periods=3.0, clear_readings=1,
             kind=Kind.SILENCE),
        rule("lost.fire", "", "silence", Grade.YELLOW, signal=Signal.SILENCE, high=6.0, watch=Watch.FIRE,
             clear_readings=3, kind=Kind.SILENCE),
        rule("lost.daily", "", "silence", Grade.RED, signal=Signal.SILENCE, high=30.0, watch=Watch.DAILY,
             kind=Kind.SILENCE, latched=True),
        rule("value.silence", "value", "silence", Grade.BLUE, high=100.0, clear_high=90.0, kind=Kind.FAULT,
             delay_us=2 * S),
        rule("z.near", "", "anomaly", Grade.YELLOW, signal=Signal.Z, high=4.0, clear_high=3.0, floor=0.3,
             kind=Kind.ANOMALY),
    ),
)  # fmt: skip


def _but(pack: RulePack, name: str, **changes: dict[str, Any]) -> RulePack:
    rules = [replace(r, **changes.get(r.id.replace(".", "_"), {})) for r in pack.rules]
    return replace(pack, name=name, version=f"{name}-1", rules=tuple(r for r in rules if r.grade))


LOOSE = _but(
    TIGHT,
    "loose",
    t_fire={"grade": Grade.NONE},
    t_pre={"high": 44.0, "grade": Grade.ORANGE},
    t_band={"family": "other"},
    s_heavy={"latched": False, "grade": Grade.ORANGE},
    z={"high": 4.0},
    lost={"grade": Grade.YELLOW},
    lost2={"grade": Grade.NONE},
    bat1={"grade": Grade.NONE},
    clock={"grade": Grade.ORANGE, "latched": True},
    s_dirty={"grade": Grade.NONE},
)
OVERRIDDEN = replace(
    TIGHT,
    name="overridden",
    version="overridden-1",
    overrides=(
        Override(replace(TIGHT.rules[0], high=60.0, grade=Grade.RED), heat_class="B"),
        Override(TIGHT.rules[1], heat_class="B", off=True),
        Override(replace(TIGHT.rules[0], high=20.0), enterprise="e2"),
        Override(replace(TIGHT.rules[4], high=0.2), device="e1/d1"),
        Override(replace(TIGHT.rules[18], high=3.0), trade="bakery"),
        Override(TIGHT.rules[18], device="e2/d1", off=True),
    ),
)
TIGHT, LOOSE, OVERRIDDEN = (replace(pack, toml=pack.name) for pack in (TIGHT, LOOSE, OVERRIDDEN))
DEFAULT = replace(load_pack(), toml="default")
PACKS = {pack.name: pack for pack in (TIGHT, LOOSE, OVERRIDDEN, DEFAULT)}
"""By name, which stands for their TOML."""

SENSORS = [
    Sensor(i << 40 | i * 7919, enterprise, device, measure, channel)
    for i, (enterprise, device, measure, channel) in enumerate(
        [
            ("e1", "d1", "temperature", ""),
            ("e1", "d1", "smoke", ""),
            ("e1", "d1", "smoke_alarm", ""),
            ("e1", "d2", "current", "L1"),
            ("e1", "d2", "battery", ""),
            ("e2", "d1", "temperature", "2"),
            ("e2", "d1", "value", ""),
            ("e2", "d2", "gas", ""),
        ],
        1,
    )
]
LEVELS = {
    "temperature": [20.0, 25.0, 43.0, 47.0, 51.0, 57.0, 95.0, -21.0, 160.0, 31.0],
    "smoke": [0.1, 0.4, 0.8, 3.0, 11.0, 0.2, 200.0],
    "smoke_alarm": [0.0, 1.0],
    "current": [3.0, 10.0, 16.0, 19.0, 40.0],
    "battery": [80.0, 25.0, 19.0, 10.0, 4.0, 16.0, 31.0],
    "value": [0.0, 50.0, 110.0, -30.0, 95.0, 31.0],
    "gas": [0.0, 8.0, 12.0, 60.0],
}


def read_pack(toml: str, version: str) -> RulePack:
    return PACKS[toml]


@st.composite
def logs(draw: st.DrawFn, most: int = 60) -> list[Payload]:
    """A log: arrivals and ticks go on, times of readings do as they like."""
    wall = START
    payloads: list[Payload] = []
    if draw(st.booleans()):
        payloads.append(PackActivated(TIGHT.version, "tight"))
    first = draw(st.integers(0, len(SENSORS)))
    payloads.append(Sensors(SENSORS[:first]))
    recent: list[tuple[int, int]] = []
    for _ in range(draw(st.integers(1, most))):
        wall += draw(st.sampled_from([1, 50_000, S // 2, S, S, 3 * S, 7 * S, 12 * S, 400 * S, 4 * 3600 * S]))
        what = draw(st.sampled_from("rrrrrrrrrrttttttfphcsbaq"))
        if what == "t":
            payloads.append(Tick(wall))
        elif what == "q":
            for _ in range(draw(st.integers(2, 12))):
                wall += S
                payloads.append(Tick(wall))
        elif what == "s":
            payloads.append(Sensors(SENSORS[: draw(st.integers(0, len(SENSORS)))]))
        elif what == "f":
            payloads.append(draw(_facts()))
        elif what == "p":
            name = draw(st.sampled_from(sorted(PACKS)))
            payloads.append(PackActivated(PACKS[name].version, name))
        elif what == "c":
            payloads.append(ClockStepped(draw(st.sampled_from([-20, 3600])) * S, wall))
        elif what == "h":
            payloads.append(ResetAsked("c", f"last {draw(st.integers(0, 3))}", draw(st.integers(0, 4)), "ann"))
        elif what == "b":
            payloads.append(_backfill(draw, wall))
        elif what == "a":
            payloads.append(_run(draw, wall))
            wall = int(payloads[-1].arrival_time[-1])
        else:
            behind = draw(st.sampled_from([0, 0, 0, 0, 5 * S, 40 * S]))
            rows = [_reading(draw, wall - behind + i, recent) for i in range(draw(st.integers(1, 4)))]
            payloads.append(ReadingBatch.of(*zip(*rows, strict=True)))
    return payloads


def _reading(draw: st.DrawFn, arrival: int, recent: list[tuple[int, int]]) -> tuple[int, int, int, float, int, int]:
    sensor = draw(st.sampled_from(SENSORS))
    values = [*LEVELS[sensor.measure], math.nan] if draw(st.integers(0, 30)) == 0 else LEVELS[sensor.measure]
    lag = draw(st.sampled_from([0, 0, 0, 0, 10_000, 2 * S, -2 * S, 299 * S, 301 * S, 400 * S, 5000 * S]))
    t = arrival - lag
    if recent and draw(st.integers(0, 9)) == 0:
        _, t = draw(st.sampled_from(recent[-5:]))
    recent.append((sensor.id, t))
    quality = draw(st.sampled_from([0, 0, 0, 0, 1, 2]))
    origin = draw(st.sampled_from([0, 0, 0, 0, 1, 2]))
    return sensor.id, t, arrival, draw(st.sampled_from(values)), quality, origin


def _backfill(draw: st.DrawFn, arrival: int) -> ReadingBatch:
    """An array of old readings of one sensor in one message."""
    sensor = draw(st.sampled_from(SENSORS))
    n = draw(st.integers(1, 12))
    step = draw(st.sampled_from([S, 5 * S, 60 * S]))
    age = draw(st.sampled_from([200 * S, 1000 * S, 20_000 * S]))
    times = [arrival - age + i * step for i in range(n)]
    values = [draw(st.sampled_from(LEVELS[sensor.measure])) for _ in range(n)]
    last = draw(st.sampled_from([1, 2]))
    return ReadingBatch.of([sensor.id] * n, times, [arrival] * n, values, [0] * n, [1] * (n - 1) + [last])


def _run(draw: st.DrawFn, arrival: int) -> ReadingBatch:
    """Many readings of one sensor in steady steps: enough for warm-ups, stuck values and wrong clocks."""
    sensor = draw(st.sampled_from(SENSORS))
    n = draw(st.sampled_from([3, 35, 110]))
    step = draw(st.sampled_from([S, 10 * S]))
    lag = draw(st.sampled_from([0, 0, 0, 1000 * S]))
    noise = draw(st.sampled_from([0.0, 0.1]))
    level = draw(st.sampled_from(LEVELS[sensor.measure][:2]))
    arrivals = [arrival + i * step for i in range(n)]
    values = [level + noise * ((i * 37) % 11 - 5) for i in range(n)]
    if draw(st.booleans()):
        values[-2:] = [draw(st.sampled_from(LEVELS[sensor.measure]))] * 2
    return ReadingBatch.of([sensor.id] * n, [a - lag for a in arrivals], arrivals, values, [0] * n, [0] * n)


def _facts() -> st.SearchStrategy[DeviceFacts]:
    return st.builds(
        DeviceFacts,
        st.sampled_from(["e1", "e2"]),
        st.sampled_from(["d1", "d2"]),
        rated_current_a=st.sampled_from([None, 16.0, 0.0]),
        period_s=st.sampled_from([None, None, 1.0, 2.5, 86_400.0, math.inf]),
        supply=st.sampled_from([None, "mains", "battery"]),
        heat_class=st.sampled_from([None, "A1", "B"]),
        trade=st.sampled_from([None, "bakery"]),
        profiles=st.sampled_from([(), ("gas.home",)]),
    )


def numbered(payloads: list[Payload]) -> list[Entry]:
    return [Entry(number, payload) for number, payload in enumerate(payloads, 1)]


def pointed(entry: Entry, events: list[Any]) -> Entry:
    """A reset names an alarm by how long ago it last stepped; here the name becomes a key."""
    if not isinstance(entry.payload, ResetAsked) or not events:
        return entry
    back = int(entry.payload.alarm.split()[1])
    key = events[max(0, len(events) - 1 - back)].key
    return Entry(entry.number, ResetAsked(entry.payload.command, key, entry.payload.seen_step, entry.payload.by))
