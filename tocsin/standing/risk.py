"""How the keeping of a partition's risks stands."""

from __future__ import annotations

from streams.risk_keeper import RiskKeeper
from tocsin.metrics import Station
from tocsin.standing import Standing


def risk_standing(keeper: RiskKeeper, *, partition: int = 0, name: str = "risk") -> Standing:
    def counters() -> dict[str, float]:
        return {
            "turns": float(keeper.turns),
            "recomputed": float(keeper.recomputed),
            "changed": float(keeper.changed),
        }

    def gauges() -> dict[str, float]:
        return {"position": float(keeper.position)}

    return Standing(name, keeper.trouble, [Station("risk", counters, gauges, partition=partition)])
