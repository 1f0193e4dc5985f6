"""Who lives in a city: which enterprise is of which trade. Everything follows from the seed and the number.

An enterprise is the same whatever their count is, so a city of 30,000 begins with the 300 of a small one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sensors_sim.chance import seed_of
from sensors_sim.trade import DevicePlan, Trade


@dataclass(frozen=True, slots=True)
class Shop:
    """One enterprise. `code` is its name on the wire."""

    number: int
    """From 1."""
    code: str
    trade: Trade
    seed: int
    """The city's."""

    @property
    def devices(self) -> list[DevicePlan]:
        """Those it has; a gateway is there whenever something is behind it."""
        return [plan for plan in self.trade.device if plan.present >= 1.0 or self.chance(plan.name) < plan.present]

    @property
    def hours(self) -> str:
        """Its opening hours, as OpenStreetMap writes them."""
        left = self.chance("hours") * sum(weight for _, weight in self.trade.hours)
        for hours, weight in self.trade.hours:
            left -= weight
            if left < 0.0:
                return hours
        return self.trade.hours[-1][0]

    def chance(self, what: str) -> float:
        """A number in [0, 1) that is this shop's for ever."""
        return seed_of(self.seed, self.code, "has", what) / 2.0**64


def enterprise_name(number: int) -> str:
    """The code of shop `number` where all are of one kind."""
    return f"shop-{number:04d}"


def settle(trades: Sequence[Trade], count: int, seed: int, first: int = 1) -> list[Shop]:
    """`count` enterprises from number `first` on, their trades drawn by weight. One trade alone gives plain codes."""
    if len(trades) == 1:
        return [Shop(n, enterprise_name(n), trades[0], seed) for n in range(first, first + count)]
    total = sum(trade.weight for trade in trades)
    shops = []
    for number in range(first, first + count):
        left = seed_of(seed, "trade", str(number)) / 2.0**64 * total
        for trade in trades:
            left -= trade.weight
            if left < 0.0:
                break
        shops.append(Shop(number, f"{trade.trade}-{number:05d}", trade, seed))
    return shops
