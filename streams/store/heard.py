"""Which devices were ever heard, and with which sensors: table `device_sensors`, from the declarations in the log.

Doors declare a sensor anew in each of their lives, so what this life has written is remembered by its ids alone: eight
bytes a sensor. Rows are written before the place in the log moves past their declarations, and again is harmless.
"""

from __future__ import annotations

import numpy as np

from schemas.entries import Sensors
from schemas.readings import I64
from scoring.declarations import CHANNEL, DEVICE, ENTERPRISE, MEASURE, declarations
from streams.store.edge import Connection, translated

_ROWS = 2_000
"""Devices in one statement: a morning may bring hundreds of thousands."""
_RECENT = 50_000
"""Ids that are kept apart before they are sorted in among the others."""
_PUT = """
    INSERT INTO device_sensors AS known (enterprise, device, sensors)
    SELECT enterprise, device, string_to_array(sensors, ' ')
      FROM unnest(%s::text[], %s::text[], %s::text[]) AS said (enterprise, device, sensors)
    ON CONFLICT (enterprise, device) DO UPDATE
       SET sensors = ARRAY(SELECT DISTINCT unnest(known.sensors || excluded.sensors) AS sensor ORDER BY sensor)
     WHERE NOT known.sensors @> excluded.sensors
"""


class Heard:
    """One to a connection and a thread; made anew after any failure."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._written: I64 = np.empty(0, np.int64)
        self._recent: set[int] = set()
        self._waiting: dict[tuple[str, str], set[str]] = {}

    def note(self, sensors: Sensors) -> None:
        """Remember what is new of an entry; some 5 µs a new sensor, 0.4 µs another."""
        told = declarations(sensors)
        at = np.searchsorted(self._written, told.ids)
        known = np.zeros(len(told.ids), np.bool_)
        inside = at < len(self._written)
        known[inside] = self._written[at[inside]] == told.ids[inside]
        fresh = np.flatnonzero(~known)
        if not len(fresh):
            return
        # Names and channels are ASCII, so a byte is a character.
        text = told.body.tobytes().decode("latin-1")
        columns = (told.ids[fresh].tolist(), told.starts[fresh].tolist(), told.ends[fresh].tolist())
        for number, start, end in zip(*columns, strict=True):
            if number in self._recent:
                continue
            self._recent.add(number)
            measure, channel = text[start[MEASURE] : end[MEASURE]], text[start[CHANNEL] : end[CHANNEL]]
            device = (text[start[ENTERPRISE] : end[ENTERPRISE]], text[start[DEVICE] : end[DEVICE]])
            self._waiting.setdefault(device, set()).add(f"{measure}.{channel}" if channel else measure)

    def write(self) -> None:
        """Have the table say so. Raises ServiceAway."""
        if not self._waiting:
            return
        rows = [(*device, " ".join(sorted(sensors))) for device, sensors in sorted(self._waiting.items())]
        with translated(needed_bytes=200 * len(rows)):
            for first in range(0, len(rows), _ROWS):
                some = rows[first : first + _ROWS]
                self._connection.execute(_PUT, [[row[column] for row in some] for column in range(3)])
        self._waiting.clear()
        if len(self._recent) > _RECENT:
            fresh = np.fromiter(self._recent, np.int64, len(self._recent))
            self._written = np.union1d(self._written, fresh)
            self._recent.clear()
