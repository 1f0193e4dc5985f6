"""The alarms of one engine: rules that begin and cease to hold go in, numbered steps come out.

One alarm a subject and family, with a life (onset, key), a latch, and what an open back-fill keeps back. Pure and rare:
a hundred thousand quiet sensors never come here. `docs/reference/detection.md`, "Alarms" and "Late transitions".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from schemas.alarms import AlarmEvent, Evidence, Grade, Kind, State
from schemas.identity import alarm_key

LIFTED = 16
"""Added to the grade of an anomaly that began while a tier 0 rule held its alarm."""


class Subject(NamedTuple):
    """Whose alarm it is, in names."""

    key: str
    enterprise: str
    device: str
    measure: str


class Standing(NamedTuple):
    """What the pack says of a rule now."""

    grade: Grade
    latched: bool
    kind: Kind


class Moved(NamedTuple):
    """A rule began (`up`) or ceased to hold the alarm."""

    rule: str
    of: int
    """The sensor's slot, -1 for a rule of the device itself."""
    up: bool
    standing: Standing
    lifted: bool
    since: int
    """The smallest `since` of the family's phases at that moment."""
    evidence: Evidence


class Moment(NamedTuple):
    event_us: int
    received_us: int


class Told(msgspec.Struct, array_like=True):
    """What one step will say, before it is numbered."""

    event_us: int
    received_us: int
    kind: Kind
    evidence: Evidence


class KeptLife(msgspec.Struct, array_like=True):
    """A life that a back-fill began or raised again, not yet told."""

    key: str
    onset: int
    step: int
    """Steps of this key that were told before."""
    raised: Told
    cleared: Told | None = None
    grade: int = 0
    latched: bool = False


class Alarm(msgspec.Struct, array_like=True):
    """One subject and family: its present life, or the last one."""

    subject: int
    """A sensor's slot, or -1 - the device's number."""
    family: str
    key: str = ""
    onset: int = 0
    ended: int | None = None
    """End of the life before."""
    active: bool = False
    waiting: bool = False
    """Cleared, latched, not yet reset."""
    grade: int = 0
    top: int = 0
    latched: int = 0
    """Grade of the highest latched rule that has held in this life."""
    step: int = 0
    raised_step: int = 0
    last: Told | None = None
    holding: dict[str, int] = msgspec.field(default_factory=dict)
    """Rules that hold it (`slot:rule`) and their grades, plus LIFTED."""
    kept: list[KeptLife] = msgspec.field(default_factory=list)

    def end(self, event_us: int) -> None:
        self.ended = max(event_us, self.onset + 1)
        self.active = self.waiting = False
        self.latched = 0


class AlarmBook:
    """All alarms of an engine.

    describe: names of a subject.  partition: for the events.  Events gather in `events`, in order, for its owner.
    """

    def __init__(self, partition: int, describe: Callable[[int], Subject]) -> None:
        self.partition = partition
        self.events: list[AlarmEvent] = []
        self.seq = 0
        self.now = 0
        self.entry = 0
        self._describe = describe
        self._alarms: dict[int, dict[str, Alarm]] = {}
        self._by_key: dict[str, Alarm] = {}

    def move(self, subject: int, family: str, moved: Sequence[Moved], moment: Moment, *, keep: bool = False) -> None:
        """Take the transitions of one reading (or of one subject of a tick) together: at most one step.

        keep: the subject's back-fill is open; what does not concern an alarm that is active waits for its end.
        """
        alarms = self._alarms.setdefault(subject, {})
        alarm = alarms.get(family)
        if alarm is None:
            alarm = alarms[family] = Alarm(subject, family)
        keep = keep and (not alarm.active or bool(alarm.kept))
        chief, chief_grade = moved[0], -1
        for one in moved:  # in the order of the pack, so the first of the highest grade stays
            name = f"{one.of}:{one.rule}"
            if one.up:
                held = alarm.holding[name] = int(one.standing.grade) + (LIFTED if one.lifted else 0)
            else:
                held = alarm.holding.pop(name, int(one.standing.grade))
            if _held(held) > chief_grade:
                chief, chief_grade = one, _held(held)
        told = Told(moment.event_us, moment.received_us, chief.standing.kind, chief.evidence)
        self._step(alarm, moved, told, keep)

    def _step(self, alarm: Alarm, moved: Sequence[Moved], told: Told, keep: bool) -> None:
        before = Grade(alarm.grade) if alarm.active else Grade.NONE
        began = bool(alarm.holding) and not alarm.active
        if began and not alarm.waiting:
            self._begin_life(alarm, min(one.since for one in moved if one.up))
        for one in moved:
            if one.up and one.standing.latched:
                alarm.latched = max(alarm.latched, _grade(one.standing.grade, one.lifted))
        if alarm.holding:
            alarm.active, alarm.waiting = True, False
            alarm.grade = max(alarm.latched, *(_held(grade) for grade in alarm.holding.values()))
            alarm.top = max(alarm.top, alarm.grade)
            if not began and alarm.grade == before:
                return
            alarm.last = told
            if keep:
                self._keep(alarm, told, began)
            else:
                state = State.RAISED if began else State.REGRADED
                self._tell(alarm, state, Grade(alarm.grade), before, told)
        elif alarm.active:
            alarm.active, alarm.waiting = False, alarm.latched > 0
            alarm.last = told
            latched = alarm.waiting
            if keep:
                life = alarm.kept[-1]
                life.cleared, life.grade, life.latched = told, alarm.top, latched
            else:
                self._tell(alarm, State.CLEARED, Grade(alarm.top), before, told)
            if not latched:
                alarm.end(told.event_us)

    def _begin_life(self, alarm: Alarm, since: int) -> None:
        onset = since if alarm.ended is None else max(since, alarm.ended)
        self._by_key.pop(alarm.key, None)
        alarm.onset = onset
        alarm.key = alarm_key(self._describe(alarm.subject).key, alarm.family, onset)
        alarm.top = alarm.latched = alarm.step = alarm.raised_step = 0
        self._by_key[alarm.key] = alarm

    def _keep(self, alarm: Alarm, told: Told, began: bool) -> None:
        if not began:
            return
        if alarm.kept and alarm.kept[-1].key == alarm.key:
            alarm.kept[-1].raised, alarm.kept[-1].cleared = told, None
        else:
            alarm.kept.append(KeptLife(alarm.key, alarm.onset, alarm.step, told))

    def end_backfill(self, subject: int, order: Mapping[str, int]) -> None:
        """Tell what was kept of a sensor's alarms, families in the pack's order."""
        for alarm in self._of(subject, order):
            kept, alarm.kept = alarm.kept, []
            for life in kept:
                if life.cleared is None:
                    age_s = max(0, self.now - life.raised.event_us) / 1e6
                    self._tell(alarm, State.RAISED, Grade(alarm.grade), Grade.NONE, life.raised, age_s=age_s)
                else:
                    self._tell_late(alarm, life, State.RAISED, life.raised)
                    self._tell_late(alarm, life, State.CLEARED, life.cleared)
                    if life.key == alarm.key:
                        alarm.step, alarm.raised_step = life.step, life.step - 1

    def _tell_late(self, alarm: Alarm, life: KeptLife, state: State, told: Told) -> None:
        life.step += 1
        raised = state is State.RAISED
        grade = Grade(life.grade)
        self._emit(
            alarm.subject, alarm.family, life.key, life.step, state, life.onset, grade,
            Grade.NONE if raised else grade, raised, life.latched, told, late=True,
        )  # fmt: skip

    def _tell(
        self,
        alarm: Alarm,
        state: State,
        grade: Grade,
        previous: Grade,
        told: Told,
        *,
        age_s: float = 0.0,
        reason: str = "",
    ) -> None:
        alarm.step += 1
        if state is State.RAISED:
            alarm.raised_step = alarm.step
        self._emit(
            alarm.subject, alarm.family, alarm.key, alarm.step, state, alarm.onset, grade, previous,
            alarm.active, alarm.latched > 0, told, age_s=age_s, reason=reason,
        )  # fmt: skip

    def replan(
        self, subject: int, order: Mapping[str, int], standing: Callable[[int, str], Standing | None], reason: str
    ) -> None:
        """The rules of a subject changed: its active alarms are held by what still holds.

        standing(slot, rule): what the new pack says of a rule that goes on holding, None when it is gone.
        """
        for alarm in self._of(subject, order):
            if not alarm.active:
                continue
            before = Grade(alarm.grade)
            for name, held in list(alarm.holding.items()):
                of, _, rule = name.partition(":")
                now = standing(int(of), rule)
                if now is None:
                    del alarm.holding[name]
                else:
                    lifted = held & LIFTED
                    alarm.holding[name] = int(now.grade) + lifted
                    if now.latched:
                        alarm.latched = max(alarm.latched, _grade(now.grade, bool(lifted)))
            if not alarm.holding:
                self._end(alarm, State.WITHDRAWN, before, reason)
                continue
            alarm.grade = max(alarm.latched, *(_held(grade) for grade in alarm.holding.values()))
            alarm.top = max(alarm.top, alarm.grade)
            if alarm.grade != before:
                told = self._at_now(alarm)
                self._tell(alarm, State.REGRADED, Grade(alarm.grade), before, told, reason=reason)

    def subject_of(self, key: str) -> int | None:
        """Whose alarm had `key` last, None when nobody's."""
        alarm = self._by_key.get(key)
        return None if alarm is None else alarm.subject

    def reset(self, key: str, seen_step: int, by: str) -> str:
        """Reset a cleared, latched alarm; returns why it was refused, empty when it was not."""
        alarm = self._by_key.get(key)
        if alarm is None:
            return "unknown"
        if alarm.active:
            return "active"
        if not alarm.waiting:
            return "unknown"
        if alarm.raised_step > seen_step:
            return "raised again"
        self._end(alarm, State.RESET, Grade.NONE, by)
        return ""

    def _end(self, alarm: Alarm, state: State, before: Grade, reason: str) -> None:
        told = self._at_now(alarm)
        alarm.end(self.now)
        self._tell(alarm, state, Grade(alarm.top), before, told, reason=reason)

    def _at_now(self, alarm: Alarm) -> Told:
        assert alarm.last is not None
        alarm.last = Told(self.now, self.now, alarm.last.kind, alarm.last.evidence)
        return alarm.last

    def tell_own(self, family: str, onset: int, event_us: int, evidence: Evidence) -> None:
        """An alarm of the engine itself, raised and at once cleared."""
        device = f"engine-{self.partition}"
        key = alarm_key(f"tocsin/{device}", family, onset)
        told = Told(event_us, event_us, Kind.OPERATION, evidence)
        subject = Subject(f"tocsin/{device}", "tocsin", device, "")
        yellow = Grade.YELLOW
        self._emit(subject, family, key, 1, State.RAISED, onset, yellow, Grade.NONE, True, False, told)
        self._emit(subject, family, key, 2, State.CLEARED, onset, yellow, yellow, False, False, told)

    def _of(self, subject: int, order: Mapping[str, int]) -> list[Alarm]:
        alarms = self._alarms.get(subject)
        if not alarms:
            return []
        return sorted(alarms.values(), key=lambda alarm: order.get(alarm.family, len(order)))

    def _emit(
        self,
        subject: int | Subject,
        family: str,
        key: str,
        step: int,
        state: State,
        onset: int,
        grade: Grade,
        previous: Grade,
        active: bool,
        latched: bool,
        told: Told,
        *,
        late: bool = False,
        age_s: float = 0.0,
        reason: str = "",
    ) -> None:
        who = self._describe(subject) if isinstance(subject, int) else subject
        self.seq += 1
        self.events.append(
            AlarmEvent(
                key=key,
                step=step,
                partition=self.partition,
                seq=self.seq,
                state=state,
                subject=who.key,
                enterprise=who.enterprise,
                device=who.device,
                measure=who.measure,
                family=family,
                kind=told.kind,
                grade=grade,
                previous=previous,
                active=active,
                latched=latched,
                onset_us=onset,
                event_us=told.event_us,
                received_us=told.received_us,
                now_us=self.now,
                entry=self.entry,
                evidence=told.evidence,
                late=late,
                age_s=age_s,
                reason=reason,
            )
        )

    def alarms(self) -> Iterable[Alarm]:
        """Every alarm that ever was, for a checkpoint."""
        return (alarm for of in self._alarms.values() for alarm in of.values())

    def subjects(self) -> list[int]:
        """Subjects that have an active alarm."""
        return [s for s, of in self._alarms.items() if any(alarm.active for alarm in of.values())]

    def load(self, alarms: Iterable[Alarm]) -> None:
        """Take the alarms of a checkpoint; for an empty book."""
        for alarm in alarms:
            self._alarms.setdefault(alarm.subject, {})[alarm.family] = alarm
            if alarm.key:
                self._by_key[alarm.key] = alarm


def _grade(grade: int, lifted: bool) -> int:
    return max(int(grade), int(Grade.YELLOW)) if lifted else int(grade)


def _held(held: int) -> int:
    return _grade(held & (LIFTED - 1), bool(held & LIFTED))
