"""Rules as the engine takes them: bounds inclusive, durations in µs. `docs/reference/detection.md` says what they do.

A person writes TOML; `streams/packs.py` reads, checks and explains it. This module is the shape between the two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import IntEnum

from schemas.alarms import Grade, Kind


class Signal(IntEnum):
    VALUE = 0
    RATED = 1
    RATE = 2
    ABOVE_BASELINE = 3
    BASELINE = 4
    RANGE = 5
    STUCK = 6
    CLOCK = 7
    Z = 8
    SILENCE = 9


class Watch(IntEnum):
    """Which devices a silence rule watches."""

    ANY = 0
    FIRE = 1
    DAILY = 2


@dataclass(frozen=True, slots=True)
class Rule:
    id: str
    measures: tuple[str, ...]
    """Empty: every measure (range, stuck, clock, z) or the device (silence)."""
    family: str
    kind: Kind
    grade: Grade
    signal: Signal = Signal.VALUE
    high: float = math.inf
    low: float = -math.inf
    floor: float = -math.inf
    """Rate rules: x must be at least this. z rules: the share of its reserve that the sensor must have used up."""
    clear_high: float = math.inf
    clear_low: float = -math.inf
    delay_us: int = 0
    band: bool = False
    readings: int = 1
    clear_delay_us: int = 0
    clear_readings: int = 1
    latched: bool = False
    max_gap_us: int = 60_000_000
    profile: str = ""
    """Non-empty: only for devices whose facts name this profile."""
    watch: Watch = Watch.ANY
    periods: float = 0.0
    """Silence: at least so many expected periods; `high` is the least in seconds."""
    source: str = ""
    source_zh: str = ""
    """The same in Chinese, where a pack says it in both."""


@dataclass(frozen=True, slots=True)
class Override:
    """Another version of one rule for those whom every non-empty selector fits; later overrides win."""

    rule: Rule
    heat_class: str = ""
    trade: str = ""
    enterprise: str = ""
    device: str = ""
    """`enterprise/device`."""
    off: bool = False


@dataclass(frozen=True, slots=True)
class RulePack:
    name: str
    version: str
    """Hash of the TOML, hex."""
    rules: tuple[Rule, ...]
    overrides: tuple[Override, ...] = field(default=())
    toml: str = ""
