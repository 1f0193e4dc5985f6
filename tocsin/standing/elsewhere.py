"""How the judging and the storing stand that other processes do, by the positions that they commit.

For the heartbeat: a watcher outside should hear of it when nobody judges, though the process that calls him is well.
"""

from __future__ import annotations

from collections.abc import Sequence

from tocsin.standing import STORE_SILENT_S, Standing
from tocsin.standing.watch import Watch

STILL_S = 30.0
"""Ticks come once a second to every partition, so a position that stands still for longer is judged by nobody."""


def judged_elsewhere(watch: Watch, partitions: int) -> Standing:
    def trouble() -> str:
        return _still(watch, "engine", range(partitions), STILL_S, "judged")

    return Standing("judging", trouble)


def stored_elsewhere(watch: Watch, partitions: int) -> Standing:
    def trouble() -> str:
        return _still(watch, "store", range(partitions), STORE_SILENT_S, "stored")

    return Standing("store", trouble)


def _still(watch: Watch, consumer: str, partitions: Sequence[int], most_s: float, done: str) -> str:
    if watch.age_s() > most_s:
        return "it cannot be asked"
    still = [str(partition) for partition in partitions if watch.still_s(consumer, partition) > most_s]
    return f"not {done} for more than {most_s:.0f} s: partition {', '.join(still)}" if still else ""
