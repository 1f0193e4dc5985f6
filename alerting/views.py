"""An alarm as people and programs see it: in the list, in the API, on MQTT. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from alerting.life import Alarm
from schemas.alarms import AlarmEvent, Grade, Kind, State
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


class Heard(msgspec.Struct, frozen=True):
    """How far the newest warning of an alarm to one recipient has come."""

    recipient: str
    channel: str
    status: str
    planned_us: int
    accepted_us: int | None = None
    delivered_us: int | None = None
    answered_us: int | None = None
    """When somebody acknowledged an alarm in it."""
    place: int | None = None
    """Of a contact: its place in the order as of now; None when it is none, or one no more."""


class WatchedAlarm(AlarmView, frozen=True, kw_only=True):
    """An alarm with where it is and what people did about it. What the registry does not know is empty."""

    enterprise_name: str = ""
    enterprise_name_en: str = ""
    district: str = ""
    address: str = ""
    address_en: str = ""
    zone: str = ""
    zone_name: str = ""
    zone_name_en: str = ""
    floor: str = ""
    device_name: str = ""
    device_name_en: str = ""
    acknowledged_us: int | None = None
    heard: list[Heard] = []
    """Who was told, and what came of it."""
    comments: int = 0
    assigned_to: str = ""
    verdict: str = ""
    """What it turned out to be since it was last raised: real, false, test, or empty."""


class AlarmPage(msgspec.Struct, frozen=True):
    alarms: list[WatchedAlarm]
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
    """The account's name, or the contact's name as of then."""
    note: str
    at_us: int
    contact: str = ""
    """Which contact answered by the link of a message, as a recipient; empty: an account did."""


class Comment(msgspec.Struct, frozen=True):
    number: int
    by: str
    text: str
    at_us: int


class Assignment(msgspec.Struct, frozen=True):
    """An alarm was given to somebody, or (`to` empty) taken from whoever had it."""

    number: int
    to: str
    by: str
    at_us: int


class Assignee(msgspec.Struct, frozen=True):
    """Somebody to whom an alarm may be given."""

    login: str
    name: str
    role: str


class VerdictWord(StrEnum):
    """What an alarm turned out to be."""

    REAL = "real"
    FALSE = "false"
    TEST = "test"


class Verdict(msgspec.Struct, frozen=True):
    number: int
    step: int
    verdict: VerdictWord
    note: str
    by: str
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
    alarm: WatchedAlarm
    events: list[AlarmEvent]
    decisions: list[Decision]
    acknowledgements: list[Acknowledgement]
    commands: list[Command]
    notifications: list[Message]
    comments: list[Comment] = []
    assignments: list[Assignment] = []
    verdicts: list[Verdict] = []
    readings: list[tuple[int, float]] | None = None
    """(event time in µs, value) around the alarm; None when the reading store cannot say yet."""


class Watched(msgspec.Struct, frozen=True):
    """The open alarms of a scope as of one moment, worst first."""

    as_of_us: int
    alarms: list[WatchedAlarm]
    """The worst, at most so many as were asked for."""
    total: int
    grades: dict[str, int]
    """Warning grade → how many are open."""
    unacknowledged: int


def view(alarm: Alarm) -> AlarmView:
    """As programs see it, on MQTT too."""
    return AlarmView(**_facts(alarm))


def watched(alarm: Alarm, place: Sequence[Any], people: Sequence[Any], heard: list[Heard]) -> WatchedAlarm:
    """As people see it.

    place: enterprise_name … device_name_en, in the order of the fields, None where the registry knows nothing.
    people: acknowledged_us, comments, assigned_to, verdict.
    """
    where: dict[str, Any] = {name: found or "" for name, found in zip(_PLACE, place, strict=True)}
    acknowledged_us, comments, assigned_to, verdict = people
    return WatchedAlarm(
        **_facts(alarm),
        **where,
        acknowledged_us=acknowledged_us,
        heard=heard,
        comments=comments,
        assigned_to=assigned_to or "",
        verdict=verdict or "",
    )


_PLACE = (
    "enterprise_name", "enterprise_name_en", "district", "address", "address_en", "zone", "zone_name", "zone_name_en",
    "floor", "device_name", "device_name_en",
)  # fmt: skip


def _facts(alarm: Alarm) -> dict[str, Any]:
    e = alarm.event
    return {
        "key": e.key,
        "step": e.step,
        "state": e.state,
        "standing": alarm.name,
        "enterprise": e.enterprise,
        "device": e.device,
        "subject": e.subject,
        "measure": e.measure,
        "family": e.family,
        "kind": e.kind,
        "grade": e.grade.word,
        "open": alarm.open,
        "active": e.active,
        "latched": e.latched,
        "acknowledged": alarm.acknowledged,
        "acknowledged_by": alarm.acked_by if alarm.acknowledged else "",
        "suppression": alarm.suppression.value,
        "raised_step": alarm.raised_step,
        "onset_us": e.onset_us,
        "raised_us": alarm.raised_us,
        "event_us": e.event_us,
        "rule": e.evidence.rule,
        "value": e.evidence.value,
        "limit": e.evidence.limit,
        "unit": e.evidence.unit,
        "late": e.late,
        "told": sorted(alarm.told),
    }


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ends in the list: open before ended, worst first, newest first."""

    open: bool
    grade: int
    raised_us: int
    key: str


_place = msgspec.json.Decoder(Place)


def place_of(alarm: AlarmView) -> Place:
    return Place(alarm.open, int(Grade.of(alarm.grade)), alarm.raised_us, alarm.key)


def encode_cursor(place: Place) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def decode_cursor(cursor: str) -> Place:
    """Raises ConfigError when it is not one of ours."""
    try:
        body: Any = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = _place.decode(body)
        if not (0 <= place.grade <= 4 and abs(place.raised_us) < 1 << 63 and "\0" not in place.key):
            raise ValueError
    except (binascii.Error, msgspec.DecodeError, ValueError) as error:
        raise ConfigError(
            "this is not the cursor of a page.", field="cursor", mend="Take `next` of the page before, or leave it out."
        ) from error
    return place
