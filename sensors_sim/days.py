"""How busy every shop of a city is at a moment: its week, its own quarter of an hour, better days and worse ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from schemas.hours import DAY_MIN
from sensors_sim.chance import F64, U64, seed_of, uniform
from sensors_sim.opening import WEEK_MIN, busy_week
from sensors_sim.town import Shop
from sensors_sim.weather import DAY_S

_VIGOUR = 0.15
"""One day is so much busier or quieter than another at most."""
_THURSDAY_MIN = 3 * DAY_MIN
"""1970 began on one."""


class Days:
    """(n,) shops; those with the same trade and hours share a week."""

    def __init__(self, shops: Sequence[Shop]) -> None:
        numbers: dict[tuple[str, str], int] = {}
        weeks: list[npt.NDArray[np.float32]] = []
        of_shop: list[int] = []
        for shop in shops:
            key = shop.trade.trade, shop.hours
            if key not in numbers:
                numbers[key] = len(weeks)
                weeks.append(busy_week(shop.hours, shop.trade.activity, shop.trade.weekdays))
            of_shop.append(numbers[key])
        self._weeks, self._week_of = np.stack(weeks), np.array(of_shop)
        shift = [(2.0 * shop.chance("shift") - 1.0) * shop.trade.shift_h * 60.0 for shop in shops]
        self._shift_min = np.array(shift)
        self._seeds: U64 = np.array([seed_of(shop.seed, shop.code, "day") for shop in shops], np.uint64)

    def busy(self, local_s: float) -> F64:
        """0 to 1 each, at local seconds since 1970."""
        minute = (local_s / 60.0 + _THURSDAY_MIN + self._shift_min) % WEEK_MIN
        whole = minute.astype(np.int64)
        now, then = self._weeks[self._week_of, whole], self._weeks[self._week_of, (whole + 1) % WEEK_MIN]
        of_day = uniform(self._seeds, int(local_s // DAY_S), 5)
        busy: F64 = (now + (then - now) * (minute - whole)) * (1.0 - _VIGOUR * of_day)
        return busy
