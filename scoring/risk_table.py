"""The numbers of the risk formula, read once from `risk_table.toml` and checked whole."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any

import msgspec

from schemas.alarms import Grade
from schemas.errors import CorruptState
from schemas.toml_decoder import TomlDecoder

DAY_US = 86_400_000_000
HOUR_US = 3_600_000_000


class Trade(msgspec.Struct, frozen=True):
    """Where places of a trade begin on the scales."""

    code: str
    words: str
    L: int
    E: int
    C: int


class FactSteps(msgspec.Struct, frozen=True):
    """How a fact moves a place on one scale: by number (`from_` and `steps`) or by word."""

    of: str
    unknown: int
    from_: tuple[float, ...] = msgspec.field(default=(), name="from")
    steps: tuple[int, ...] = ()
    words: dict[str, int] = {}

    def step_of(self, value: float | str | None) -> int:
        """None: not known."""
        if value is None:
            return self.unknown
        if isinstance(value, str):
            return self.words[value]
        step = self.steps[0]
        for begin, after in zip(self.from_, self.steps, strict=True):
            if value < begin:
                break
            step = after
        return step


class Scales(msgspec.Struct, frozen=True):
    L: tuple[float, ...]
    E: tuple[float, ...]
    C: tuple[float, ...]


class Hazard(msgspec.Struct, frozen=True):
    D: tuple[float, ...]
    H: tuple[float, ...]


class AlarmWeights(msgspec.Struct, frozen=True):
    blue: float
    yellow: float
    orange: float
    red: float
    half_life_d: float

    def of_grades(self) -> tuple[float, ...]:
        """By `Grade`."""
        return (0.0, self.blue, self.yellow, self.orange, self.red)


class Response(msgspec.Struct, frozen=True):
    orange_s: float
    red_s: float
    days: int

    def limit_us(self, grade: int) -> int:
        """How long an alarm may wait for a person."""
        return round((self.red_s if grade >= Grade.RED else self.orange_s) * 1e6)


class Protection(msgspec.Struct, frozen=True):
    families: frozenset[str]
    factor: float
    hours: int


class Share(msgspec.Struct, frozen=True):
    share: float
    limit: float | None = None
    """None: the circuit's own rated current."""


class Nuisance(msgspec.Struct, frozen=True):
    least: int
    days: int


class KnockOuts(msgspec.Struct, frozen=True):
    red_unacknowledged_s: float
    fire_system_families: frozenset[str]
    fire_system_s: float


class Colours(msgspec.Struct, frozen=True):
    yellow: float
    orange: float
    red: float
    clear_by: float

    def limits(self) -> tuple[float, float, float]:
        return (self.yellow, self.orange, self.red)


class RiskTable(msgspec.Struct, frozen=True):
    scale: Scales
    hazard: Hazard
    trade: tuple[Trade, ...]
    fact: dict[str, FactSteps]
    alarms: AlarmWeights
    response: Response
    protection: Protection
    electrical: dict[str, Share]
    nuisance: Nuisance
    knock_out: KnockOuts
    colour: Colours
    weight: dict[str, float]

    def trade_of(self, code: str | None) -> Trade:
        """The longest code of the table that `code` begins with; the table's own first for one that is not in it."""
        found = self.trade[0]
        for trade in self.trade[1:]:
            if code and code.startswith(trade.code) and len(trade.code) > len(found.code):
                found = trade
        return found


_decoder = TomlDecoder(RiskTable)
FACTS = ("wiring_age", "building_age", "open_flame", "flammables", "area", "people")
"""In the order in which they are told."""


@cache
def risk_table() -> RiskTable:
    """The shipped table. Raises CorruptState when it does not fit its rules."""
    text = files("scoring").joinpath("risk_table.toml").read_bytes()
    try:
        table = _decoder.decode(text)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise CorruptState(f"the table of risks cannot be read: {error}") from error
    for what in wrong_with(table):
        raise CorruptState(f"the table of risks: {what}")
    return table


def wrong_with(table: RiskTable) -> list[str]:
    """Why a table would break what the formula promises: worse never counts less, unknown never as safe."""
    found = []
    for name in FACTS:
        fact = table.fact.get(name)
        if fact is None:
            found.append(f"the fact {name} is missing")
            continue
        steps: Any = fact.steps or tuple(fact.words.values())
        if not all(a <= b for a, b in pairwise(steps)):
            found.append(f"{name}: a worse value counts less")
        if not min(steps) < fact.unknown <= max(steps):
            found.append(f"{name}: unknown counts as safe")
    for letter in "LEC":
        scale = getattr(table.scale, letter)
        if not all(a < b for a, b in pairwise(scale)):
            found.append(f"the scale of {letter} does not rise")
        if not all(0 <= getattr(trade, letter) < len(scale) for trade in table.trade):
            found.append(f"a trade begins outside the scale of {letter}")
    if abs(sum(table.weight.values()) - 1) > 1e-9:
        found.append("the weights are not 1 together")
    if table.trade[0].code:
        found.append("the first trade is not the one for all others")
    return found
