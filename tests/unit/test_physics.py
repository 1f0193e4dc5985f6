"""The plant physics: what must hold whatever the constants are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sensors_sim.chance import normal, seed_of, uniform
from sensors_sim.electrics import Panels, PanelSpec
from sensors_sim.physics import Rooms, RoomSpec, heat_release_kw

SEEDS = np.array([seed_of(1, f"room-{i}") for i in range(8)], np.uint64)
CALM = np.zeros(len(SEEDS))


def run_room(rooms: Rooms, seconds: int, measure: str) -> np.ndarray:
    rows = []
    for t in range(seconds):
        rooms.step(t, CALM, 0.0)
        rows.append(rooms.read(measure).copy())
    return np.array(rows)


def test_heat_grows_by_t_squared_until_its_peak_and_dies_down_after() -> None:
    t = np.array([-1.0, 0.0, 100.0, 200.0, 600.0, 660.0])
    one = np.ones_like(t)
    kw = heat_release_kw(t, 0.01172 * one, 0.0 * one, 400.0 * one, 600.0 * one)
    assert kw == pytest.approx([0.0, 0.0, 117.2, 400.0, 400.0, 400.0 / np.e])


@pytest.mark.parametrize("measure", ["temperature", "smoke", "co"])
def test_a_growing_fire_never_cools_thins_or_clears(measure: str) -> None:
    """A wobble in a growing fire would make rate rules look worse than they are."""
    rooms = Rooms(RoomSpec(), SEEDS)
    rooms.ignite(0, 5.0, "fast", 20.0, 500.0, 1e9)
    seen = run_room(rooms, 90, measure)[8:, 0]
    assert (np.diff(seen) >= -1e-9).all()
    assert seen[-1] > seen[0] + 5.0


def test_a_faster_fire_is_hotter_at_every_moment() -> None:
    curves = []
    for growth in ("slow", "medium", "fast", "ultrafast"):
        rooms = Rooms(RoomSpec(), SEEDS)
        rooms.ignite(0, 0.0, growth, 0.0, 2000.0, 1e9)
        curves.append(run_room(rooms, 120, "temperature")[30:, 0])
    assert all((hotter > cooler).all() for cooler, hotter in itertools.pairwise(curves))


def test_a_fire_stays_in_its_room() -> None:
    with_fire, without = Rooms(RoomSpec(), SEEDS), Rooms(RoomSpec(), SEEDS)
    with_fire.ignite(0, 5.0, "fast", 20.0, 500.0, 1e9)
    a, b = run_room(with_fire, 60, "smoke"), run_room(without, 60, "smoke")
    assert (a[:, 1:] == b[:, 1:]).all()
    assert a[-1, 0] > b[-1, 0] + 10.0


def test_a_smoulder_shows_co_and_smoke_before_heat() -> None:
    rooms = Rooms(RoomSpec(volume_m3=90, air_changes_h=0.5), SEEDS)
    rooms.smoulder(0, 0.0, 0.1)
    for t in range(600):
        rooms.step(t, CALM, 0.0)
    assert rooms.read("co")[0] > 20.0
    assert rooms.read("smoke")[0] > 4.0
    assert abs(rooms.read("temperature")[0] - 23.0) < 3.0


def test_gas_tends_to_leak_over_ventilation() -> None:
    """In the steady state what leaks in is what the air changes carry out."""
    rooms = Rooms(RoomSpec(volume_m3=60.0, air_changes_h=6.0), SEEDS)
    rooms.leak(0, 0.0, 60.0, 1e9)
    for t in range(3600):
        rooms.step(t, CALM, 0.0)
    expected = 100.0 * (60.0 / 60_000.0) / (60.0 * 6.0 / 3600.0) / 0.044
    assert rooms.read("gas")[0] == pytest.approx(expected, rel=0.01)
    assert rooms.read("gas")[1] == 0.0


def test_a_joint_reaches_two_thirds_of_its_rise_in_one_time_constant() -> None:
    spec = PanelSpec(rated_current_a=32.0, rise_at_rated_k=25.0, thermal_s=120.0)
    panels = Panels(spec, ["L1"], SEEDS)
    panels.bad_joint(0, "L1", 0.0, 1e9, 10.0, 1e-3)
    panels.overload(0, "L1", 0.0, 1e9, 5.0)
    readings = []
    for t in range(1200):
        panels.step(t, CALM, 0.0)
        readings.append(panels.read("conductor_temperature", "L1")[0])
    start, end = readings[0], readings[-1]
    assert end > start + 1000.0
    assert (readings[140] - start) / (end - start) == pytest.approx(1 - np.exp(-1.0), abs=0.08)


def test_voltage_sags_under_load_and_leakage_shows_on_the_residual_current() -> None:
    panels = Panels(PanelSpec(), ["L1", "L2"], SEEDS)
    panels.overload(0, "L1", 0.0, 1e9, 2.0)
    panels.leakage(1, "L1", 0.0, 1e9, 400.0)
    for t in range(60):
        panels.step(t, CALM, 0.0)
    current, voltage = panels.read("current", "L1"), panels.read("voltage", "L1")
    assert current[0] > 60.0 > current[1]
    assert voltage[0] < voltage[1] - 4.0
    assert panels.read("residual_current", "")[1] > 400.0 > panels.read("residual_current", "")[2]


def test_chance_is_the_same_alone_and_in_company() -> None:
    assert (normal(SEEDS, 7, 3)[2:3] == normal(SEEDS[2:3], 7, 3)).all()
    assert len(set(uniform(SEEDS, 7, 3)) | set(uniform(SEEDS, 8, 3)) | set(uniform(SEEDS, 7, 4))) == 24


def test_chance_is_standard_normal() -> None:
    drawn = normal(np.arange(200_000, dtype=np.uint64), 5, 1)
    assert abs(drawn.mean()) < 0.01
    assert abs(drawn.std() - 1.0) < 0.01
    assert np.isfinite(drawn).all()
