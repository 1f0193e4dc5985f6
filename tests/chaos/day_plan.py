"""A day of simulated shops in which every scenario happens, written into one file that any number of runs are fed from.

Half of the shops are restaurants, half are workshops. Each scenario befalls some of them at an hour drawn by the seed.
The file holds MQTT packets by steps of the clock: what was sent within a step's seconds is delivered at its end.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.identity import id_of
from schemas.mqtt import V311, Publish, encode
from schemas.topics import device_topic
from sensors_sim.city import City
from sensors_sim.publisher import payload
from sensors_sim.scenario import Event, Scenario, SensorFault
from sensors_sim.scenarios import load, names
from sensors_sim.town import enterprise_name
from sensors_sim.trade import Trade

STEP_S = 10
"""The clock moves by so much; above 10 s Tocsin would call it a hole in its ticks."""
_MOST_A_STEP = 4_000
"""Messages of one kind of shop: both together are fewer than one client may have without their PUBACK."""
START_S = 1_780_272_000
"""Midnight, 2026-06-01 UTC."""
_QUIET = "quiet_day"
_SHOPS_A_COPY = 50
"""Of one kind of shop; so many have each of their scenarios once."""
_LONGEST_FAULT_S = 7_200.0
_LEAD_S = 300
"""Before the first thing happens, for sensors to know their usual."""
_HEAD = struct.Struct("<IIQ")

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class DayPlan:
    """shops: in all.  slower: every device sends so many times more seldom than its plan says."""

    shops: int
    hours: float
    seed: int
    slower: int = 1
    from_hour: int = 0

    @property
    def seconds(self) -> int:
        return int(self.hours * 3600)

    @property
    def start_us(self) -> int:
        return (START_S + self.from_hour * 3600) * 1_000_000

    @property
    def steps(self) -> int:
        return self.seconds // STEP_S

    def time_us(self, step: int) -> int:
        """What the clock shows in a step, counted from 1."""
        return self.start_us + step * STEP_S * 1_000_000


@dataclass(slots=True)
class Tally:
    """Of each sensor how many readings, and sums of their hashes: equal for equal sets of readings, in any order.

    times: over event time and value.  values: over values alone.
    """

    count: dict[int, int] = field(default_factory=dict)
    times: dict[int, int] = field(default_factory=dict)
    values: dict[int, int] = field(default_factory=dict)

    def add(self, sensor: I64, event_us: I64, value: npt.NDArray[np.float64]) -> None:
        """(n,) each."""
        of_value = mixed(value.view(np.uint64))
        of_both = mixed(of_value ^ event_us.view(np.uint64))
        ids, places = np.unique(sensor, return_inverse=True)
        for into, numbers in (
            (self.count, np.ones(len(sensor), np.uint64)), (self.times, of_both), (self.values, of_value)
        ):  # fmt: skip
            sums = np.zeros(len(ids), np.uint64)
            np.add.at(sums, places, numbers)
            for key, number in zip(ids.tolist(), sums.tolist(), strict=True):
                into[key] = (into.get(key, 0) + number) % (1 << 64)

    def merge(self, other: Tally) -> None:
        """The other's sensors are none of ours."""
        self.count |= other.count
        self.times |= other.times
        self.values |= other.values

    @property
    def readings(self) -> int:
        return sum(self.count.values())


def mixed(x: U64) -> U64:
    """splitmix64's finish: bits well mixed, each number to another."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@dataclass(slots=True)
class Day:
    """What the files say and what is known of it.  ahead: sensors of devices whose clock runs ahead for a while.

    Their readings then count as of their arrival. keys: sensor id → key.
    """

    plan: DayPlan
    files: list[Path]
    tally: Tally
    keys: dict[int, str]
    ahead: set[int]
    befallen: list[str]
    """Enterprises to which something happens, each scenario's first copy first."""
    messages: int

    def steps(self) -> Iterator[tuple[int, bytes]]:
        """(messages, packets) of each step, packet identifiers from 1 in order."""
        parts = [_read(file) for file in self.files]
        for blocks in zip(*parts, strict=True):
            yield sum(count for count, _ in blocks), b"".join(packets for _, packets in blocks)


def make_day(plan: DayPlan, folder: Path) -> Day:
    """Write the files, a process for each kind of shop."""
    kinds = sorted({load(name)[0].shop for name in names()} - {""})
    sizes = [plan.shops // len(kinds) + (i < plan.shops % len(kinds)) for i in range(len(kinds))]
    firsts = [1 + sum(sizes[:i]) for i in range(len(kinds))]
    files = [folder / f"{kind}.packets" for kind in kinds]
    with ProcessPoolExecutor(len(kinds)) as pool:
        made = list(pool.map(_make_shops, [plan] * len(kinds), kinds, firsts, sizes, files))
    day = made[0]
    for other in made[1:]:
        day.files += other.files
        day.tally.merge(other.tally)
        day.keys |= other.keys
        day.ahead |= other.ahead
        day.messages += other.messages
    longest = max(len(part.befallen) for part in made)
    day.befallen = [part.befallen[i] for i in range(longest) for part in made if i < len(part.befallen)]
    return day


def _make_shops(plan: DayPlan, kind: str, first: int, shops: int, file: Path) -> Day:
    """One kind of shop. Fails where more is sent in a step than one connection may send at once."""
    scenario, shop, lanes = _everything(plan, kind, shops)
    city = City(scenario, [shop], shops, plan.seed, first)
    ahead = {
        (enterprise_name(first - 1 + lane), event.where)
        for event in scenario.event if isinstance(event, SensorFault) and event.kind == "clock"
        for lane in event.shops
    }  # fmt: skip
    day = Day(plan, [file], Tally(), {}, set(), [enterprise_name(first - 1 + lane) for lane in lanes], 0)
    ids: dict[tuple[str, str, str], int] = {}
    sensors: list[int] = []
    times_ms: list[int] = []
    values: list[float] = []
    start_s = plan.start_us / 1e6
    with file.open("wb") as out:
        for step in range(plan.steps):
            packets: list[bytes] = []
            for _ in range(STEP_S):
                for message in city.second():
                    topic = device_topic(message.enterprise, message.device, "telemetry")
                    body = payload(message, start_s)
                    # A kind of shop has a range of its own, since its packets go out with those of the others.
                    packet_id = (1 if first == 1 else 1 << 15) + len(packets)
                    packets.append(encode(Publish(topic, body, qos=1, packet_id=packet_id), V311))
                    ts_ms = round((start_s + message.ts_s) * 1000)
                    for name, value in message.values.items():
                        place = (message.enterprise, message.device, name)
                        sensor = ids.get(place)
                        if sensor is None:
                            sensor = ids[place] = id_of("/".join(place))
                            day.keys[sensor] = "/".join(place)
                            if place[:2] in ahead:
                                day.ahead.add(sensor)
                        sensors.append(sensor)
                        times_ms.append(ts_ms)
                        values.append(value)
            assert len(packets) <= _MOST_A_STEP, f"{len(packets)} messages in one step: let devices send more seldom"
            block = b"".join(packets)
            out.write(_HEAD.pack(step + 1, len(packets), len(block)) + block)
            day.messages += len(packets)
            if len(sensors) > 200_000 or step == plan.steps - 1:
                day.tally.add(np.array(sensors, np.int64), np.array(times_ms, np.int64) * 1000, np.array(values, float))
                sensors, times_ms, values = [], [], []
    return day


def _read(file: Path) -> Iterator[tuple[int, bytes]]:
    with file.open("rb") as packed:
        while head := packed.read(_HEAD.size):
            _, count, size = _HEAD.unpack(head)
            yield count, packed.read(size)


def _everything(plan: DayPlan, kind: str, shops: int) -> tuple[Scenario, Trade, list[int]]:
    """A scenario in which all of this kind of shop happen, the shop in its own pace, and who they befall."""
    chance = random.Random(f"{plan.seed}-{kind}")
    found = {name: load(name) for name in names()}
    ours = {name: plans for name, plans in found.items() if plans[0].shop == kind}
    free = list(range(1, shops + 1))
    chance.shuffle(free)
    events: list[Event] = []
    befallen: list[int] = []
    for _ in range(max(1, shops // _SHOPS_A_COPY)):
        for scenario, _ in ours.values():
            at = chance.uniform(_LEAD_S, max(_LEAD_S + 1.0, plan.seconds - scenario.seconds - _LEAD_S))
            lanes = {number: free.pop() for event in scenario.event for number in event.shops} if free else {}
            befallen += lanes.values()
            events += [_moved(event, at, lanes) for event in scenario.event if lanes]
    quiet = load(_QUIET)[0]
    (shop,) = next(iter(ours.values()))[1]
    slow = [msgspec.structs.replace(d, period=d.period * plan.slower) for d in shop.device]
    merged = msgspec.structs.replace(
        quiet, starts_at=f"{plan.from_hour:02d}:00", seconds=float(plan.seconds), shop=kind, event=tuple(events)
    )
    return merged, msgspec.structs.replace(shop, device=tuple(slow)), befallen


def _moved(event: Event, at: float, lanes: dict[int, int]) -> Event:
    lasts = min(event.lasts, _LONGEST_FAULT_S)
    return msgspec.structs.replace(
        event, at=event.at + at, shops=tuple(lanes[n] for n in event.shops), share=0.0, lasts=lasts
    )
