"""Scenarios as data, and the city that lives through them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from schemas.errors import ConfigError
from schemas.measures import BY_NAME
from sensors_sim.city import City, Message
from sensors_sim.faults import Fault, clock_error_s, distort, is_lost
from sensors_sim.publisher import Broker, payload
from sensors_sim.scenarios import load, names


def city(name: str, shops: int = 3, seed: int = 1) -> City:
    return City(*load(name), shops=shops, seed=seed)


def of(messages: list[Message], enterprise: str, device: str, sensor: str) -> list[tuple[float, float]]:
    return [
        (m.at_s, m.values[sensor])
        for m in messages
        if (m.enterprise, m.device) == (enterprise, device) and sensor in m.values
    ]


@pytest.mark.parametrize("name", names())
def test_every_scenario_sends_admissible_values_in_order(name: str) -> None:
    messages = list(city(name, shops=9).until(120))
    assert [m.at_s for m in messages] == sorted(m.at_s for m in messages)
    for message in messages:
        for sensor, value in message.values.items():
            low, high = BY_NAME[sensor.partition(".")[0]].instrument
            assert low <= value <= high


def test_the_same_seed_is_the_same_day_and_another_is_not() -> None:
    first, again = list(city("kitchen_fire").until(40)), list(city("kitchen_fire").until(40))
    assert first == again
    assert first != list(city("kitchen_fire", seed=2).until(40))


def test_a_shop_lives_the_same_alone_and_among_many() -> None:
    alone = list(city("kitchen_fire", shops=1).until(40))
    among = [m for m in city("kitchen_fire", shops=12).until(40) if m.enterprise == "shop-0001"]
    assert alone == among


def test_every_device_speaks_at_its_period() -> None:
    messages = list(city("quiet_day", shops=1).until(60))
    at = [m.at_s for m in messages if m.device == "kitchen"]
    assert len(at) == 30
    assert {round(b - a, 6) for a, b in itertools.pairwise(at)} == {2.0}


@pytest.mark.parametrize("seed", range(5))
def test_a_kitchen_fire_shows_within_tens_of_seconds_in_its_own_shop_alone(seed: int) -> None:
    messages = list(city("kitchen_fire", seed=seed).until(75))
    smoke = of(messages, "shop-0001", "kitchen", "smoke")
    heat = of(messages, "shop-0001", "kitchen", "temperature")
    assert max(v for t, v in smoke if t < 15) < 2.2
    assert min(v for t, v in smoke if t > 30) > 3.0
    assert max(v for t, v in heat if t < 15) < 36.0
    assert min(v for t, v in heat if t > 65) > 56.0
    assert max(v for _, v in of(messages, "shop-0002", "kitchen", "smoke")) < 2.0


def test_a_gas_leak_passes_its_levels_in_turn() -> None:
    gas = of(list(city("gas_leak", shops=1).until(800)), "shop-0001", "kitchen", "gas")
    first = [next(t for t, v in gas if v >= level) for level in (10.0, 25.0, 50.0)]
    assert 30 < first[0] < first[1] < first[2] < 730


def test_an_overload_and_a_bad_joint_reach_their_limits() -> None:
    rated = 63.0
    messages = list(city("overload").until(500))
    assert max(v for _, v in of(messages, "shop-0001", "panel", "current.L1")) > 1.45 * rated
    assert max(v for _, v in of(messages, "shop-0002", "panel", "current.L2")) > 2.55 * rated
    assert max(v for _, v in of(messages, "shop-0003", "panel", "current.L1")) < 0.9 * rated
    joints = list(city("bad_joint").until(700))
    assert max(v for _, v in of(joints, "shop-0001", "panel", "conductor_temperature.L2")) > 85.0
    assert max(v for _, v in of(joints, "shop-0001", "panel", "conductor_temperature.L1")) < 45.0
    assert max(v for _, v in of(joints, "shop-0001", "panel", "residual_current")) > 500.0


def test_every_fault_of_the_scenario_can_be_seen() -> None:
    messages = list(city("sensor_faults", shops=9).until(600))
    late = [m for m in messages if m.at_s > 40]
    stuck = {v for _, v in of(late, "shop-0001", "kitchen", "temperature")}
    drift = [v for _, v in of(late, "shop-0002", "dining", "temperature")]
    saturated = {v for _, v in of(late, "shop-0004", "dining", "humidity")}
    battery = [v for _, v in of(late, "shop-0008", "dining", "battery")]
    assert len(stuck) == 1
    assert drift[-1] - drift[0] > 0.3
    assert saturated == {100.0}
    assert 0.5 < len(of(late, "shop-0005", "kitchen", "smoke")) / 280 < 0.9
    assert not of(late, "shop-0006", "dining", "smoke")
    assert all(m.ts_s - m.at_s == 7200 for m in late if (m.enterprise, m.device) == ("shop-0007", "dining"))
    assert battery[-1] == 0.0


def test_a_fault_holds_from_its_start_to_its_end_and_for_its_sensor_alone() -> None:
    fault = Fault("drift", 10.0, 20.0, 3600.0, "smoke")
    assert [fault.holds(t, "smoke") for t in (9.9, 10.0, 19.9, 20.0)] == [False, True, True, False]
    assert not fault.holds(15.0, "temperature")
    assert distort(fault, "smoke", 1.0, 0.0, 12.0, 0.0) == 3.0
    assert not is_lost(fault, 15.0, 0.0)
    assert clock_error_s(Fault("clock", 0.0, 10.0, -7.0), 5.0) == -7.0


def test_the_payload_is_telemetry_of_the_wire() -> None:
    message = Message(1.5, 2.25, "shop-0001", "kitchen", {"temperature": 23.4, "smoke_alarm": 1.0})
    assert json.loads(payload(message, 1000.0)) == {"ts": 1_002_250, "temperature": 23.4, "smoke_alarm": 1}
    assert json.loads(payload(message, None)) == {"temperature": 23.4, "smoke_alarm": 1}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("starts_at = 3", "starts_at"),
        ('says = ""\nstarts_at = "25:00"\nseconds = 1\nshop = "restaurant"', "starts_at"),
        ('says = ""\nstarts_at = "12:00"\nseconds = 1\nshop = "castle"', "no shop is called 'castle'"),
        (
            'says = ""\nstarts_at = "12:00"\nseconds = 1\nshop = "restaurant"\n'
            '[[event]]\nwhat = "fire"\nat = 1\nwhere = "attic"',
            "Its devices are kitchen, dining, panel",
        ),
        (
            'says = ""\nstarts_at = "12:00"\nseconds = 1\nshop = "restaurant"\n'
            '[[event]]\nwhat = "flood"\nat = 1\nwhere = "kitchen"',
            "flood",
        ),
    ],
)
def test_a_wrong_scenario_names_what_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=says):
        load(str(file))


def test_an_unknown_scenario_names_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match="kitchen_fire"):
        load("kitchen-fire")


@pytest.mark.parametrize("url", ["http://x", "mqtt://", "mqtt://x:port", "127.0.0.1:1883"])
def test_a_broker_that_is_no_mqtt_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="mqtt://HOST:PORT"):
        Broker.parse(url)


def test_a_broker_address_may_leave_out_the_port() -> None:
    assert Broker.parse("mqtt://me@door.example") == Broker("door.example", 1883, "me")
    assert "secret" not in repr(Broker.parse("mqtt://door.example", "me", "secret"))
