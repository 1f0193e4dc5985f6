"""The risk of a place: how bad an enterprise stands, in points and a colour, with the reasons.

A risk colour says how an enterprise stands; a warning grade (`schemas.alarms.Grade`) says how bad one event is. The two
use the same four words and are never mixed: they are different types, and no number of one is compared with the other.
0 points are safe, 100 the worst. `docs/reference/risk.md` has the formula.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

import msgspec

from schemas.enterprises import Flammables


class RiskColour(IntEnum):
    """Of a place. The order is that of the trade: red 重大, orange 较大, yellow 一般, blue 低."""

    BLUE = 1
    YELLOW = 2
    ORANGE = 3
    RED = 4

    @property
    def word(self) -> str:
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> RiskColour:
        return cls[word.upper()]


class Letter(StrEnum):
    """The terms of the formula, by their letter in it."""

    HAZARD = "H"
    """What the place is: trade, ages, open flame, flammables, area, people."""
    ALARMS = "A"
    ELECTRICAL = "X"
    """Circuits near their limits."""
    PROTECTION = "P"
    """Detectors that do not watch."""
    RESPONSE = "R"
    """How alarms were answered."""
    HAZARDS_OPEN = "Q"
    """Hazards that were found and are overdue."""
    NUISANCE = "N"


class Input(msgspec.Struct, frozen=True):
    """Something that a term was made of."""

    name: str
    value: float | str | bool | None = None
    known: bool = True
    """False: nobody has told us; what stands in for it is in `taken`."""
    taken: float | None = None
    """What it counts as: a step of the hazard table, or a number."""


class Term(msgspec.Struct, frozen=True):
    letter: Letter
    value: float
    """0 good to 100 bad."""
    weight: float
    known: bool = True
    """False: there is no data for it, so it is 0, which is not the same as good."""
    note: str = ""
    """A key of the texts: why it is not known."""
    inputs: tuple[Input, ...] = ()

    @property
    def points(self) -> float:
        """Its part of the score."""
        return self.weight * self.value


Said = dict[str, str | float | int]
"""What is filled into a text."""


class Reason(msgspec.Struct, frozen=True):
    """Why the score is what it is. code: a key of the texts.

    points: its part of the score; 0 of a knock-out, which counts whatever the sum.
    """

    code: str
    points: float
    said: Said = {}


class Remedy(msgspec.Struct, frozen=True):
    """What would lower the risk: the same formula, asked again as if it were done."""

    code: str
    points: float
    """By so much the score would fall."""
    colour: RiskColour
    """The colour then, if nothing else changed."""
    said: Said = {}


class KnockOut(msgspec.Struct, frozen=True):
    """What makes a place red at once."""

    code: str
    since_us: int
    said: Said = {}


class Risk(msgspec.Struct, frozen=True, kw_only=True):
    """The risk of one enterprise as of one instant."""

    enterprise: str
    score: float
    colour: RiskColour
    since_us: int
    """Since when it has this colour."""
    as_of_us: int
    next_due_us: int | None
    """When the colour would next change if nothing happened; None: never."""
    terms: tuple[Term, ...]
    reasons: tuple[Reason, ...]
    """At most three, worst first; knock-outs before all."""
    remedies: tuple[Remedy, ...]
    knock_outs: tuple[KnockOut, ...] = ()
    unknown: tuple[str, ...] = ()
    """Facts that nobody has told us."""
    on_file: bool = True
    """False: its devices speak, the registry does not know the enterprise."""


class RiskFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the registry says of an enterprise, as far as the risk asks. None: not known."""

    trade: str | None = None
    built: int | None = None
    wired: int | None = None
    open_flame: bool | None = None
    flammables: Flammables | None = None
    area_m2: float | None = None
    people: int | None = None
    devices: int = 0
    """How many the registry knows."""
    out_of_service: tuple[str, ...] = ()
    """Devices that are switched off on purpose."""
    on_file: bool = True


class Strain(msgspec.Struct, frozen=True):
    """How near their limits the circuits were in the last day, by hours that are over."""

    circuits: int
    hours: int
    """Circuit-hours in which something was measured."""
    strained: int
    """Of them those above the share of the limit that counts."""
    worst: str = ""
    """The circuit with most of them: device and channel."""


_encoder = msgspec.json.Encoder()


def encode_risk(risk: Risk) -> bytes:
    """What stands on Kafka's `tocsin.risk`, as JSON."""
    return _encoder.encode(risk)
