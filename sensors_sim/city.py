"""A city living through a scenario: what every device of every enterprise sends, second by second.

Pure: the same scenario, trades, count, seed and start give the same messages; an enterprise's messages do not depend on
how many others there are.  All rooms are lanes of one plant and all panels of another, so a second of a city costs
some hundred operations on arrays, however many trades it has.
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from sensors_sim import scenario as plans
from sensors_sim.chance import F64, U64, normal, seed_of, uniform
from sensors_sim.days import Days
from sensors_sim.faults import Fault, clock_error_s, distort, is_held, is_lost
from sensors_sim.instruments import I64, Draft, Instruments, sensors_of
from sensors_sim.plants import CHANNELS, build_panels, build_rooms, column
from sensors_sim.town import Shop, settle
from sensors_sim.trade import DevicePlan, Trade
from sensors_sim.weather import Weather

_MOST_HISTORY = 500
"""Objects of one back-fill message: far below 256 KiB."""
_HELLO_S = 60
"""Whatever its period, a device says something within its first minute."""


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
    history: tuple[tuple[float, dict[str, float]], ...] = ()
    """What waited in the device, each with its time: a back-fill."""
    online: bool | None = None
    """Its connection is lost, or back."""


class City:
    """n shops. `second()` advances by one second and returns what is sent in it."""

    def __init__(
        self, scenario: plans.Scenario, trades: Sequence[Trade], shops: int, seed: int, first: int = 1,
        local_start_s: float | None = None,
    ) -> None:  # fmt: skip
        """first: the number of the first shop, so that cities side by side have shops of their own.

        local_start_s: what the local clock shows at the first second, in seconds since 1970; None: the scenario's own.
        """
        self.shops = settle(trades, shops, seed, first)
        self.enterprises = tuple(shop.code for shop in self.shops)
        self.t_s = 0
        self._start_s = start_of(scenario) if local_start_s is None else local_start_s
        self._weather = Weather(seed)
        self._days = Days(self.shops)
        self._plan_devices(seed)
        self._faults: dict[int, list[Fault]] = {}
        self._held: dict[int, list[tuple[float, dict[str, float]]]] = {}
        self._switches: list[tuple[int, int, bool]] = []
        """(second, device, online) of connections that are lost and come back."""
        for number, event in enumerate(scenario.event):
            self._let_happen(event, number, seed)
        self._switches.sort()

    def _plan_devices(self, seed: int) -> None:
        self.plans: list[DevicePlan] = []
        shop_of, seeds, starts, counts = [], [], [], []
        draft = Draft()
        rooms: list[tuple[Shop, DevicePlan, int]] = []
        panels: list[tuple[Shop, DevicePlan, int]] = []
        self._places: dict[tuple[int, str], int] = {}
        lanes = []
        for number, shop in enumerate(self.shops):
            for plan in shop.devices:
                device_seed = seed_of(seed, shop.code, plan.name)
                lane = len(rooms) if plan.plant == "room" else len(panels)
                self._places[number, plan.name] = len(self.plans)
                self.plans.append(plan)
                lanes.append(lane)
                shop_of.append(number)
                seeds.append(device_seed)
                starts.append(len(draft.plans))
                counts.append(len(plan.sensors))
                for i, sensor in enumerate(plan.sensors):
                    place = lane if plan.plant != "panel" else lane * len(CHANNELS) + column(sensor.channel)
                    own = (device_seed + 104_729 * (i + 1)) & ((1 << 64) - 1)
                    draft.add(sensor, place, own)
                if plan.plant != "none":
                    (rooms if plan.plant == "room" else panels).append((shop, plan, device_seed))
        self._rooms = build_rooms(rooms) if rooms else None
        self._panels = build_panels(panels) if panels else None
        self._seeds: U64 = np.array(seeds, np.uint64)
        self._starts: I64 = np.array(starts, np.int64)
        self._counts: I64 = np.array(counts, np.int64)
        age = np.repeat(uniform(self._seeds, 0, 3), self._counts)
        self._sensors = Instruments(draft, age, self._rooms, self._panels)
        self._shop_of, self._lanes = np.array(shop_of), lanes
        plants = np.array([plan.plant for plan in self.plans])
        self._room_shop, self._panel_shop = self._shop_of[plants == "room"], self._shop_of[plants == "panel"]
        self._room_follow = np.array([plan.spec.get("follow", 0.4) for plan in self.plans])[plants == "room"]
        self._period: I64 = np.array([plan.period for plan in self.plans], np.int64)
        self._phase: I64 = (uniform(self._seeds, 0, 1) * self._period).astype(np.int64)
        self._fraction = uniform(self._seeds, 0, 2)
        self._shown = np.full(len(draft.plans), np.nan)
        at_once = np.array([plan.at_once for plan in self.plans])
        self._device_of = np.repeat(np.arange(len(self.plans)), self._counts)
        self._watched = np.flatnonzero(self._sensors.flags & at_once[self._device_of])

    @property
    def devices(self) -> list[tuple[str, str]]:
        """(enterprise, device) of everything that speaks."""
        return [(self.enterprises[s], p.name) for s, p in zip(self._shop_of.tolist(), self.plans, strict=True)]

    @property
    def connections(self) -> list[list[tuple[str, str]]]:
        """The devices by the connection they share: a gateway before those behind it."""
        groups: dict[int, list[tuple[str, str]]] = {}
        for device, name in enumerate(self.devices):
            lead = self._lead(device)
            groups.setdefault(lead, []).insert(0 if lead == device else len(groups.get(lead, ())), name)
        return list(groups.values())

    def start(self, local_s: float) -> None:
        """Before the first second: let it be at this local time, whatever was planned."""
        self._start_s = local_s

    def second(self) -> list[Message]:
        """Advance by one second; messages in the order in which they are sent."""
        t = self.t_s
        local_s = self._start_s + t
        busy = self.busy()
        outdoor_k = self._weather.outdoor_c(local_s) - 20.0
        if self._rooms is not None:
            self._rooms.step(t, busy[self._room_shop], self._room_follow * outdoor_k)
        if self._panels is not None:
            self._panels.step(t, busy[self._panel_shop], 0.4 * outdoor_k)
        sent = self._switched(t) + self._messages(t)
        self.t_s += 1
        sent.sort(key=lambda message: message.at_s)
        return sent

    def busy(self) -> F64:
        """How busy each shop is now, (n,)."""
        return self._days.busy(self._start_s + self.t_s)

    def until(self, end_s: int) -> Iterator[Message]:
        """Everything sent before `end_s`, in order."""
        while self.t_s < end_s:
            yield from self.second()

    def _lead(self, device: int) -> int:
        """The device whose connection it uses."""
        behind = self.plans[device].behind
        return self._places.get((int(self._shop_of[device]), behind), device) if behind else device

    def _let_happen(self, event: plans.Event, number: int, seed: int) -> None:
        having = [i for i, shop in enumerate(self.shops) if event.trade in ("", shop.trade.trade)
                  and (i, event.where) in self._places]  # fmt: skip
        drawn = {i for i in having if event.share and self.shops[i].chance(f"event-{number}") < event.share}
        for place in sorted(drawn | {having[n - 1] for n in event.shops if 1 <= n <= len(having)}):
            self._befall(event, self._places[place, event.where])

    def _befall(self, event: plans.Event, device: int) -> None:
        at, lasts, lane = event.at, event.lasts, self._lanes[device]
        rooms, panels = self._rooms, self._panels
        match event:
            case plans.Fire() if rooms is not None:
                rooms.ignite(lane, at, event.growth, event.initial_kw, event.peak_kw, lasts)
            case plans.Smoulder() if rooms is not None:
                rooms.smoulder(lane, at, event.growth_g_min2)
            case plans.GasLeak() if rooms is not None:
                rooms.leak(lane, at, event.litres_min, lasts)
            case plans.Overload() if panels is not None:
                panels.overload(lane, event.channel, at, lasts, event.rated_share)
            case plans.BadJoint() if panels is not None:
                panels.bad_joint(lane, event.channel, at, lasts, event.times, event.grows_s)
            case plans.Leakage() if panels is not None:
                panels.leakage(lane, event.channel, at, lasts, event.milliamps)
            case plans.SensorFault():
                self._break(event, device)

    def _break(self, event: plans.SensorFault, device: int) -> None:
        fault = Fault(event.kind, event.at, event.at + event.lasts, event.amount, event.sensor)
        through = [device]
        if event.kind in ("dead", "outage", "dropout"):
            shop = int(self._shop_of[device])
            ours = np.flatnonzero(self._shop_of == shop).tolist()
            through += [d for d in ours if d != device and self._lead(d) == device]
        for one in through:
            self._faults.setdefault(one, []).append(fault)
        if event.kind in ("dead", "outage"):
            ends = int(fault.end_s)
            self._switches += [(int(event.at), device, False)] + [(ends, one, True) for one in through]

    def _switched(self, t: int) -> list[Message]:
        sent: list[Message] = []
        while self._switches and self._switches[0][0] <= t:
            _, device, online = self._switches.pop(0)
            enterprise, name = self.enterprises[self._shop_of[device]], self.plans[device].name
            if self._lead(device) == device:
                sent.append(Message(t, t, enterprise, name, {}, online=online))
            held = self._held.pop(device, [])
            for i in range(0, len(held), _MOST_HISTORY):
                sent.append(Message(t + 0.5, t + 0.5, enterprise, name, {}, tuple(held[i : i + _MOST_HISTORY])))
        return sent

    def _messages(self, t: int) -> list[Message]:
        due = (t - self._phase) % self._period == 0
        if t < _HELLO_S:
            due |= self._phase % _HELLO_S == t
        if len(self._watched):
            flags = self._sensors.show(self._watched, t)
            was = np.nan_to_num(self._shown[self._watched])
            due[self._device_of[self._watched[flags != was]]] = True
        devices = np.flatnonzero(due)
        if not len(devices):
            return []
        which = sensors_of(self._starts, self._counts, devices)
        values = self._sensors.show(which, t)
        hurt = {device: faults for device, faults in self._faults.items() if due[device]}
        lost = self._distort(hurt, devices, values, t)
        last = self._shown[which]
        owner = self._device_of[which]
        every, first_time = self._sensors.every_s[which], np.isnan(last)
        turn = (every == 0) | ((t - self._phase[owner]) % np.maximum(every, 1) < self._period[owner])
        said = first_time | turn | (self._sensors.on_change[which] & (values != last))
        if lost:
            said &= ~np.isin(owner, list(lost))
        self._shown[which] = np.where(said, values, last)
        return self._said(t, devices.tolist(), which.tolist(), np.round(values, 3).tolist(), said.tolist(), lost)

    def _distort(self, hurt: dict[int, list[Fault]], devices: I64, values: F64, t: int) -> set[int]:
        """Let faults change `values` in place; the devices of which nothing is sent."""
        lost = set()
        ends = np.cumsum(self._counts[devices])
        for device, faults in hurt.items():
            chance = float(uniform(self._seeds[device : device + 1], t, 4)[0])
            if any(is_lost(fault, t, chance) for fault in faults):
                lost.add(device)
                continue
            place = int(np.searchsorted(devices, device))
            begin, first = int(ends[place] - self._counts[device]), int(self._starts[device])
            for i in range(int(self._counts[device])):
                sensor, value = first + i, float(values[begin + i])
                held = float(self._shown[sensor])
                for fault in faults:
                    if fault.holds(t, self._sensors.names[sensor]):
                        luck = float(normal(self._sensors.seeds[sensor : sensor + 1], t, 1)[0])
                        before = value if np.isnan(held) else held
                        value = distort(fault, self._sensors.names[sensor], value, before, t, luck)
                values[begin + i] = value
        return lost

    def _said(
        self, t: int, devices: list[int], which: list[int], values: list[float], said: list[bool], lost: set[int]
    ) -> list[Message]:
        sent: list[Message] = []
        names, at = self._sensors.names, 0
        for device in devices:
            end = at + len(self.plans[device].sensors)
            if device in lost:
                at = end
                continue
            body = {names[which[i]]: values[i] for i in range(at, end) if said[i]}
            at = end
            at_s = t + float(self._fraction[device])
            faults = self._faults.get(device, ())
            ts_s = at_s + sum(clock_error_s(fault, t) for fault in faults)
            if any(is_held(fault, t) for fault in faults):
                self._held.setdefault(device, []).append((ts_s, body))
            else:
                sent.append(Message(at_s, ts_s, self.enterprises[self._shop_of[device]], self.plans[device].name, body))
        return sent


def start_of(scenario: plans.Scenario) -> float:
    """Local seconds since 1970 at a scenario's first second; noon where it says none."""
    return float(calendar.timegm(time.strptime(f"{scenario.date} {scenario.starts_at or '12:00'}", "%Y-%m-%d %H:%M")))
