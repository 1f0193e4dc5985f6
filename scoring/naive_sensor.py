"""One sensor of the naive twin: filters, signals and the life of its rules, as `docs/reference/detection.md` says.

Nothing here is fast. Floats are Python's (float64); `f32` rounds what the page calls "stored as float32".
"""

from __future__ import annotations

import math
from ctypes import c_float
from dataclasses import dataclass, field
from enum import IntEnum

from schemas.alarms import Grade
from schemas.entries import Sensor
from schemas.measures import Measure, Reporting
from schemas.rules import Rule, Signal

LATE_US = 300_000_000
STEADY_LAG_US = 10_000_000
LONGEST_S = 1e9
"""A longer period counts as this."""
MOST = 65_535
"""Where counts stop."""


def f32(x: float) -> float:
    """Round to float32 and back; overflow gives an infinity, as in a compiled store."""
    return c_float(x).value


def finite(limit: float) -> float | None:
    return limit if math.isfinite(limit) else None


class Phase(IntEnum):
    IDLE = 0
    PENDING = 1
    ACTIVE = 2
    CLEARING = 3


@dataclass(slots=True)
class Transition:
    """A rule began (`up`) or ceased to hold its alarm, and what it saw."""

    state: RuleState
    up: bool
    value: float | None
    limit: float | None
    held_s: float


@dataclass(slots=True)
class RuleState:
    """Where one rule stands on one sensor (or one device, for silence)."""

    rule: Rule
    phase: Phase = Phase.IDLE
    since: int = 0
    held: int = 0
    count: int = 0
    held_before: bool = False
    """It held at the reading before; time in band counts between two readings that both hold."""
    lifted: bool = False
    """An anomaly that began while a tier 0 rule held its alarm."""
    last_s: float = math.nan

    @property
    def holds_alarm(self) -> bool:
        return self.phase in (Phase.ACTIVE, Phase.CLEARING)

    @property
    def grade(self) -> Grade:
        return max(self.rule.grade, Grade.YELLOW) if self.lifted else self.rule.grade

    def up(self, s: float | None, waited: int = 0) -> Transition:
        self.phase = Phase.ACTIVE
        limit = self.rule.high if s is None or s >= self.rule.high else self.rule.low
        return Transition(self, True, s, finite(limit), (self.held + waited) / 1e6)

    def down(self, s: float | None, waited: int = 0) -> Transition:
        self.phase = Phase.IDLE
        limit = self.rule.clear_high if math.isfinite(self.rule.clear_high) else self.rule.clear_low
        return Transition(self, False, s, finite(limit), (self.held + waited) / 1e6)

    def read(self, s: float, x: float, t: int, d: int) -> Transition | None:
        """One reading: the table "A rule's life". x: what the floor is compared with."""
        rule = self.rule
        holds = (s >= rule.high or s <= rule.low) and x >= rule.floor
        safe = rule.clear_low <= s <= rule.clear_high
        held_before, self.held_before = self.held_before, holds
        self.last_s = s
        if self.phase is Phase.IDLE:
            if holds:
                self.phase, self.since, self.held, self.count = Phase.PENDING, t, 0, 1
        elif self.phase is Phase.PENDING:
            if holds:
                if held_before or not rule.band:
                    self.held += d
                self.count = min(self.count + 1, MOST)
            elif safe or not rule.band:
                self.phase = Phase.IDLE
        elif safe:
            if self.phase is Phase.ACTIVE:
                self.phase, self.held, self.count = Phase.CLEARING, 0, 1
            else:
                self.held += d
                self.count = min(self.count + 1, MOST)
        else:
            self.phase = Phase.ACTIVE
        if self.phase is Phase.PENDING and holds and self.held >= rule.delay_us and self.count >= rule.readings:
            return self.up(s)
        if self.phase is Phase.CLEARING and self.held >= rule.clear_delay_us and self.count >= rule.clear_readings:
            return self.down(s)
        return None

    def wait(self, waited: int, s: float | None) -> Transition | None:
        """A tick while an on_change value is held, `waited` µs after the arrival of its last reading."""
        rule, held = self.rule, self.held + waited
        if self.phase is Phase.PENDING and self.held_before:
            if held >= rule.delay_us and self.count >= rule.readings:
                return self.up(s, waited)
        elif self.phase is Phase.CLEARING and held >= rule.clear_delay_us and self.count >= rule.clear_readings:
            return self.down(s, waited)
        return None


@dataclass(slots=True)
class SensorState:
    """Everything the twin remembers of one sensor."""

    sensor: Sensor
    measure: Measure
    rules: dict[str, RuleState] = field(default_factory=dict)
    # When it was read.
    newest: int | None = None
    arrival: int = 0
    by_arrival: bool = False
    """The base of time is the arrival: its clock is wrong by a steady lag."""
    late_row: int = 0
    late_lag: int = 0
    late_arrival: int = 0
    period: float | None = None
    gaps: int = 0
    # Filters.
    samples: int = 0
    fast: float = 0.0
    slow: float = 0.0
    smoke_samples: int = 0
    base: float = f32(0.1)
    dec: float = f32(0.1)
    n: int = 0
    age_us: int = 0
    """Sum of all dt: how long it has been watched."""
    mean: float = 0.0
    var: float = 0.0
    # What the fault rules count.
    last: float = math.nan
    same_since: int = 0
    same_count: int = 0
    out_of_range: list[bool] = field(default_factory=list)
    clock_faults: int = 0
    # A back-fill that is open.
    backfill_open: bool = False
    backfill_now: int = 0

    @property
    def on_change(self) -> bool:
        return self.measure.reporting is Reporting.ON_CHANGE

    @property
    def tier0_holds(self) -> bool:
        return any(r.holds_alarm for r in self.rules.values() if r.rule.signal is not Signal.Z)

    def is_last(self, x: float) -> bool:
        return f32(x) == self.last

    def expected_period(self, declared: float | None) -> float:
        if declared is not None:
            return declared
        return self.measure.period_s if self.period is None else min(self.period, LONGEST_S)

    def longest_gap_us(self, rule: Rule, period: float) -> int | None:
        """G(rule): of a longer gap only so much counts; None where a value holds until the next."""
        return None if self.on_change else max(rule.max_gap_us, int(2.5 * period * 1e6))

    def clock_is_wrong(self, t: int, arrival: int, live: bool) -> bool:
        """Rule 2 of a reading; call it once for every reading that is no duplicate."""
        lag = arrival - t
        if lag <= LATE_US or not live:
            self.late_row = 0
            return False
        apart = arrival - self.late_arrival
        between = t - (self.late_arrival - self.late_lag)
        steady = self.late_row > 0 and abs(lag - self.late_lag) <= STEADY_LAG_US and 2 * apart >= between
        self.late_row = self.late_row + 1 if steady else 1
        self.late_lag, self.late_arrival = lag, arrival
        return self.late_row >= 3

    def filter(self, x: float, dt_us: int, gs: float, restart: bool) -> None:
        """Move the filters that a rule of the sensor needs by one reading; gs in s."""
        dt = dt_us / 1e6
        d = min(dt, gs)
        signals = {r.rule.signal for r in self.rules.values()}
        if Signal.RATE in signals:
            if self.samples == 0 or dt > gs or restart:
                self.fast = self.slow = f32(x)
                self.samples = 1
            else:
                self.fast = f32(self.fast + dt / (5.0 + dt) * (x - self.fast))
                self.slow = f32(self.slow + dt / (30.0 + dt) * (x - self.slow))
                self.samples += 1
        if signals & {Signal.BASELINE, Signal.ABOVE_BASELINE}:
            self.dec = f32(self.dec + max(-0.2 * d, min(0.2 * d, x - self.dec)))
            if self.dec - self.base <= 1.0:
                self.base = f32(self.base + (x - self.base) * d / (604800.0 + d))
            self.smoke_samples += 1

    def count_faults(self, x: float, t: int, out_of_range: bool, clock_fault: bool, restart: bool) -> None:
        if f32(x) == self.last and not restart:
            self.same_count += 1
        else:
            self.last, self.same_since, self.same_count = f32(x), t, 1
        self.out_of_range = [*self.out_of_range[-4:], out_of_range]
        self.clock_faults = min(self.clock_faults + 1, 255) if clock_fault else 0

    def sigma(self) -> float:
        prior = self.measure.prior
        floor = max(self.measure.resolution / 2, prior / 4, 1e-6 * (1 + abs(self.mean)))
        return max(math.sqrt(self.var), floor)

    def z(self, x: float) -> float | None:
        """(x − mean)/σ before learning from x, None while not able to say."""
        if self.measure.flag or self.n < 30 or self.age_us < 300_000_000:
            return None
        return (x - self.mean) / self.sigma()

    def reserve_used(self, x: float, rated: float | None) -> float:
        """How much of the way from the mean to the first limit on x's side it has gone; 0 without a limit."""
        high, low = [math.inf], [-math.inf]
        for rule in (state.rule for state in self.rules.values()):
            if rule.signal is Signal.VALUE:
                high, low = [*high, rule.high], [*low, rule.low]
            elif rule.signal is Signal.RATED and rated:
                high, low = [*high, rule.high * rated], [*low, rule.low * rated]
            elif rule.signal is Signal.ABOVE_BASELINE and self.smoke_samples >= 2:
                high, low = [*high, rule.high + self.base], [*low, rule.low + self.base]
        way = min(high) - self.mean if x >= self.mean else self.mean - max(low)
        return abs(x - self.mean) / way if way > 0 else math.inf

    def learn(self, x: float, dt_us: int, gs: float, frozen: bool) -> None:
        """Move mean and variance by one reading; `frozen` while a tier 0 rule holds its alarm."""
        if self.n == 0:
            self.mean, self.var = f32(x), f32(self.measure.prior * self.measure.prior)
        if not frozen:
            d = min(dt_us / 1e6, gs)
            alpha = d / (3600.0 + d)
            e = x - self.mean
            if self.n < 30:
                alpha = max(alpha, 1 / (self.n + 1))
            else:
                reach = 3 * self.sigma()
                e = max(-reach, min(reach, e))
            self.mean = f32(self.mean + alpha * e)
            self.var = f32(self.var + alpha * (e * e - self.var))
        self.n = min(self.n + 1, MOST)

    def learn_period(self, dt_us: int) -> None:
        dt = dt_us / 1e6
        p = self.period
        self.period = f32(dt if p is None else p + (min(dt, 4 * p) - p) / 8)
        self.gaps += 1

    def signal(self, signal: Signal, x: float, t: int, z: float | None, rated: float | None) -> float | None:
        """s of this reading; None while not able to say."""
        match signal:
            case Signal.VALUE:
                return x
            case Signal.RATED:
                return x / rated if rated else None
            case Signal.RATE:
                return 60 * (self.fast - self.slow) / 25 if self.samples >= 3 else None
            case Signal.ABOVE_BASELINE:
                return self.dec - self.base if self.smoke_samples >= 2 else None
            case Signal.BASELINE:
                return self.base if self.smoke_samples >= 2 else None
            case Signal.RANGE:
                return float(sum(self.out_of_range))
            case Signal.STUCK:
                return (t - self.same_since) / 1e6 if self.same_count >= 100 else 0.0
            case Signal.CLOCK:
                return float(self.clock_faults)
            case Signal.Z:
                return None if z is None else abs(z)
        return None
