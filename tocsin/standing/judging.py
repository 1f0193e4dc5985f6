"""How the judging of a partition stands."""

from __future__ import annotations

import time
from collections.abc import Callable

from streams.engine import Engine
from streams.judging import Judging
from tocsin.metrics import Station
from tocsin.standing import LAG_S, Standing
from tocsin.standing.watch import Watch

_SENSORS = ("sensors", "devices", "watched", "silent")


def judging_standing(
    judging: Judging,
    engine: Engine,
    head: Callable[[], int | None],
    now_us: Callable[[], int],
    watch: Watch,
    *,
    partition: int = 0,
    name: str = "judging",
) -> Standing:
    """head: number of the log's newest entry, None while it is not known.  now_us: the house's time."""

    def lag_s() -> float:
        """From the engine's now to the house's time; ticks come once a second."""
        return max(0.0, (now_us() - judging.judged_until_us) / 1e6)

    def trouble() -> str:
        if not judging.ready.is_set():
            return "memory is being rebuilt"
        behind_s = lag_s()
        return f"{behind_s:.0f} s behind" if behind_s > LAG_S else ""

    def counters() -> dict[str, float]:
        fates = {f"readings_{fate}": float(n) for fate, n in engine.counters().items() if fate not in _SENSORS}
        return fates | {
            "entries": judging.entries,
            "events": judging.events,
            "checkpoints": judging.checkpoints,
            "replayed_entries": judging.replayed,
        }

    def gauges() -> dict[str, float]:
        counted = engine.counters()
        told = {sensors: float(counted[sensors]) for sensors in _SENSORS} | {
            "position": float(judging.position),
            "watermark_timestamp_seconds": judging.judged_until_us / 1e6,
            "lag_seconds": lag_s(),
        }
        newest = head()
        if newest is not None:
            told["lag_entries"] = float(max(0, newest - judging.position))
        seen = watch.seen
        if seen is not None and partition in seen.checkpoints:
            told["checkpoint_age_seconds"] = seen.checkpoints[partition] + time.monotonic() - seen.at
        return told

    return Standing(name, trouble, [Station("engine", counters, gauges, partition=partition)])
