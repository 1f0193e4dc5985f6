"""Scenarios told through the engine with the default pack: what rings and when, and what stays silent."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from schemas.alarms import AlarmEvent, Grade, Kind, State
from schemas.entries import Entry, Payload, Sensor, Sensors, Tick
from schemas.identity import SensorKey, id_of
from schemas.readings import Origin, Quality, ReadingBatch
from sensors_sim.city import City
from sensors_sim.scenarios import load
from streams.engine import Engine
from streams.packs import load_pack

START_US = 1_790_000_000_000_000


def ring(name: str, seconds: int, shops: int = 3, seed: int = 1, starts_at: str = "") -> list[AlarmEvent]:
    """Every alarm event of the first `seconds`, with a tick after each second."""
    scenario, shop = load(name)
    if starts_at:
        scenario = msgspec.structs.replace(scenario, starts_at=starts_at)
    city, engine = City(scenario, shop, shops, seed), Engine(load_pack())
    known: dict[str, int] = {}
    events: list[AlarmEvent] = []
    number = 0
    for t in range(seconds):
        rows: list[tuple[int, int, int, float, int]] = []
        new: list[Sensor] = []
        for message in city.second():
            for sensor, value in message.values.items():
                key = SensorKey.parse(f"{message.enterprise}/{message.device}/{sensor}")
                if str(key) not in known:
                    known[str(key)] = id_of(str(key))
                    new.append(Sensor(known[str(key)], *key))
                at_us, arrival_us = (START_US + int(s * 1e6) for s in (message.ts_s, message.at_s))
                if at_us > arrival_us + 300_000_000:  # what admission makes of it
                    rows.append((known[str(key)], arrival_us, arrival_us, value, Quality.CLOCK))
                else:
                    rows.append((known[str(key)], at_us, arrival_us, value, Quality.GOOD))
        payloads: list[Payload] = [Sensors(new)] if new else []
        if rows:
            ids, at, arrival, values, quality = (np.array(column) for column in zip(*rows, strict=True))
            origin = np.full(len(rows), Origin.LIVE, np.uint8)
            payloads.append(ReadingBatch.of(ids, at, arrival, values, quality, origin))
        for payload in [*payloads, Tick(START_US + (t + 1) * 1_000_000)]:
            number += 1
            events += engine.apply(Entry(number, payload)).events
    return events


def after_s(event: AlarmEvent) -> float:
    return (event.event_us - START_US) / 1e6


def first(events: list[AlarmEvent], wanted: Callable[[AlarmEvent], bool]) -> AlarmEvent:
    return next(e for e in events if wanted(e) and e.state in (State.RAISED, State.REGRADED))


@pytest.mark.parametrize("starts_at", ["03:00", "09:30", "12:00", "17:30", "22:30"])
def test_quiet_shops_raise_nothing_above_blue(starts_at: str) -> None:
    """The hardest times of the day: load and warmth climb fastest when a shop opens."""
    events = ring("quiet_day", 1200, shops=10, starts_at=starts_at)
    assert [e for e in events if e.kind is not Kind.ANOMALY or e.grade > Grade.BLUE] == []
    assert len({e.key for e in events}) <= 2


@pytest.mark.parametrize("seed", range(4))
def test_a_kitchen_fire_is_red_within_half_a_minute_and_nowhere_else(seed: int) -> None:
    events = ring("kitchen_fire", 120, seed=seed)
    fires = [e for e in events if e.kind is Kind.FIRE]
    red = first(fires, lambda e: e.grade is Grade.RED)
    assert after_s(fires[0]) > 15
    assert after_s(red) < 45
    assert {e.enterprise for e in fires} == {"shop-0001"}
    assert {"smoke", "heat"} <= {e.family for e in fires}


def test_a_smoulder_is_a_fire_of_smoke_and_co_without_heat() -> None:
    events = ring("smoulder", 1200)
    fires = [e for e in events if e.kind is Kind.FIRE]
    assert first(fires, lambda e: e.family == "smoke" and e.grade is Grade.RED).device == "store"
    assert "heat" not in {e.family for e in fires}
    assert {e.enterprise for e in fires} == {"shop-0001"}


def test_a_gas_leak_climbs_from_yellow_to_red() -> None:
    gas = [e for e in ring("gas_leak", 700) if e.kind is Kind.GAS]
    climb = [e.grade for e in gas if e.state in (State.RAISED, State.REGRADED)]
    assert climb == [Grade.YELLOW, Grade.ORANGE, Grade.RED]
    assert {e.enterprise for e in gas} == {"shop-0001"}


def test_a_bad_joint_and_its_leakage_are_electrical_and_no_fire() -> None:
    events = ring("bad_joint", 700)
    assert first(events, lambda e: e.family == "conductor_temperature" and e.grade >= Grade.ORANGE)
    assert first(events, lambda e: e.family == "residual_current" and e.grade is Grade.ORANGE)
    serious = [e for e in events if e.grade >= Grade.YELLOW]
    assert {e.enterprise for e in serious} == {"shop-0001"}
    assert {e.kind for e in serious} <= {Kind.ELECTRICAL, Kind.ANOMALY}


def test_faulty_sensors_are_faults_and_never_a_fire() -> None:
    events = ring("sensor_faults", 900, shops=9)
    assert not [e for e in events if e.kind in (Kind.FIRE, Kind.GAS)]
    assert first(events, lambda e: e.kind is Kind.SILENCE).subject == "shop-0006/dining"
    assert first(events, lambda e: e.family == "clock").subject == "shop-0007/dining"
    assert first(events, lambda e: e.family == "battery").enterprise == "shop-0008"
