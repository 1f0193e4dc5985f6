"""How a desk, or all desks of a process, stand. What they count beside it is in `alerting.metrics`."""

from __future__ import annotations

from collections.abc import Iterable

from alerting.desk import Desk
from alerting.desks import Desks
from tocsin.metrics import Station
from tocsin.standing import Standing


def desk_standing(desk: Desk, partition: int = 0) -> Standing:
    station = Station("alerting", gauges=lambda: {"position": float(desk.position)}, partition=partition)
    return Standing("desk", desk.trouble, [station])


def desks_standing(desks: Desks) -> Iterable[Standing]:
    """Asked each time: partitions come and go."""

    def counters() -> dict[str, float]:
        return {"partitions_taken": float(desks.taken), "partitions_given_up": float(desks.given_up)}

    held = desks.held()
    positions = [
        Station("alerting", gauges=lambda desk=desk: {"position": float(desk.position)}, partition=partition)  # type: ignore[misc]
        for partition, desk in held.items()
    ]
    served = Station("alerting", counters, lambda: {"partitions": float(len(held))})
    return [Standing("desks", desks.trouble, [served, *positions])]
