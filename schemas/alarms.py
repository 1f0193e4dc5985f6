"""What the engine says of the world: alarm events.

An alarm is one condition of one subject and family with a life; an event is one step of that life. `(key, step)` is
unique for ever. `seq` numbers the engine's events within a partition, so readers go by position. `warning grade`
(here) and `risk grade` (of a place) are two things that are never mixed.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

import msgspec


class Grade(IntEnum):
    NONE = 0
    BLUE = 1
    YELLOW = 2
    ORANGE = 3
    RED = 4

    @property
    def word(self) -> str:
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> Grade:
        return cls[word.upper()]


class Kind(StrEnum):
    FIRE = "fire"
    GAS = "gas"
    ELECTRICAL = "electrical"
    FAULT = "fault"
    SILENCE = "silence"
    ANOMALY = "anomaly"
    OPERATION = "operation"


class State(StrEnum):
    """The engine's steps. `cleared` with `latched` still set waits for a reset."""

    RAISED = "raised"
    REGRADED = "regraded"
    CLEARED = "cleared"
    RESET = "reset"
    WITHDRAWN = "withdrawn"


class Evidence(msgspec.Struct, frozen=True):
    """Why, at the moment of the step: the rule, what it saw and what it compared it with."""

    rule: str
    pack: str
    """Version (content hash) of the rule pack."""
    value: float | None = None
    limit: float | None = None
    unit: str = ""
    held_s: float = 0.0
    """How long the condition had counted."""
    score: float | None = None
    """Tier 1 robust z at that moment, None while not yet able to say."""


class AlarmEvent(msgspec.Struct, frozen=True):
    key: str
    step: int
    partition: int
    seq: int
    state: State
    subject: str
    """A sensor key, a device key or an enterprise."""
    enterprise: str
    device: str
    measure: str
    """Empty where the subject is not a sensor."""
    family: str
    kind: Kind
    grade: Grade
    """After the step; of `cleared` and later steps the highest that was reached."""
    previous: Grade
    active: bool
    latched: bool
    onset_us: int
    event_us: int
    """Event time of the reading (or tick) that completed the step."""
    received_us: int
    """Arrival of that reading."""
    now_us: int
    """The engine's now (its largest tick)."""
    entry: int
    """Number of the log entry that caused it."""
    evidence: Evidence
    late: bool = False
    """Found by a back-fill: it is history, and pages only if still true (then `late` is false, and `age_s` tells)."""
    age_s: float = 0.0
    reason: str = ""
    """Why it was withdrawn or reset, in one word or name."""


class Answer(msgspec.Struct, frozen=True):
    """The engine's answer to a person's command."""

    command: str
    accepted: bool
    reason: str = ""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AlarmEvent)


def encode_event(event: AlarmEvent) -> bytes:
    return _encoder.encode(event)


def decode_event(body: bytes | str) -> AlarmEvent:
    """Raises msgspec.ValidationError when a field is missing or of another type."""
    return _decoder.decode(body)
