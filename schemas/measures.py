"""What can be measured: one table, in the words of the wire.

`physical` is what anything real can be: outside it a value is refused.  `instrument` is what a sensor of this measure
shows: outside it a value is admitted with `quality = out_of_range`, since a saturated sensor may be a hazard.
`prior` is the spread (one standard deviation) that a healthy sensor is assumed to have before it has been seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum


class Reporting(IntEnum):
    """How a sensor of this measure speaks."""

    PERIODIC = 0
    ON_CHANGE = 1
    """The last value holds until the device is silent; its timers advance by ticks."""


@dataclass(frozen=True, slots=True)
class Measure:
    name: str
    code: int
    """Stable number, used in arrays and checkpoints; never reused."""
    unit: str
    physical: tuple[float, float]
    instrument: tuple[float, float]
    resolution: float
    prior: float
    family: str
    reporting: Reporting = Reporting.PERIODIC
    flag: bool = False
    """0 or 1; booleans are admitted."""
    period_s: float = 0.0
    """Usual reporting period, 0 where there is none."""


def _flag(name: str, code: int, family: str) -> Measure:
    return Measure(name, code, "flag", (0.0, 1.0), (0.0, 1.0), 1.0, 0.5, family, Reporting.ON_CHANGE, True)


_INF = math.inf

MEASURES: tuple[Measure, ...] = (
    Measure("value", 0, "", (-_INF, _INF), (-_INF, _INF), 0.0, 0.0, "value"),
    Measure("smoke", 1, "%/m", (-5.0, 100.0), (-1.0, 100.0), 0.01, 0.05, "smoke"),
    _flag("smoke_alarm", 2, "smoke"),
    Measure("temperature", 3, "Cel", (-273.15, 3000.0), (-50.0, 150.0), 0.1, 0.5, "heat"),
    Measure("gas", 4, "%LEL", (-20.0, 1000.0), (-5.0, 100.0), 0.1, 0.5, "gas"),
    Measure("co", 5, "ppm", (-50.0, 1_000_000.0), (-10.0, 1000.0), 1.0, 2.0, "co"),
    Measure("co2", 6, "ppm", (0.0, 1_000_000.0), (0.0, 50_000.0), 1.0, 30.0, "co2"),
    Measure("oxygen", 7, "%vol", (0.0, 100.0), (0.0, 30.0), 0.1, 0.1, "oxygen"),
    Measure("current", 8, "A", (-10_000.0, 100_000.0), (-1.0, 6_300.0), 0.01, 0.5, "load"),
    Measure("voltage", 9, "V", (-1_000_000.0, 1_000_000.0), (0.0, 1_000.0), 0.1, 1.0, "voltage"),
    Measure("power", 10, "W", (-1e9, 1e9), (-10_000_000.0, 10_000_000.0), 1.0, 50.0, "power"),
    Measure("residual_current", 11, "mA", (-1_000_000.0, 1_000_000.0), (-10.0, 30_000.0), 1.0, 5.0, "residual_current"),
    Measure("conductor_temperature", 12, "Cel", (-273.15, 3000.0), (-50.0, 300.0), 0.1, 0.5, "conductor_temperature"),
    Measure("arc", 13, "half-cycles/s", (0.0, 1000.0), (0.0, 120.0), 1.0, 0.5, "arc", Reporting.ON_CHANGE),
    Measure("humidity", 14, "%RH", (-5.0, 150.0), (0.0, 100.0), 0.1, 1.0, "humidity"),
    Measure("light", 15, "lx", (0.0, 1e7), (0.0, 200_000.0), 1.0, 20.0, "light"),
    _flag("presence", 16, "presence"),
    Measure("battery", 17, "%EL", (0.0, 200.0), (0.0, 100.0), 1.0, 1.0, "battery", Reporting.ON_CHANGE),
    _flag("tamper", 18, "tamper"),
    _flag("call_point", 19, "call_point"),
    _flag("mains", 20, "mains"),
    _flag("online", 21, "online"),
    _flag("fault", 22, "fault"),
    _flag("disabled", 23, "disabled"),
    _flag("battery_low", 24, "battery"),
    Measure("pressure", 25, "kPa", (-101.325, 1_000_000.0), (-101.325, 60_000.0), 0.1, 1.0, "pressure"),
    Measure("water_level", 26, "m", (-100.0, 10_000.0), (0.0, 100.0), 0.01, 0.05, "water_level"),
    Measure("flow", 27, "L/s", (-100_000.0, 100_000.0), (0.0, 10_000.0), 0.1, 0.5, "flow"),
    Measure("frequency", 28, "Hz", (0.0, 1e6), (0.0, 500.0), 0.01, 0.05, "frequency"),
)
"""Flags say their condition: `mains` 1 = supplied, `fault` 1 = faulty, `disabled` 1 = switched off on purpose."""

BY_NAME: dict[str, Measure] = {m.name: m for m in MEASURES}
BY_CODE: dict[int, Measure] = {m.code: m for m in MEASURES}
