"""How the keeping of a partition's risks stands."""

from __future__ import annotations

from typing import Protocol

from tocsin.metrics import Station
from tocsin.standing import Standing


class Keeper(Protocol):
    """A `RiskKeeper`, here or in a process of its own."""

    def trouble(self) -> str: ...

    @property
    def position(self) -> int: ...

    @property
    def turns(self) -> int: ...

    @property
    def recomputed(self) -> int: ...

    @property
    def changed(self) -> int: ...


def risk_standing(keeper: Keeper, *, partition: int = 0, name: str = "risk") -> Standing:
    def counters() -> dict[str, float]:
        return {
            "turns": float(keeper.turns),
            "recomputed": float(keeper.recomputed),
            "changed": float(keeper.changed),
        }

    def gauges() -> dict[str, float]:
        return {"position": float(keeper.position)}

    return Standing(name, keeper.trouble, [Station("risk", counters, gauges, partition=partition)])
