"""From one measured run to a province and a hundred: cores, machines, partitions, disk and money. Pure.

What is assumed stands here by name; everything else is measured. All machines are alike and run at half their power in
the busiest hour.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil

from tocsin.bench.report import Row

DAY_READINGS = 100_000_000
SENSORS = 5_500_000
BUSIEST = 10.0
"""The busiest seconds of a day, as a multiple of its mean."""
LOAD = 0.5
"""Of a core, in those seconds."""
MACHINE_CORES = 8
MACHINE_BYTES = 32e9
LOG_DAYS, LOG_COPIES = 1, 3
KEPT_DAYS, STORE_COPIES = 365, 2
LEAST_PARTITIONS = 8
LEAST_MACHINES = 3
"""One may die while another is being upgraded."""
CORE_MONTH_USD = 25.0
"""With 4 GB of memory, at a large cloud, without a long contract."""
GB_MONTH_USD = 0.10
"""Of network block storage on SSD."""
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Measured:
    """One run.  cpu_s: seconds of each part.  log_bytes, row_bytes: on disk, a reading, one copy.
    base_bytes: of a judging process that knows no sensor.  sensor_bytes: that it grows by a sensor."""

    readings: int
    cpu_s: Mapping[str, float]
    log_bytes: float
    row_bytes: float
    base_bytes: float
    sensor_bytes: float


@dataclass(frozen=True, slots=True)
class Needed:
    """For some provinces.  peak: readings a second."""

    peak: float
    cores: float
    partitions: int
    machines: int
    disk_bytes: float
    usd_a_month: float


def needed(measured: Measured, provinces: int) -> Needed:
    """What `provinces` provinces need."""
    day = DAY_READINGS * provinces
    peak = day / _DAY_S * BUSIEST
    cores = peak * sum(measured.cpu_s.values()) / measured.readings / LOAD
    judging = sum(spent for part, spent in measured.cpu_s.items() if part.startswith(("tocsin", "worker")))
    partitions = max(LEAST_PARTITIONS, ceil(peak * judging / measured.readings / LOAD))
    memory = measured.sensor_bytes * SENSORS * provinces
    # Half of a machine's memory is for sensors, half of that free for those of a machine that dies.
    room = (MACHINE_BYTES - MACHINE_CORES * measured.base_bytes) / 4
    machines = max(LEAST_MACHINES, ceil(cores / MACHINE_CORES) + 1, ceil(memory / room))
    log = day * LOG_DAYS * measured.log_bytes * LOG_COPIES
    kept = day * KEPT_DAYS * measured.row_bytes * STORE_COPIES
    usd = machines * MACHINE_CORES * CORE_MONTH_USD + (log + kept) / 1e9 * GB_MONTH_USD
    return Needed(peak, cores, partitions, machines, log + kept, usd)


def extrapolate(name: str, measured: Measured) -> Iterator[Row]:
    """Rows for one province and for a hundred."""
    for provinces in (1, 100):
        found = needed(measured, provinces)
        what = f"{name}.for_{provinces}"
        yield Row(f"{what}.peak", found.peak, "/s", note=f"{BUSIEST:.0f} × the mean of a day")
        yield Row(f"{what}.cores", found.cores, "", note=f"every part's, {LOAD:.0%} busy at the peak")
        yield Row(f"{what}.partitions", found.partitions, "", note=f"at least {LEAST_PARTITIONS}")
        machine = f"of {MACHINE_CORES} cores and {MACHINE_BYTES / 1e9:.0f} GB"
        yield Row(f"{what}.machines", found.machines, "", note=machine)
        disk = f"{LOG_COPIES} copies of {LOG_DAYS} day of log, {STORE_COPIES} of {KEPT_DAYS} days of readings"
        yield Row(f"{what}.disk", found.disk_bytes / 1e12, "TB", note=disk)
        price = f"{CORE_MONTH_USD:g} USD a core, {GB_MONTH_USD:g} a GB"
        yield Row(f"{what}.money", found.usd_a_month, "USD/month", note=price)
