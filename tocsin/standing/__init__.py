"""How each part of a process stands: words for `/readyz` and the heartbeat, numbers for `/metrics`.

A part's source (`door_standing`, `judging_standing` …) makes a `Standing`; a process composes those of the parts that
it has, as the one process composes all of them. Limits that make a part not ready are here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tocsin.metrics import Station

LAG_S = 10.0
"""Judging that is further behind than this is not ready."""
STORE_SILENT_S = 60.0


@dataclass(frozen=True, slots=True)
class Standing:
    """One part. trouble: what is wrong with it, for a person; empty when all is well; must not block."""

    name: str
    trouble: Callable[[], str]
    stations: Sequence[Station] = ()


class Standings:
    """Those of a process. sources: asked each time, since partitions come and go."""

    def __init__(self, sources: Callable[[], Iterable[Standing]]) -> None:
        self._sources = sources

    def troubles(self) -> dict[str, str]:
        """Every part → what is wrong with it, "" where nothing is."""
        return {standing.name: standing.trouble() for standing in self._sources()}

    def wrong(self) -> dict[str, str]:
        """The parts with which something is wrong."""
        return {name: trouble for name, trouble in self.troubles().items() if trouble}

    def stations(self) -> list[Station]:
        return [station for standing in self._sources() for station in standing.stations]
