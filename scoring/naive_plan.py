"""Which rules hold for whom, and what the naive twin remembers of a device.

See "Packs and facts" and "Silence" in `docs/reference/detection.md`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from schemas.entries import DeviceFacts
from schemas.rules import Override, Rule, RulePack, Signal, Watch
from scoring.naive_sensor import LONGEST_S, RuleState, SensorState

DAILY_S = 21_600.0
FIRE_MEASURES = frozenset({"smoke", "smoke_alarm", "temperature", "gas", "co"})
_NO_MEASURE_NEEDED = frozenset({Signal.RANGE, Signal.STUCK, Signal.CLOCK, Signal.Z})
_DEVICE_FAMILIES = frozenset({"silence", "clock"})


@dataclass(slots=True)
class DeviceState:
    """What the twin remembers of one device."""

    enterprise: str
    device: str
    facts: DeviceFacts
    sensors: list[SensorState] = field(default_factory=list)
    rules: dict[str, RuleState] = field(default_factory=dict)
    last_heard: int | None = None

    @property
    def key(self) -> str:
        return f"{self.enterprise}/{self.device}"

    @property
    def declared_period(self) -> float | None:
        return known(self.facts.period_s)

    @property
    def expected_period(self) -> float | None:
        """T: declared, else the smallest that was learned from three gaps or more."""
        learned = [
            min(s.period, LONGEST_S) for s in self.sensors if s.period is not None and s.gaps >= 3 and not s.on_change
        ]
        return self.declared_period or min(learned, default=None)

    def watch(self, period: float) -> Watch:
        if period >= DAILY_S:
            return Watch.DAILY
        guards = any(s.measure.name in FIRE_MEASURES for s in self.sensors)
        return Watch.FIRE if guards and self.facts.supply in ("mains", "gateway") else Watch.ANY


def known(fact: float | None) -> float | None:
    """A declared number, if it can be one."""
    if fact is None or not math.isfinite(fact) or fact <= 0:
        return None
    return min(fact, LONGEST_S)


def what_counts(facts: DeviceFacts) -> tuple[object, ...]:
    """What of a device's facts can change its rules."""
    return (
        known(facts.rated_current_a),
        known(facts.period_s),
        facts.supply in ("mains", "gateway"),
        facts.heat_class or "A1",
        facts.trade or "",
        frozenset(facts.profiles),
    )


def fits(override: Override, facts: DeviceFacts) -> bool:
    wanted = {
        override.heat_class: facts.heat_class or "A1",
        override.trade: facts.trade,
        override.enterprise: facts.enterprise,
        override.device: f"{facts.enterprise}/{facts.device}",
    }
    return all(is_ == said for said, is_ in wanted.items() if said)


def rules_for(pack: RulePack, facts: DeviceFacts) -> list[Rule]:
    """The version of each rule that holds for a device, in the order of the pack."""
    chosen = []
    for rule in pack.rules:
        if rule.profile and rule.profile not in facts.profiles:
            continue
        override = next((o for o in reversed(pack.overrides) if o.rule.id == rule.id and fits(o, facts)), None)
        if override is None:
            chosen.append(rule)
        elif not override.off:
            chosen.append(override.rule)
    return chosen


def concerns(rule: Rule, sensor: SensorState) -> bool:
    if rule.signal is Signal.SILENCE:
        return False
    if (rule.signal in (Signal.Z, Signal.STUCK) and sensor.measure.flag) or (
        rule.signal is Signal.STUCK and sensor.on_change
    ):
        return False
    return sensor.measure.name in rule.measures if rule.measures else rule.signal in _NO_MEASURE_NEEDED


def is_of_device(rule: Rule) -> bool:
    return rule.family in _DEVICE_FAMILIES or rule.signal is Signal.SILENCE


def unit_of(rule: Rule, sensor: SensorState | None) -> str:
    if rule.signal in (Signal.STUCK, Signal.SILENCE):
        return "s"
    if sensor is None or rule.signal in (Signal.RATED, Signal.RANGE, Signal.CLOCK, Signal.Z):
        return ""
    return sensor.measure.unit + ("/min" if rule.signal is Signal.RATE else "")


def replanned(states: dict[str, RuleState], wanted: list[Rule]) -> dict[str, RuleState]:
    """Keep the state of every rule that is still the same rule; its new limits count from the next reading on."""
    planned: dict[str, RuleState] = {}
    for rule in wanted:
        old = states.get(rule.id)
        if old is not None and (old.rule.signal, old.rule.family) == (rule.signal, rule.family):
            old.rule = rule
            planned[rule.id] = old
        else:
            planned[rule.id] = RuleState(rule)
    return planned
