"""How near their limits an enterprise's circuits were in the last day: read from the reading store's hours.

A circuit is a sensor of residual current, of a conductor's temperature, or of current on a device whose rated current
is known. An hour of a circuit counts as strained when its mean is at or above its share of the limit. Hours are read
some time after they are over: the store closes them first.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from schemas.identity import id_of
from schemas.risk import Strain
from scoring.risk_table import HOUR_US, RiskTable, risk_table
from streams.risk_rows import Connection

HOURS = 24
_SLOTS = 3_600
_SLOTS_AT_ONCE = 10
_MISSED_S = 60
_CLOSED_AFTER_US = HOUR_US
"""By then an hour that is over has its row."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CIRCUITS = """
    SELECT h.enterprise, h.device, sensor, (d.facts->>'rated_current_a')::float8
      FROM device_sensors AS h CROSS JOIN LATERAL unnest(h.sensors) AS sensor
      LEFT JOIN devices AS d ON d.enterprise = h.enterprise AND d.device = h.device
     WHERE h.enterprise = ANY(%s) AND split_part(sensor, '.', 1) = ANY(%s)
     ORDER BY 1, 2, 3
"""
_HOURS = """
    SELECT c.id, count(*), count(*) FILTER (WHERE h.mean >= c.high)
      FROM unnest(%s::bigint[], %s::float8[]) AS c (id, high)
      JOIN readings_hourly AS h ON h.sensor_id = c.id AND h.hour >= %s AND h.hour < %s
     GROUP BY c.id
"""


class Circuit(NamedTuple):
    name: str
    """Device and sensor: `panel/current.L1`."""
    id: int
    high: float
    """From this on an hour is strained."""


def circuits_of(connection: Connection, enterprises: Sequence[str]) -> dict[str, list[Circuit]]:
    """Of each enterprise that has any."""
    table = risk_table()
    rows = connection.execute(_CIRCUITS, (list(enterprises), list(table.electrical))).fetchall()
    found: dict[str, list[Circuit]] = {}
    for enterprise, device, sensor, rated in rows:
        high = _high(table, sensor.partition(".")[0], rated)
        if high is not None:
            circuit = Circuit(f"{device}/{sensor}", id_of(f"{enterprise}/{device}/{sensor}"), high)
            found.setdefault(enterprise, []).append(circuit)
    return found


def strain_of(connection: Connection, enterprises: Sequence[str], now_us: int) -> dict[str, Strain | None]:
    """Of each that is asked for; None where no circuit was measured. ~1 ms for 100 circuits."""
    circuits = circuits_of(connection, enterprises)
    end_us = (now_us - _CLOSED_AFTER_US) // HOUR_US * HOUR_US
    start, end = (_EPOCH + timedelta(microseconds=at) for at in (end_us - HOURS * HOUR_US, end_us))
    asked = [circuit for found in circuits.values() for circuit in found]
    values = ([circuit.id for circuit in asked], [circuit.high for circuit in asked], start, end)
    hours = {id_: (measured, strained) for id_, measured, strained in connection.execute(_HOURS, values).fetchall()}
    return {code: _strain(circuits.get(code, []), hours) for code in enterprises}


def slot_of(enterprise: str) -> int:
    """The second of the hour at which its circuits are looked at: all of them, spread over the hour."""
    return id_of(enterprise) % _SLOTS


class Hourly:
    """Which seconds of the hour are due. Kept in memory: a restart begins a minute before, so that little is missed."""

    def __init__(self) -> None:
        self._until_s: int | None = None

    def due(self, now_us: int) -> list[int]:
        """Slots to be looked at now, at most some seconds' worth; told again until they are `done`."""
        now_s = now_us // 1_000_000
        if self._until_s is None or not 0 <= now_s - self._until_s <= _SLOTS:
            self._until_s = now_s - _MISSED_S
        return [second % _SLOTS for second in range(self._until_s, min(now_s, self._until_s + _SLOTS_AT_ONCE))]

    def done(self, slots: Sequence[int]) -> None:
        self._until_s = (self._until_s or 0) + len(slots)


def _strain(circuits: Sequence[Circuit], hours: dict[int, tuple[int, int]]) -> Strain | None:
    measured = [(circuit, *hours[circuit.id]) for circuit in circuits if circuit.id in hours]
    if not measured:
        return None
    worst, _, most = max(measured, key=lambda one: (one[2], one[0].name))
    return Strain(
        len(measured), sum(count for _, count, _ in measured), sum(strained for *_, strained in measured),
        worst.name if most else "",
    )  # fmt: skip


def _high(table: RiskTable, measure: str, rated: float | None) -> float | None:
    share = table.electrical[measure]
    limit = rated if share.limit is None else share.limit
    return None if limit is None else share.share * limit
