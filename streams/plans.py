"""Which rules hold for whom: a rule pack and what is known of a device, compiled to tables that the kernels read.

Devices with the same facts and the same overrides share one *selection*; sensors of one measure and one selection share
one plan. Everything is interned, so a million like sensors cost one row.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from schemas.entries import DeviceFacts
from schemas.errors import ConfigError
from schemas.identity import id_of
from schemas.measures import BY_CODE, Measure, Reporting
from schemas.readings import I64
from schemas.rules import Override, Rule, RulePack, Signal
from scoring.layout import BANDS, MOST_RULES, NONE, PLAN, RULE, SILENCE_PLAN, SILENCE_RULE, Array

DEVICE_FAMILIES = frozenset({"silence", "clock"})
LARGEST_FACT = 1e9
DEFAULT_HEAT_CLASS = "A1"
_EVERY_MEASURE = frozenset({Signal.RANGE, Signal.STUCK, Signal.CLOCK, Signal.Z})
_SUPPLIED = frozenset({"mains", "gateway"})


class Facts(NamedTuple):
    """What of a device's facts can change a plan."""

    rated: float = 0.0
    """0 where not known, as for the period (s)."""
    period: float = 0.0
    supplied: bool = False
    heat_class: str = DEFAULT_HEAT_CLASS
    trade: str = ""
    profiles: tuple[str, ...] = ()

    @classmethod
    def of(cls, facts: DeviceFacts) -> Facts:
        return cls(
            _known(facts.rated_current_a),
            _known(facts.period_s),
            facts.supply in _SUPPLIED,
            facts.heat_class or DEFAULT_HEAT_CLASS,
            facts.trade or "",
            tuple(sorted(set(facts.profiles))),
        )


class Selection(NamedTuple):
    """Facts, and the enterprise and device where an override names them, else empty."""

    facts: Facts
    enterprise: str
    device: str


_PLAIN = Selection(Facts(), "", "")


def _ids(names: Iterable[str]) -> I64:
    return np.sort(np.array([id_of(name) for name in names], np.int64))


def _known(number: float | None) -> float:
    return min(number, LARGEST_FACT) if number is not None and 0.0 < number < math.inf else 0.0


def is_of_device(rule: Rule) -> bool:
    """Whether the subject of the rule's alarm is the device."""
    return rule.signal is Signal.SILENCE or rule.family in DEVICE_FAMILIES


def applies(rule: Rule, measure: Measure) -> bool:
    """Whether a rule judges sensors of a measure at all."""
    if rule.signal is Signal.SILENCE or (rule.signal is Signal.Z and measure.flag):
        return False
    if rule.signal is Signal.STUCK and measure.reporting is Reporting.ON_CHANGE:
        return False
    return measure.name in rule.measures if rule.measures else rule.signal in _EVERY_MEASURE


class Plans:
    """The compiled tables of one pack. They grow by rows as new selections and measures are met; rows never change, but
    a table that grows may be another array afterwards."""

    def __init__(self, pack: RulePack | None) -> None:
        self.version = pack.version if pack else ""
        self.toml = pack.toml if pack else ""
        self._pack_rules = pack.rules if pack else ()
        self._overrides: dict[str, list[Override]] = {}
        for override in pack.overrides if pack else ():
            self._overrides.setdefault(override.rule.id, []).append(override)
        named = [o for many in self._overrides.values() for o in many]
        self.enterprises = frozenset(o.enterprise for o in named if o.enterprise)
        self.devices = frozenset(o.device for o in named if o.device)
        self.enterprise_ids, self.device_ids = _ids(self.enterprises), _ids(self.devices)
        self.families = {f: i for i, f in reversed(list(enumerate(rule.family for rule in self._pack_rules)))}
        """A family's place in the pack: that of its first rule."""
        self.place = {rule.id: i for i, rule in enumerate(self._pack_rules)}
        self.plans: Array = np.zeros(64, PLAN)
        self.rules: Array = np.zeros(256, RULE)
        self.silence_plans: Array = np.zeros(64, SILENCE_PLAN)
        self.silence_rules: Array = np.zeros(64, SILENCE_RULE)
        self.of_plan: list[tuple[Rule, ...]] = []
        self.of_silence_plan: list[tuple[Rule, ...]] = []
        self._selections: dict[Selection, int] = {}
        self._known: list[Selection] = []
        self.plain = NONE
        """The selection of devices without facts and overrides of their own, NONE until there is one."""
        self.plan_of: Array = np.full((0, 1 + max(BY_CODE)), NONE, np.int32)
        """(selections, measure codes) the row of `plans`, NONE where none was asked for."""
        self._silence_plans: dict[int, int] = {}
        self._rows: dict[tuple[Rule, ...], int] = {}
        self._silence_rows: dict[tuple[Rule, ...], int] = {}
        self.mixed = False
        """A plan has the kind of filter that its measure has no place for in the sensor's own record."""
        self._rules_used = 0
        self._silence_rules_used = 0

    def select(self, facts: Facts, enterprise: str, device_key: str) -> int:
        """The number of the selection that a device belongs to."""
        selection = Selection(
            facts,
            enterprise if enterprise in self.enterprises else "",
            device_key if device_key in self.devices else "",
        )
        number = self._selections.get(selection)
        if number is None:
            number = self._selections[selection] = len(self._known)
            self._known.append(selection)
            if selection == _PLAIN:
                self.plain = number
        return number

    @property
    def selections(self) -> int:
        return len(self._known)

    def facts_of(self, selection: int) -> Facts:
        return self._known[selection].facts

    def sensor_plan(self, selection: int, measure_code: int) -> int:
        """The row of `plans` for sensors of a measure. Raises ConfigError when far too many rules fit one sensor."""
        if selection >= len(self.plan_of):
            more = np.full((max(8, selection + 1), self.plan_of.shape[1]), NONE, np.int32)
            self.plan_of = np.concatenate([self.plan_of, more])
        if self.plan_of[selection, measure_code] == NONE:
            self.plan_of[selection, measure_code] = self._compile(selection, BY_CODE[measure_code])
        return int(self.plan_of[selection, measure_code])

    def silence_plan(self, selection: int) -> int:
        """The row of `silence_plans` for devices."""
        number = self._silence_plans.get(selection)
        if number is None:
            number = self._silence_plans[selection] = self._compile_silence(selection)
        return number

    def _chosen(self, selection: Selection) -> Iterable[Rule]:
        for rule in self._pack_rules:
            if rule.profile and rule.profile not in selection.facts.profiles:
                continue
            best: Rule | None = rule
            for override in self._overrides.get(rule.id, ()):
                if _fits(override, selection):
                    best = None if override.off else override.rule
            if best is not None:
                yield best

    def _compile(self, selection: int, measure: Measure) -> int:
        chosen = self._known[selection]
        rules = tuple(rule for rule in self._chosen(chosen) if applies(rule, measure))
        if len(rules) > MOST_RULES:
            raise ConfigError(
                f"{len(rules)} rules fit one sensor of `{measure.name}`", mend=f"Leave at most {MOST_RULES}."
            )
        number = len(self.of_plan)
        self.of_plan.append(rules)
        self.plans = self._room(self.plans, number + 1)
        row = self.plans[number]
        row["x_low"], row["x_high"] = measure.instrument
        row["prior"], row["resolution"] = measure.prior, measure.resolution
        row["usual_period"] = measure.period_s
        row["declared_period"], row["rated"] = chosen.facts.period, chosen.facts.rated
        row["on_change"] = measure.reporting is Reporting.ON_CHANGE
        row["is_flag"] = measure.flag
        row["is_smoke"] = measure.name == "smoke"
        row["rules_at"], row["rules"] = self._rule_rows(rules), len(rules)
        signals = {rule.signal for rule in rules}
        row["signals"] = sum(1 << signal for signal in signals)
        foreign = {Signal.RATE} if row["is_smoke"] else {Signal.ABOVE_BASELINE, Signal.BASELINE}
        self.mixed = self.mixed or not foreign.isdisjoint(signals)
        row["quiet_low"] = [max((r.low for r in rules if r.signal == s), default=-math.inf) for s in range(BANDS)]
        row["quiet_high"] = [min((r.high for r in rules if r.signal == s), default=math.inf) for s in range(BANDS)]
        row["rate_floor"] = min((r.floor for r in rules if r.signal is Signal.RATE), default=-math.inf)
        return number

    def _rule_rows(self, rules: tuple[Rule, ...]) -> int:
        at = self._rows.get(rules)
        if at is not None:
            return at
        at = self._rows[rules] = self._rules_used
        self._rules_used += len(rules)
        self.rules = self._room(self.rules, self._rules_used)
        for row, rule in zip(self.rules[at : self._rules_used], rules, strict=True):
            row["high"], row["low"], row["floor"] = rule.high, rule.low, rule.floor
            row["clear_high"], row["clear_low"] = rule.clear_high, rule.clear_low
            row["delay"], row["clear_delay"], row["max_gap"] = rule.delay_us, rule.clear_delay_us, rule.max_gap_us
            row["readings"], row["clear_readings"] = rule.readings, rule.clear_readings
            row["family"], row["signal"] = self.families[rule.family], rule.signal
            row["band"], row["tier0"], row["of_device"] = (
                rule.band,
                rule.signal is not Signal.Z,
                is_of_device(rule),
            )
        return at

    def _compile_silence(self, selection: int) -> int:
        chosen = self._known[selection]
        rules = tuple(rule for rule in self._chosen(chosen) if rule.signal is Signal.SILENCE)
        number = len(self.of_silence_plan)
        self.of_silence_plan.append(rules)
        self.silence_plans = self._room(self.silence_plans, number + 1)
        row = self.silence_plans[number]
        row["declared_period"], row["supplied"] = chosen.facts.period, chosen.facts.supplied
        row["rules"] = len(rules)
        at = self._silence_rows.get(rules)
        if at is None:
            at = self._silence_rows[rules] = self._silence_rules_used
            self._silence_rules_used += len(rules)
            self.silence_rules = self._room(self.silence_rules, self._silence_rules_used)
            for rule_row, rule in zip(self.silence_rules[at : self._silence_rules_used], rules, strict=True):
                rule_row["high"], rule_row["periods"], rule_row["watch"] = rule.high, rule.periods, rule.watch
        row["rules_at"] = at
        return number

    def _room(self, table: Array, rows: int) -> Array:
        if rows <= len(table):
            return table
        larger: Array = np.zeros(max(rows, 2 * len(table)), table.dtype)
        larger[: len(table)] = table
        return larger


def _fits(override: Override, selection: Selection) -> bool:
    said: Any = (override.heat_class, override.trade, override.enterprise, override.device)
    have = (selection.facts.heat_class, selection.facts.trade, selection.enterprise, selection.device)
    return all(not want or want == is_ for want, is_ in zip(said, have, strict=True))
