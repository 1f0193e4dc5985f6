"""How a bridge stands."""

from __future__ import annotations

from collections.abc import Callable

from ingest.bridge.limits import Counts
from tocsin.metrics import Station
from tocsin.standing import Standing

_COUNTERS = (
    "rounds", "received_bytes", "messages", "acknowledged", "published", "connects", "forgotten", "adopted",
)  # fmt: skip
_GAUGES = ("connections", "sessions", "is_away")
_CAUSES = ("closed", "refused", "dropped")


def bridge_standing(counts: Counts, trouble: Callable[[], str]) -> Standing:
    def counters() -> dict[str, float]:
        return {name: float(getattr(counts, name)) for name in _COUNTERS}

    def gauges() -> dict[str, float]:
        return {name: float(getattr(counts, name)) for name in _GAUGES}

    def causes() -> dict[str, dict[str, float]]:
        return {
            name: {cause.value: float(count) for cause, count in dict(getattr(counts, name)).items()}
            for name in _CAUSES
        }

    return Standing("bridge", trouble, [Station("bridge", counters, gauges, causes)])
