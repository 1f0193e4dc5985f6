"""Every sensor of a city in flat arrays: what healthy ones show at a second, noise and resolution included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from schemas.measures import BY_NAME, Reporting
from sensors_sim.chance import F64, U64, normal
from sensors_sim.electrics import Panels
from sensors_sim.physics import Rooms
from sensors_sim.trade import PANEL, ROOM, SensorPlan

I64 = npt.NDArray[np.int64]

NOISE = {
    "temperature": 0.05, "smoke": 0.03, "co": 0.4, "co2": 8.0, "gas": 0.12, "humidity": 0.3, "current": 0.05,
    "voltage": 0.3, "power": 5.0, "residual_current": 1.0, "conductor_temperature": 0.3,
}  # fmt: skip
"""One standard deviation of a healthy sensor's own noise, in the measure's unit."""


@dataclass(slots=True)
class Draft:
    """Sensors as they are collected, before they become arrays."""

    plans: list[SensorPlan] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)

    def add(self, plan: SensorPlan, place: int, seed: int) -> None:
        """place: where its plant keeps its value, flat."""
        self.plans.append(plan)
        self.places.append(place)
        self.seeds.append(seed)


class Instruments:
    """(n,) sensors. age: 0 an old battery, 1 a new one, of the sensor's device."""

    def __init__(self, draft: Draft, age: F64, rooms: Rooms | None, panels: Panels | None) -> None:
        self.names = [plan.name for plan in draft.plans]
        self.every_s = np.array([plan.every for plan in draft.plans], np.int64)
        self.seeds: U64 = np.array(draft.seeds, np.uint64)
        self._rooms, self._panels = rooms, panels
        self._places: I64 = np.array(draft.places, np.int64)
        names = sorted({plan.measure for plan in draft.plans})
        numbers = {name: i for i, name in enumerate(names)}
        measures = [BY_NAME[name] for name in names]
        self._names = names
        self._measure = np.array([numbers[plan.measure] for plan in draft.plans], np.int64)
        of = self._measure
        self._steady = np.where(of == numbers.get("battery", -1), 25.0 + 75.0 * age, 0.0)
        self._steady[of == numbers.get("mains", -1)] = 1.0
        self.on_change = np.array([m.reporting is Reporting.ON_CHANGE for m in measures])[of]
        self.flags = np.array([m.flag for m in measures])[of]
        self._sigma = np.array([NOISE.get(m.name, 0.0) for m in measures])
        self._resolution = np.array([m.resolution for m in measures])
        self._low = np.array([m.instrument[0] for m in measures])
        self._high = np.array([m.instrument[1] for m in measures])

    def show(self, which: I64, t: int) -> F64:
        """What the sensors `which`, (k,), show after the plants' step to t + 1."""
        of = self._measure[which]
        value = self._steady[which]
        for number in np.unique(of).tolist():
            here = of == number
            source = self._source(self._names[number])
            if source is not None:
                value[here] = source[self._places[which[here]]]
        value += self._sigma[of] * normal(self.seeds[which], t, 0)
        resolution = self._resolution[of]
        shown: F64 = np.clip(np.round(value / resolution) * resolution, self._low[of], self._high[of])
        return shown + 0.0  # makes of -0.0 a plain zero

    def _source(self, measure: str) -> F64 | None:
        if measure in ROOM and self._rooms is not None:
            return self._rooms.read(measure)
        if measure in PANEL and self._panels is not None:
            return self._panels.read_all(measure).reshape(-1)
        return None


def sensors_of(starts: I64, counts: I64, devices: Sequence[int] | I64) -> I64:
    """The sensors of several devices, in their order: from `starts`, so many as `counts`."""
    which = np.asarray(devices, np.int64)
    many = counts[which]
    offset = np.arange(int(many.sum())) - np.repeat(np.cumsum(many) - many, many)
    return np.repeat(starts[which], many) + offset
