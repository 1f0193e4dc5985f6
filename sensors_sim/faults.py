"""What sensors and devices do wrong: pure functions from the true value to what is sent.

Kinds: `stuck` (repeats its value), `drift` (amount units an hour), `noise` (amount units, one standard deviation),
`saturation` (shows the end of its instrument's range), `dropout` (share `amount` of messages lost; 1 is silence),
`clock` (the device's clock is `amount` seconds off), `battery` (falls `amount` % an hour). Of a whole device, and of
those behind it: `dead` (says no more), `outage` (cannot be heard; sends afterwards what it had to say, as a back-fill).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from schemas.measures import BY_NAME

FaultKind = Literal["stuck", "drift", "noise", "saturation", "dropout", "clock", "battery", "dead", "outage"]
KINDS: tuple[str, ...] = get_args(FaultKind)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of one sensor (measure[.channel]), or of the whole device where `sensor` is empty."""

    kind: FaultKind
    start_s: float
    end_s: float
    amount: float = 1.0
    sensor: str = ""

    def holds(self, t_s: float, sensor: str) -> bool:
        return self.start_s <= t_s < self.end_s and self.sensor in ("", sensor)


def distort(fault: Fault, sensor: str, true: float, held: float, t_s: float, normal: float) -> float:
    """The value that a faulty sensor shows.

    true: what it should show.  held: what it showed last.  normal: a standard normal number of this reading.
    """
    since_h = (t_s - fault.start_s) / 3600.0
    measure = BY_NAME[sensor.partition(".")[0]]
    if fault.kind == "stuck":
        return held
    if fault.kind == "drift":
        return true + fault.amount * since_h
    if fault.kind == "noise":
        return true + fault.amount * normal
    if fault.kind == "saturation":
        return measure.instrument[1]
    if fault.kind == "battery" and measure.name == "battery":
        return max(true - fault.amount * since_h, 0.0)
    return true


def is_lost(fault: Fault, t_s: float, uniform: float) -> bool:
    """Whether this message never leaves the device."""
    share = {"dropout": fault.amount, "dead": 1.0}.get(fault.kind, 0.0)
    return fault.holds(t_s, "") and uniform < share


def is_held(fault: Fault, t_s: float) -> bool:
    """Whether this message waits in the device."""
    return fault.kind == "outage" and fault.holds(t_s, "")


def clock_error_s(fault: Fault, t_s: float) -> float:
    """How far the device's clock is ahead."""
    return fault.amount if fault.kind == "clock" and fault.holds(t_s, "") else 0.0
