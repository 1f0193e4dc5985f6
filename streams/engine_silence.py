"""Devices that are silent by a rule: since when, and how often they have been heard again.

The tick's kernel finds devices that may be silent and tells of arrivals of those that are; what a rule makes of it is
decided here. `docs/reference/detection.md`, "Silence".
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import groupby

import msgspec

from schemas.alarms import Evidence
from schemas.rules import Rule
from scoring.layout import IDLE, NEVER, NONE
from streams.alarm_book import AlarmBook, Moment, Moved, Standing
from streams.engine_roster import Roster


class Silence(msgspec.Struct, array_like=True):
    """One rule that holds for one device."""

    since: int
    family: str
    arrivals: int = 0
    """Since it was raised, or since it last held again."""


class SilentDevice(msgspec.Struct, array_like=True):
    heard: int
    """Largest arrival."""
    rules: dict[str, Silence]


class SilenceWatch:
    """The silent devices of one engine."""

    def __init__(self, roster: Roster, book: AlarmBook) -> None:
        self.silent: dict[int, SilentDevice] = {}
        self._roster = roster
        self._book = book

    def __len__(self) -> int:
        return len(self.silent)

    def look(
        self, device: int, watch: int, heard: int, silent_us: int, period: float, now: int, hole_end: int | None
    ) -> None:
        """Decide at a tick.  period: expected, s, NaN when not known.  hole_end: of the last hole, if there was one."""
        if heard == NEVER or math.isnan(period):
            return
        silent_s = silent_us / 1e6
        may_begin = hole_end is None or (now - hole_end) / 1e6 >= period
        state = self.silent.get(device)
        holding = state.rules if state else {}
        began: list[tuple[Rule, float]] = []
        for rule in self._roster.silence_rules_of(device):
            limit = max(rule.high, rule.periods * period)
            if silent_s < limit:
                continue
            if rule.id in holding:
                holding[rule.id].arrivals = 0
            elif rule.watch == watch:
                began.append((rule, limit))
        if not began:
            return
        if not may_begin:
            self._roster.memory.due[device] = now
            return
        if state is None:
            state = self.silent[device] = SilentDevice(heard, {})
            self._roster.mark_silent(device, True)
        for rule, _ in began:
            state.rules[rule.id] = Silence(heard, rule.family)
        moved = [
            Moved(
                rule.id,
                NONE,
                True,
                Standing(rule.grade, rule.latched, rule.kind),
                False,
                self.least_since(device, rule.family, heard),
                Evidence(rule.id, self._roster.plans.version, silent_s, limit, "s", silent_s),
            )
            for rule, limit in began
        ]
        self._move(device, moved, {rule.id: rule.family for rule, _ in began}, Moment(now, now))

    def hear(self, device: int, arrival: int) -> None:
        """A reading of the device arrived."""
        state = self.silent.get(device)
        if state is None or arrival <= state.heard:
            return
        state.heard = arrival
        self._roster.memory.due[device] = 0
        moved: list[Moved] = []
        families: dict[str, str] = {}
        for rule in self._roster.silence_rules_of(device):
            silence = state.rules.get(rule.id)
            if silence is None:
                continue
            silence.arrivals += 1
            if silence.arrivals >= rule.clear_readings:
                del state.rules[rule.id]
                families[rule.id] = rule.family
                standing = Standing(rule.grade, rule.latched, rule.kind)
                evidence = Evidence(rule.id, self._roster.plans.version, unit="s")
                moved.append(Moved(rule.id, NONE, False, standing, False, arrival, evidence))
        self._forget_if_heard(device)
        self._move(device, moved, families, Moment(arrival, arrival))

    def replan(self, device: int) -> None:
        """The device's rules changed: those that are gone, or are another rule now, no longer hold."""
        state = self.silent.get(device)
        if state is not None:
            families = {rule.id: rule.family for rule in self._roster.silence_rules_of(device)}
            state.rules = {name: s for name, s in state.rules.items() if families.get(name) == s.family}
            self._forget_if_heard(device)

    def standing(self, device: int, name: str) -> Standing | None:
        """What the pack says of a rule that holds for a device; None when none does."""
        state = self.silent.get(device)
        if state is not None and name in state.rules:
            for rule in self._roster.silence_rules_of(device):
                if rule.id == name:
                    return Standing(rule.grade, rule.latched, rule.kind)
        return None

    def least_since(self, device: int, family: str, least: int) -> int:
        """The smallest `since` of the phases of one family of a device and its sensors, or `least` if smaller."""
        least = self.held_since(device, family, least)
        m = self._roster.memory
        for slot in self._roster.sensors_of(device):
            number = int(m.sensors["watch"][slot])
            if number != NONE:
                at = int(m.watches["timers"][number])
                for j, rule in enumerate(self._roster.rules_of(slot)):
                    if rule.family == family and m.timers["phase"][at + j] != IDLE:
                        least = min(least, int(m.timers["since"][at + j]))
        return least

    def held_since(self, device: int, family: str, least: int) -> int:
        """Like `least_since`, of the device's own rules alone."""
        state = self.silent.get(device)
        held = [s.since for s in state.rules.values() if s.family == family] if state else []
        return min(least, *held) if held else least

    def _forget_if_heard(self, device: int) -> None:
        if not self.silent[device].rules:
            del self.silent[device]
            self._roster.mark_silent(device, False)

    def _move(self, device: int, moved: Iterable[Moved], families: dict[str, str], moment: Moment) -> None:
        order = self._roster.plans.families

        def place(one: Moved) -> int:
            return order[families[one.rule]]

        for _, together in groupby(sorted(moved, key=place), key=place):
            group = list(together)
            self._book.move(-1 - device, families[group[0].rule], group, moment)
