"""A simulated city judged by the engine with the default pack, without sockets: what would ring, and when."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from schemas.alarms import AlarmEvent, Grade, State
from schemas.entries import DeviceFacts, Entry, Payload, Sensor, Sensors, Tick
from schemas.identity import SensorKey, id_of
from schemas.readings import Origin, Quality, ReadingBatch
from sensors_sim.city import City, Message
from sensors_sim.register import register
from streams.engine import Engine
from streams.packs import load_pack

START_US = 1_790_000_000_000_000
_AHEAD_US = 300_000_000
_Row = tuple[int, int, int, float, int, int]


@dataclass(slots=True)
class JudgedCity:
    """`live` for so many seconds; `events` are all alarm events so far. The facts of its devices are known."""

    city: City
    events: list[AlarmEvent] = field(default_factory=list)
    _engine: Engine = field(default_factory=lambda: Engine(load_pack()))
    _known: dict[str, int] = field(default_factory=dict)
    _number: int = 0

    def __post_init__(self) -> None:
        if all(shop.trade.facts for shop in self.city.shops):
            for d in register(self.city.shops).devices:
                self._apply(
                    DeviceFacts(
                        d.enterprise, d.device, d.rated_current_a, d.period_s, d.supply or None, d.heat_class or None,
                        None, d.profiles, gateway=d.gateway or None,
                    )
                )  # fmt: skip

    def live(self, seconds: int) -> list[AlarmEvent]:
        for t in range(seconds):
            rows: list[_Row] = []
            new: list[Sensor] = []
            for message in self.city.second():
                rows += self._rows(message, new)
            if new:
                self._apply(Sensors(new))
            if rows:
                ids, at, arrival, values, quality, origin = (np.array(column) for column in zip(*rows, strict=True))
                self._apply(ReadingBatch.of(ids, at, arrival, values, quality, origin.astype(np.uint8)))
            self._apply(Tick(START_US + (t + 1) * 1_000_000))
        return self.events

    def worst(self) -> Grade:
        return max((event.grade for event in self.events), default=Grade.BLUE)

    def rang(self, enterprise: str) -> set[tuple[Grade, str]]:
        """(grade, family) of everything that was raised there."""
        return {(e.grade, e.family) for e in self.events if e.enterprise == enterprise and e.state in RINGS}

    def _rows(self, message: Message, new: list[Sensor]) -> list[_Row]:
        arrival = START_US + int(message.at_s * 1e6)
        if message.online is not None:  # the door makes a reading of a status
            return [(self._id(message, "online", new), arrival, arrival, float(message.online), Quality.GOOD, 0)]
        rows: list[_Row] = []
        said = message.history or ((message.ts_s, message.values),)
        last = {sensor: ts_s for ts_s, values in said for sensor in values}
        for ts_s, values in said:
            at = START_US + int(ts_s * 1e6)
            wrong = at > arrival + _AHEAD_US  # what admission makes of it
            for sensor, value in values.items():
                filled = Origin.REPLAY_END if last[sensor] == ts_s else Origin.REPLAY
                origin = filled if message.history else Origin.LIVE
                row = (arrival, arrival, value, Quality.CLOCK) if wrong else (at, arrival, value, Quality.GOOD)
                rows.append((self._id(message, sensor, new), *row, origin))
        return rows

    def _id(self, message: Message, sensor: str, new: list[Sensor]) -> int:
        key = f"{message.enterprise}/{message.device}/{sensor}"
        if key not in self._known:
            self._known[key] = id_of(key)
            new.append(Sensor(self._known[key], *SensorKey.parse(key)))
        return self._known[key]

    def _apply(self, payload: Payload) -> None:
        self._number += 1
        self.events += self._engine.apply(Entry(self._number, payload)).events


RINGS = (State.RAISED, State.REGRADED)
