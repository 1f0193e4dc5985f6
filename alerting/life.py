"""The life of an alarm: the engine's steps and people's acknowledgements, folded into three facts and one
suppression.

Active or not and latched or not are the engine's; acknowledged or not is people's; neither overwrites the other. An
alarm that is raised again is unacknowledged again. All of it is pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from schemas.alarms import AlarmEvent, Grade, State


class Suppression(StrEnum):
    """Announcing stops, detection goes on."""

    NONE = "none"
    SHELVED = "shelved"
    BY_DESIGN = "suppressed_by_design"
    OUT_OF_SERVICE = "out_of_service"


@dataclass(frozen=True, slots=True)
class Alarm:
    """What stands of an alarm after its last event.

    peak: highest grade since it was last raised or came out of suppression.
    raised_step, raised_us: step and event time of the last `raised`.
    acked_step: the newest step that a person acknowledged, 0 for none.  told: names of the recipients that were told
    of it and have had no all-clear yet.
    """

    event: AlarmEvent
    peak: Grade
    raised_step: int
    raised_us: int
    acked_step: int = 0
    acked_by: str = ""
    suppression: Suppression = Suppression.NONE
    told: frozenset[str] = field(default=frozenset())

    @property
    def acknowledged(self) -> bool:
        return self.acked_step >= self.raised_step

    @property
    def open(self) -> bool:
        return self.event.active or self.event.latched

    @property
    def name(self) -> str:
        """The state's name after ISA-18.2."""
        if self.suppression is not Suppression.NONE:
            return self.suppression.value
        if self.event.active:
            return "active_acknowledged" if self.acknowledged else "active_unacknowledged"
        if self.event.latched:
            return "latched_acknowledged" if self.acknowledged else "latched_unacknowledged"
        return "normal" if self.acknowledged else "returned_unacknowledged"


def fold(alarm: Alarm | None, event: AlarmEvent) -> Alarm:
    """The alarm after `event`; unchanged when that step, or a later one, is already in it."""
    if alarm is None:
        return Alarm(event, event.grade, event.step, event.event_us)
    if event.step <= alarm.event.step:
        return alarm
    if event.state is State.RAISED:
        return replace(alarm, event=event, peak=event.grade, raised_step=event.step, raised_us=event.event_us)
    return replace(alarm, event=event, peak=max(alarm.peak, event.grade))


def refusal_of_acknowledgement(alarm: Alarm, step: int) -> str:
    """Why a person who saw `step` cannot acknowledge the alarm now; empty when they can."""
    if step > alarm.event.step:
        return f"the alarm has no step {step} yet, its newest is {alarm.event.step}"
    if step < alarm.raised_step:
        return f"the alarm was raised again at step {alarm.raised_step}, after step {step}"
    return ""


def acknowledge(alarm: Alarm, step: int, by: str) -> Alarm:
    """The alarm after `by` acknowledged what stood at `step`; an older acknowledgement changes nothing."""
    return replace(alarm, acked_step=step, acked_by=by) if step > alarm.acked_step else alarm
