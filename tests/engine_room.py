"""A room with one engine: declare, read and tick in seconds, and see which steps come out."""

from __future__ import annotations

from typing import Any

import numpy as np

from schemas.alarms import AlarmEvent, Answer, Grade, Kind
from schemas.entries import DeviceFacts, Entry, PackActivated, Payload, ResetAsked, Sensor, Sensors, Tick
from schemas.readings import Origin, Quality, ReadingBatch
from schemas.rules import Rule, RulePack
from streams.engine import Engine

START = 1_790_000_000_000_000


def us(seconds: float) -> int:
    return START + round(seconds * 1e6)


def a_rule(name: str = "r", measures: str = "temperature", **more: Any) -> Rule:
    fixed: dict[str, Any] = {"family": "heat", "kind": Kind.FIRE, "grade": Grade.RED, "high": 50.0, "clear_high": 40.0}
    fixed |= more
    return Rule(name, tuple(measures.split()), **fixed)


class Room:
    """One engine under one pack; device `shop/room` has the sensors named in `measures`."""

    def __init__(self, *rules: Rule, measures: str = "temperature") -> None:
        self.packs = {"first": RulePack("first", "first", rules, toml="first")}
        self.engine = Engine(self.packs["first"], read_pack=lambda toml, version: self.packs[toml], capacity=4096)
        self.numbers = 0
        self.scores: list[float] = []
        self.sensors = {name: Sensor(i, "shop", "room", name) for i, name in enumerate(measures.split(), 1)}
        self.apply(Sensors(list(self.sensors.values())))

    def apply(self, payload: Payload) -> list[AlarmEvent]:
        self.numbers += 1
        return list(self.engine.apply(Entry(self.numbers, payload)).events)

    def read(
        self,
        t: float,
        value: float,
        measure: str = "",
        *,
        lag: float = 0.0,
        quality: Quality = Quality.GOOD,
        origin: Origin = Origin.LIVE,
    ) -> list[AlarmEvent]:
        """A reading at second t that arrives `lag` seconds later."""
        sensor = self.sensors[measure] if measure else next(iter(self.sensors.values()))
        batch = ReadingBatch.of([sensor.id], [us(t)], [us(t + lag)], [value], [quality], [origin])
        self.numbers += 1
        scores = np.zeros(1)
        events = self.engine.apply(Entry(self.numbers, batch), scores).events
        self.scores += scores.tolist()
        return list(events)

    def tick(self, t: float) -> list[AlarmEvent]:
        return self.apply(Tick(us(t)))

    def facts(self, **facts: Any) -> list[AlarmEvent]:
        return self.apply(DeviceFacts("shop", "room", **facts))

    def activate(self, *rules: Rule) -> list[AlarmEvent]:
        name = f"pack {len(self.packs)}"
        self.packs[name] = RulePack(name, name, rules, toml=name)
        return self.apply(PackActivated(name, name))

    def reset(self, event: AlarmEvent, seen: int | None = None) -> tuple[list[AlarmEvent], Answer]:
        self.numbers += 1
        asked = ResetAsked("c1", event.key, event.step if seen is None else seen, "ann")
        verdict = self.engine.apply(Entry(self.numbers, asked))
        return list(verdict.events), verdict.answers[0]


def steps(events: list[AlarmEvent]) -> list[tuple[str, str]]:
    """What the events say in short: (state, grade)."""
    return [(event.state.value, event.grade.word) for event in events]
