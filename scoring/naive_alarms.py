"""Alarms of the naive twin: one life per subject and family, its steps, and what a back-fill keeps back.

See "Alarms" and "Late transitions" in `docs/reference/detection.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from schemas.alarms import Evidence, Grade, Kind, State
from schemas.identity import alarm_key
from scoring.naive_sensor import RuleState, Transition


@dataclass(frozen=True, slots=True)
class Moment:
    """When something happened: to the reading (or tick) and to its arrival."""

    event_us: int
    received_us: int


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an alarm before it is numbered."""

    key: str
    onset: int
    state: State
    grade: Grade
    previous: Grade
    active: bool
    latched: bool
    moment: Moment
    kind: Kind
    evidence: Evidence
    late: bool = False
    age_s: float = 0.0
    reason: str = ""


@dataclass(slots=True)
class Alarm:
    """The present life of one condition; `ended` is the end of the life before."""

    subject: str
    family: str
    key: str = ""
    onset: int = 0
    active: bool = False
    waiting: bool = False
    """Cleared, latched, and not yet reset."""
    grade: Grade = Grade.NONE
    top: Grade = Grade.NONE
    latched_grade: Grade = Grade.NONE
    """Of the highest latched rule that has held in this life."""
    ended: int | None = None
    kind: Kind = Kind.FAULT
    evidence: Evidence = field(default_factory=lambda: Evidence("", ""))
    kept: list[Step] = field(default_factory=list)
    # As told to the world:
    told_key: str = ""
    step: int = 0
    raised_step: int = 0

    def moved(
        self, states: Sequence[RuleState], by: Sequence[Transition], moment: Moment, kind: Kind, evidence: Evidence
    ) -> Step | None:
        """The transitions `by` of one reading give at most one step; `states` are all rules of the family."""
        holding = [s for s in states if s.holds_alarm]
        began = bool(holding) and not self.active
        if began and not self.waiting:
            self.onset = min(s.since for s in states if s.phase)
            if self.ended is not None:
                self.onset = max(self.onset, self.ended)
            self.key = alarm_key(self.subject, self.family, self.onset)
            self.top = self.latched_grade = Grade.NONE
        latched = [t.state.grade for t in by if t.up and t.state.rule.latched]
        self.latched_grade = max(self.latched_grade, *latched) if latched else self.latched_grade
        before = self.grade if self.active else Grade.NONE
        if not holding:
            if not self.active:
                return None
            self.active, self.waiting = False, self.latched_grade > Grade.NONE
            if not self.waiting:
                self.end(moment)
            return self._step(State.CLEARED, self.top, before, moment, kind, evidence)
        self.grade = max(self.latched_grade, *(s.grade for s in holding))
        self.top = max(self.top, self.grade)
        self.active, self.waiting = True, False
        if not began and self.grade == before:
            return None
        return self._step(State.RAISED if began else State.REGRADED, self.grade, before, moment, kind, evidence)

    def planned(self, states: Sequence[RuleState], now: Moment, reason: str) -> Step | None:
        """A pack or facts changed the rules of an active alarm: what remains decides."""
        if not self.active:
            return None
        holding = [s for s in states if s.holds_alarm]
        before = self.grade
        if not holding:
            return self.over(State.WITHDRAWN, now, reason)
        self.latched_grade = max(self.latched_grade, *(s.grade for s in holding if s.rule.latched), Grade.NONE)
        self.grade = max(self.latched_grade, *(s.grade for s in holding))
        self.top = max(self.top, self.grade)
        if self.grade == before:
            return None
        return replace(self._step(State.REGRADED, self.grade, before, now, self.kind, self.evidence), reason=reason)

    def refusal(self, seen_step: int) -> str:
        """Why a reset by a person who saw `seen_step` is refused; empty: it is not."""
        if self.active:
            return "active"
        if not self.waiting:
            return "unknown"
        return "raised again" if self.raised_step > seen_step else ""

    def over(self, state: State, now: Moment, reason: str) -> Step:
        """End this life by a reset or a withdrawal."""
        before = self.grade if self.active else Grade.NONE
        self.active = self.waiting = False
        self.latched_grade = Grade.NONE
        self.end(now)
        return replace(self._step(state, self.top, before, now, self.kind, self.evidence), reason=reason)

    def end(self, moment: Moment) -> None:
        self.ended = max(moment.event_us, self.onset + 1)

    def number(self, step: Step) -> int:
        """The step's number, counted from 1 within its key."""
        if step.key != self.told_key:
            self.told_key, self.step = step.key, 0
        self.step += 1
        if step.state is State.RAISED:
            self.raised_step = self.step
        return self.step

    def release(self, now_us: int) -> list[Step]:
        """What a back-fill that ends tells of each life it began or raised again."""
        kept, self.kept = self.kept, []
        told: list[Step] = []
        for key in dict.fromkeys(step.key for step in kept):
            life = [step for step in kept if step.key == key]
            raised = [step for step in life if step.state is State.RAISED][-1]
            last = life[-1]
            if last.active:
                age_s = max(0, now_us - raised.moment.event_us) / 1e6
                latched = self.latched_grade > Grade.NONE  # an equal grade may have latched it without a step
                told.append(replace(raised, grade=last.grade, latched=latched, age_s=age_s))
            else:
                told.append(replace(raised, grade=last.grade, latched=last.latched, late=True))
                told.append(replace(last, previous=last.grade, late=True))
        return told

    def _step(
        self, state: State, grade: Grade, previous: Grade, moment: Moment, kind: Kind, evidence: Evidence
    ) -> Step:
        self.kind, self.evidence = kind, evidence
        latched = self.latched_grade > Grade.NONE
        return Step(self.key, self.onset, state, grade, previous, self.active, latched, moment, kind, evidence)
