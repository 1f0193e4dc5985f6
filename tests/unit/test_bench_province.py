"""What `tocsin bench province` offers, and what it makes of what it measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tocsin.bench.province import is_judging, plan_of
from tocsin.bench.report import Options
from tocsin.bench.scale import LEAST_MACHINES, LEAST_PARTITIONS, Measured, extrapolate, needed

MEASURED = Measured(
    readings=1_000_000,
    cpu_s={"tocsin": 1.5, "postgres": 0.5},
    log_bytes=50.0,
    row_bytes=100.0,
    base_bytes=300e6,
    sensor_bytes=150.0,
)


@pytest.mark.parametrize(("readings", "sensors", "packing"), [(20_000_000, 5_500_000, 5), (7, 3, 2), (100, 1, 1)])
def test_at_least_so_many_readings_and_sensors_are_sent(readings: int, sensors: int, packing: int) -> None:
    """A day that was cut short would flatter."""
    plan = plan_of(Options(readings=readings, sensors=sensors, packing=packing))
    assert plan.messages * plan.readings >= readings
    assert sensors <= plan.rows * plan.readings < sensors + plan.connections * packing


def test_a_rate_is_of_readings() -> None:
    """The generator counts messages."""
    assert plan_of(Options(rate=150_000, packing=5)).rate == 30_000


def test_the_store_is_no_judging_process() -> None:
    """Its memory is another figure."""
    assert [is_judging(part) for part in ("tocsin", "worker-2", "worker-2.store", "postgres", "door-1")] == [
        True, True, False, False, False,
    ]  # fmt: skip


def test_a_province_needs_little_and_never_a_single_machine() -> None:
    """One may die while another is upgraded; 100 million a day are 11,574 a second at ten times the mean."""
    found = needed(MEASURED, 1)
    assert found.peak == pytest.approx(11_574, abs=1)
    assert found.cores == pytest.approx(11_574 * 2e-6 / 0.5, rel=1e-3)
    assert (found.machines, found.partitions) == (LEAST_MACHINES, LEAST_PARTITIONS)
    assert found.disk_bytes == pytest.approx(1e8 * (50 * 3 + 100 * 365 * 2))


def test_a_hundred_need_a_hundred_times_the_disk_and_the_cores() -> None:
    """Nothing is shared between provinces but machines."""
    one, many = needed(MEASURED, 1), needed(MEASURED, 100)
    assert many.disk_bytes == pytest.approx(100 * one.disk_bytes)
    assert many.cores == pytest.approx(100 * one.cores)


def test_sensors_may_be_what_fills_the_machines() -> None:
    """Memory is needed whether they speak or not."""
    few, large = needed(MEASURED, 100), needed(replace(MEASURED, sensor_bytes=1500.0), 100)
    assert large.cores == few.cores
    assert large.machines > few.machines
    assert large.usd_a_month > few.usd_a_month


def test_every_row_says_what_it_rests_on() -> None:
    """A figure without its assumption is a promise."""
    rows = list(extrapolate("province", MEASURED))
    assert [row.name for row in rows[:6]] == [
        f"province.for_1.{what}" for what in ("peak", "cores", "partitions", "machines", "disk", "money")
    ]
    assert len(rows) == 12
    assert all(row.note for row in rows)
