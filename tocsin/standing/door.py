"""How a door stands."""

from __future__ import annotations

from ingest.door.limits import Counts
from tocsin.metrics import Station
from tocsin.standing import Standing

_COUNTERS = ("rounds", "received_bytes", "messages", "acknowledged", "published", "connects", "rate_limited")
_GAUGES = ("connections", "sessions", "unfinished_bytes", "is_away")
_CAUSES = ("closed", "refused", "dropped")


def door_standing(counts: Counts) -> Standing:
    def counters() -> dict[str, float]:
        return {name: float(getattr(counts, name)) for name in _COUNTERS}

    def gauges() -> dict[str, float]:
        return {name: float(getattr(counts, name)) for name in _GAUGES}

    def causes() -> dict[str, dict[str, float]]:
        return {
            name: {cause.value: float(count) for cause, count in dict(getattr(counts, name)).items()}
            for name in _CAUSES
        }

    def trouble() -> str:
        return "the log is away; clients wait" if counts.is_away else ""

    return Standing("door", trouble, [Station("door", counters, gauges, causes)])
