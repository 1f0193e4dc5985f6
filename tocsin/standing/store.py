"""How the reading store stands, by its own rows: it is another process, here or elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from tocsin.metrics import Station
from tocsin.standing import STORE_SILENT_S, Standing
from tocsin.standing.watch import Watch

_COUNTERS = ("stored", "late", "duplicate", "conflicting", "refused_old", "blocks")
_GAUGES = ("open_parts", "closing", "partitions", "silent_s")


def store_standing(watch: Watch, heads: Callable[[], Mapping[int, int]], now_us: Callable[[], int]) -> Standing:
    """heads: partition → number of the log's newest entry, of those that this process speaks of."""

    def silent_s() -> float:
        seen = watch.seen
        return float("inf") if seen is None else seen.store.silent_s + time.monotonic() - seen.at

    def trouble() -> str:
        if watch.age_s() > STORE_SILENT_S:
            return "it cannot be asked"
        return f"nothing stored for {silent_s():.0f} s" if silent_s() > STORE_SILENT_S else ""

    def counters() -> dict[str, float]:
        seen = watch.seen
        return {} if seen is None else {name: float(getattr(seen.store, name)) for name in _COUNTERS}

    def gauges() -> dict[str, float]:
        seen = watch.seen
        if seen is None:
            return {}
        told = {name: float(getattr(seen.store, name)) for name in _GAUGES}
        # Arrivals are of a door's clock: a little ahead of PostgreSQL's is not a negative time.
        waited_s = max(0.0, seen.store.waited_us / 1e6)
        age_s = max(0.0, (now_us() - seen.store.stream_us) / 1e6)
        return told | {"stored_seconds": waited_s, "watermark_age_seconds": age_s}

    def lag_of(partition: int) -> dict[str, float]:
        seen, newest = watch.seen, heads().get(partition)
        if seen is None or newest is None:
            return {}
        return {"lag_entries": float(max(0, newest - seen.positions.get(("store", partition), 0)))}

    lags = [Station("store", gauges=lambda p=p: lag_of(p), partition=p) for p in heads()]  # type: ignore[misc]
    return Standing("store", trouble, [Station("store", counters, gauges), *lags])
