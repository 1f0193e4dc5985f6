"""What people are told: a notification is one message to one recipient by one channel, with a receipt for every hop.

A notification is a row before it is a message. Its `id` is its idempotency key: a receiver that has seen it may drop a
repeat. A recipient is one place that takes messages: a webhook of an operator, the journal; a person's phone later.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from schemas.alarms import Grade, Kind, State


class Stamp(StrEnum):
    """The hops of a notification, in order. A stamp is given once; what is not known is not stamped."""

    PLANNED = "planned"
    """Decided and recorded; a bundle may still be waiting for its time."""
    QUEUED = "queued"
    """Composed: its text is frozen, it may go."""
    SENT = "sent"
    """Handed to the channel (the start of the attempt that was accepted)."""
    ACCEPTED = "accepted"
    """The channel's far end answered that it has it."""
    DELIVERED = "delivered"
    """It stands before the person (a journal line is written; a carrier says so)."""
    ACKNOWLEDGED = "acknowledged"
    """Somebody acknowledged an alarm in it."""
    OVERDUE = "overdue"
    """Nobody had acknowledged an alarm in it when its time was up, and the ladder went on."""


class Status(StrEnum):
    """Where a notification stands."""

    PLANNED = "planned"
    QUEUED = "queued"
    SENDING = "sending"
    """An attempt has been started and no answer is recorded yet."""
    ACCEPTED = "accepted"
    FAILED = "failed"
    """Given up: refused for good, or too old to be of use."""
    DROPPED = "dropped"
    """A bundle in which nothing was left to say."""


class Part(StrEnum):
    """Why an alarm stands in a notification."""

    WARNING = "warning"
    ALL_CLEAR = "all_clear"


class Place(msgspec.Struct, frozen=True):
    """What the registry calls the place of an alarm, in Chinese and English; what it does not know is empty."""

    name: str = ""
    name_en: str = ""
    address: str = ""
    address_en: str = ""
    zone: str = ""
    zone_en: str = ""
    floor: str = ""
    device: str = ""
    device_en: str = ""


class Line(msgspec.Struct, frozen=True):
    """One alarm in a notification, as it stood when the text was composed."""

    key: str
    step: int
    part: Part
    state: State
    enterprise: str
    device: str
    subject: str
    measure: str
    family: str
    kind: Kind
    grade: Grade
    """Warning grade after the step; of ended alarms the highest that was reached."""
    previous: Grade
    active: bool
    latched: bool
    acknowledged: bool
    onset_us: int
    event_us: int
    received_us: int
    rule: str
    value: float | None = None
    limit: float | None = None
    unit: str = ""
    age_s: float = 0.0
    reason: str = ""
    place: Place | None = None
    """None: the registry does not know the enterprise."""
    behind: int = 0
    """Of a gateway that is silent: how many devices speak through it."""


class Notification(msgspec.Struct, frozen=True):
    """One message to one recipient. What a webhook receives is this, as JSON."""

    id: str
    """Idempotency key."""
    recipient: str
    channel: str
    enterprise: str
    grade: Grade
    """The worst of its lines."""
    part: Part
    """`all_clear` when every line is one."""
    at_once: bool
    language: str
    text: str
    lines: tuple[Line, ...]
    planned_us: int
    queued_us: int
    attempt: int = 1
    """Counts the sends of this id; above 1 an earlier one failed or its answer never came."""
    version: int = 1
    rung: int = 0
    """Calls that were made to contacts before this one, and that nobody acknowledged."""


class ChannelFacts(msgspec.Struct, frozen=True):
    """What a channel is like, so that the outbox can serve it without knowing it."""

    name: str
    batch: int = 1
    """Messages that it takes in one call."""
    gather_s: float = 0.0
    """Waits so long for more messages before a call, where a call costs more than a message."""
    concurrency: int = 1
    """Calls that may run side by side, for each recipient."""
    limit_s: float = 10.0
    """A message that is not accepted this long after its time is overdue: counted and shown."""
    give_up_s: float = 3600.0
    """Age at which a message is of no use any more."""
    delivers: bool = False
    """Acceptance means that it stands before the person."""
    rate_per_s: float | None = None
    """Messages that it takes a second, over all recipients; None: as many as come."""
    kept: bool = False
    """What it takes stays in the house, where others read it: no link that acknowledges goes with it."""
    short: bool = False
    """A message is paid and read by the segment: the short text, with a link, is made for it."""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Notification)


def encode_notification(notification: Notification) -> bytes:
    return _encoder.encode(notification)


def decode_notification(body: bytes | str) -> Notification:
    """Raises msgspec.ValidationError when a field is missing or of another type."""
    return _decoder.decode(body)
