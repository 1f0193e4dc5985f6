"""An alarm as people and programs see it: in the list, in the API, on MQTT. Pure."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

import msgspec

from alerting.life import Alarm
from schemas.alarms import AlarmEvent, Kind, State
from schemas.errors import ConfigError


class AlarmView(msgspec.Struct, frozen=True):
    """Grades are words. Times are microseconds since 1970, UTC."""

    key: str
    step: int
    state: State
    standing: str
    """The state's name after ISA-18.2: active_unacknowledged, latched_acknowledged, shelved …"""
    enterprise: str
    device: str
    subject: str
    measure: str
    family: str
    kind: Kind
    grade: str
    """Warning grade: the enterprise's own, not the risk grade of a place."""
    open: bool
    active: bool
    latched: bool
    acknowledged: bool
    acknowledged_by: str
    suppression: str
    raised_step: int
    onset_us: int
    raised_us: int
    event_us: int
    rule: str
    value: float | None
    limit: float | None
    unit: str
    late: bool
    told: list[str]
    """Recipients that were told and have had no all-clear yet."""


class AlarmPage(msgspec.Struct, frozen=True):
    alarms: list[AlarmView]
    next: str = ""
    """Hand it back as `cursor` for the next page; empty on the last."""


class Decision(msgspec.Struct, frozen=True):
    step: int
    at_us: int
    told: list[str]
    reason: str


class Acknowledgement(msgspec.Struct, frozen=True):
    number: int
    step: int
    by: str
    note: str
    at_us: int


class Command(msgspec.Struct, frozen=True):
    """What a person asked of the engine. standing: asked (not judged yet), accepted or refused."""

    key: str
    action: str
    step: int
    by: str
    standing: str
    reason: str
    asked_us: int = 0


class Attempt(msgspec.Struct, frozen=True):
    number: int
    started_us: int
    finished_us: int | None
    """None: it is in the air, or its answer never came."""
    outcome: str | None
    detail: str


class Stamped(msgspec.Struct, frozen=True):
    stamp: str
    at_us: int
    detail: str = ""


class Message(msgspec.Struct, frozen=True):
    """A notification in the ledger."""

    id: str
    recipient: str
    channel: str
    at_once: bool
    status: str
    reason: str
    overdue: bool
    text: str
    attempts: list[Attempt]
    receipts: list[Stamped]


class AlarmDetail(msgspec.Struct, frozen=True):
    alarm: AlarmView
    events: list[AlarmEvent]
    decisions: list[Decision]
    acknowledgements: list[Acknowledgement]
    commands: list[Command]
    notifications: list[Message]
    readings: list[tuple[int, float]] | None = None
    """(event time in µs, value) around the alarm; None when the reading store cannot say yet."""


def view(alarm: Alarm) -> AlarmView:
    e = alarm.event
    return AlarmView(
        key=e.key,
        step=e.step,
        state=e.state,
        standing=alarm.name,
        enterprise=e.enterprise,
        device=e.device,
        subject=e.subject,
        measure=e.measure,
        family=e.family,
        kind=e.kind,
        grade=e.grade.word,
        open=alarm.open,
        active=e.active,
        latched=e.latched,
        acknowledged=alarm.acknowledged,
        acknowledged_by=alarm.acked_by if alarm.acknowledged else "",
        suppression=alarm.suppression.value,
        raised_step=alarm.raised_step,
        onset_us=e.onset_us,
        raised_us=alarm.raised_us,
        event_us=e.event_us,
        rule=e.evidence.rule,
        value=e.evidence.value,
        limit=e.evidence.limit,
        unit=e.evidence.unit,
        late=e.late,
        told=sorted(alarm.told),
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ends in the list: open before ended, worst first, newest first."""

    open: bool
    grade: int
    raised_us: int
    key: str


def place_of(alarm: Alarm) -> Place:
    return Place(alarm.open, int(alarm.event.grade), alarm.raised_us, alarm.event.key)


def encode_cursor(place: Place) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def decode_cursor(cursor: str) -> Place:
    """Raises ConfigError when it is not one of ours."""
    try:
        body: Any = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = msgspec.json.decode(body, type=Place)
        if not (0 <= place.grade <= 4 and abs(place.raised_us) < 1 << 63 and "\0" not in place.key):
            raise ValueError
    except (binascii.Error, msgspec.DecodeError, ValueError) as error:
        raise ConfigError(
            "this is not the cursor of a page.", field="cursor", mend="Take `next` of the page before, or leave it out."
        ) from error
    return place
