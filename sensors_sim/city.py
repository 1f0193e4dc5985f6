"""A city of shops of one kind, living through a scenario: what every device sends, second by second.

Pure: the same scenario, number of shops and seed give the same messages; a shop's messages do not depend on how
many others there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.measures import BY_NAME, Reporting
from sensors_sim import scenario as plans
from sensors_sim.chance import F64, U64, normal, seed_of, uniform
from sensors_sim.electrics import Panels, PanelSpec
from sensors_sim.faults import Fault, clock_error_s, distort, is_lost
from sensors_sim.physics import Rooms, RoomSpec

NOISE = {
    "temperature": 0.05, "smoke": 0.03, "co": 0.4, "co2": 8.0, "gas": 0.12, "humidity": 0.3, "current": 0.05,
    "voltage": 0.3, "power": 5.0, "residual_current": 1.0, "conductor_temperature": 0.3,
}  # fmt: skip
"""One standard deviation of a healthy sensor's own noise, in the measure's unit."""

_DAY_S = 86_400


class Message(NamedTuple):
    """What one device sends at one moment."""

    at_s: float
    """Seconds from the scenario's start at which it leaves the device."""
    ts_s: float
    """The same by the device's own clock."""
    enterprise: str
    device: str
    values: dict[str, float]
    """measure[.channel] → value; flags are 0.0 or 1.0."""


def enterprise_name(number: int) -> str:
    """The name of shop `number`, counted from 1."""
    return f"shop-{number:04d}"


class City:
    """n shops. `second()` advances by one second and returns what is sent in it."""

    def __init__(self, scenario: plans.Scenario, shop: plans.ShopPlan, shops: int, seed: int, first: int = 1) -> None:
        """first: the number of the first shop, so that cities side by side have shops of their own."""
        self.enterprises = tuple(enterprise_name(i + first) for i in range(shops))
        self.t_s = 0
        self._shop = shop
        self._start_of_day_s = scenario.start_of_day_s
        self._shift_h = uniform(self._seeds(seed, "shift"), 0, 0) * 0.6 - 0.3
        self._fleets = [_Fleet.of(plan, self._seeds(seed, plan.name), self.enterprises) for plan in shop.device]
        for number, event in enumerate(scenario.event):
            drawn = uniform(self._seeds(seed, f"event-{number}"), 0, 0) < event.share
            lanes = {int(i) for i in np.flatnonzero(drawn)} | {s - 1 for s in event.shops if 1 <= s <= shops}
            fleet = next(f for f in self._fleets if f.plan.name == event.where)
            for lane in sorted(lanes):
                fleet.befall(event, lane)

    def _seeds(self, seed: int, what: str) -> U64:
        return np.array([seed_of(seed, e, what) for e in self.enterprises], np.uint64)

    @property
    def devices(self) -> list[tuple[str, str]]:
        """(enterprise, device) of everything that speaks."""
        return [(e, plan.name) for e in self.enterprises for plan in self._shop.device]

    def second(self) -> list[Message]:
        """Advance by one second; messages in the order in which they are sent."""
        t = self.t_s
        of_day_h = (self._start_of_day_s + t) / 3600.0
        hours, busy = zip(*self._shop.activity, strict=True)
        activity = np.interp((of_day_h + self._shift_h) % 24.0, hours, busy, period=24.0)
        outdoor_k = 2.0 * float(np.sin(2.0 * np.pi * (of_day_h - 9.0) / 24.0))
        sent: list[Message] = []
        for fleet in self._fleets:
            fleet.plant.step(t, activity, outdoor_k)
            sent += fleet.messages(t)
        self.t_s += 1
        sent.sort(key=lambda message: message.at_s)
        return sent

    def until(self, end_s: int) -> Iterator[Message]:
        """Everything sent before `end_s`, in order."""
        while self.t_s < end_s:
            yield from self.second()


@dataclass(slots=True)
class _Fleet:
    """The same device of every shop, over one plant whose lanes are the shops."""

    plan: plans.DevicePlan
    enterprises: tuple[str, ...]
    plant: Rooms | Panels
    seeds: U64
    sensor_seeds: list[U64]
    phase_s: npt.NDArray[np.int64]
    fraction_s: F64
    age: F64
    shown: dict[tuple[int, str], float] = field(default_factory=dict)
    """(lane, sensor) → last value sent."""
    faults: dict[int, list[Fault]] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: plans.DevicePlan, seeds: U64, enterprises: tuple[str, ...]) -> _Fleet:
        spec: dict[str, Any] = plan.spec
        if plan.plant == "room":
            plant: Rooms | Panels = Rooms(RoomSpec(**spec), seeds)
        else:
            channels = list(dict.fromkeys(s.channel for s in plan.sensors if s.channel))
            plant = Panels(PanelSpec(**spec), channels or ["L1"], seeds)
        return cls(
            plan,
            enterprises,
            plant,
            seeds,
            [seeds + np.uint64(104_729 * (i + 1)) for i in range(len(plan.sensors))],
            (uniform(seeds, 0, 1) * plan.period).astype(np.int64),
            uniform(seeds, 0, 2),
            uniform(seeds, 0, 3),
        )

    def befall(self, event: plans.Event, lane: int) -> None:
        at, lasts = event.at, event.lasts
        match event, self.plant:
            case plans.Fire(), Rooms() as room:
                room.ignite(lane, at, event.growth, event.initial_kw, event.peak_kw, lasts)
            case plans.Smoulder(), Rooms() as room:
                room.smoulder(lane, at, event.growth_g_min2)
            case plans.GasLeak(), Rooms() as room:
                room.leak(lane, at, event.litres_min, lasts)
            case plans.Overload(), Panels() as panel:
                panel.overload(lane, event.channel, at, lasts, event.rated_share)
            case plans.BadJoint(), Panels() as panel:
                panel.bad_joint(lane, event.channel, at, lasts, event.times, event.grows_s)
            case plans.Leakage(), Panels() as panel:
                panel.leakage(lane, event.channel, at, lasts, event.milliamps)
            case plans.SensorFault(), _:
                fault = Fault(event.kind, at, at + lasts, event.amount, event.sensor)
                self.faults.setdefault(lane, []).append(fault)

    def messages(self, t: int) -> list[Message]:
        due = np.flatnonzero((t - self.phase_s) % self.plan.period == 0)
        if not len(due):
            return []
        columns = [self._shown_by(i, t) for i in range(len(self.plan.sensors))]
        sent = [self._message(int(lane), t, columns) for lane in due]
        return [message for message in sent if message is not None]

    def _shown_by(self, sensor: int, t: int) -> F64:
        """What healthy sensors show at t, (n,), noise and resolution included."""
        plan = self.plan.sensors[sensor]
        measure = BY_NAME[plan.measure]
        if plan.measure == "battery":
            value = 70.0 + 30.0 * self.age
        elif isinstance(self.plant, Panels):
            value = self.plant.read(plan.measure, plan.channel)
        else:
            value = self.plant.read(plan.measure)
        sigma = NOISE.get(plan.measure)
        if sigma is not None:
            value = value + sigma * normal(self.sensor_seeds[sensor], t, 0)
        low, high = measure.instrument
        # + 0.0 makes of -0.0 a plain zero
        return np.clip(np.round(value / measure.resolution) * measure.resolution, low, high) + 0.0

    def _message(self, lane: int, t: int, columns: list[F64]) -> Message | None:
        faults = self.faults.get(lane, ())
        chance = float(uniform(self.seeds[lane : lane + 1], t, 4)[0]) if faults else 1.0
        if any(is_lost(fault, t, chance) for fault in faults):
            return None
        values: dict[str, float] = {}
        for i, plan in enumerate(self.plan.sensors):
            last = self.shown.get((lane, plan.name))
            value = float(columns[i][lane])
            for fault in faults:
                if fault.holds(t, plan.name):
                    luck = float(normal(self.sensor_seeds[i][lane : lane + 1], t, 1)[0])
                    value = distort(fault, plan.name, value, value if last is None else last, t, luck)
            on_change = BY_NAME[plan.measure].reporting is Reporting.ON_CHANGE
            due = not plan.every or (t - int(self.phase_s[lane])) % plan.every < self.plan.period
            if last is None or due or (on_change and value != last):
                values[plan.name] = round(value, 3)
                self.shown[lane, plan.name] = value
        at_s = t + float(self.fraction_s[lane])
        return Message(
            at_s, at_s + sum(clock_error_s(f, t) for f in faults), self.enterprises[lane], self.plan.name, values
        )
