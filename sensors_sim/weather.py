"""Outdoor temperature of a temperate city by the sea: seasons, days and nights, warm spells and cold ones, by seed.

Pure: a moment and a seed give one temperature, so that a city may be asked for any second in any order.
"""

from __future__ import annotations

import math

from sensors_sim.chance import seed_of

DAY_S = 86_400
_YEAR_DAYS = 365.2425
_MEAN_C, _SEASON_K = 16.5, 12.0
_COLDEST_DAY = 20.0
"""Of the year, counted from 1 January; half a year later is the hottest."""
_NIGHT_K = 4.0
_WARMEST_HOUR = 15.0
_SPELL_K = 2.5


class Weather:
    """Of one city."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._spells: dict[int, float] = {}

    def outdoor_c(self, local_s: float) -> float:
        """Degrees Celsius at a local time, in seconds since 1970 of the local clock."""
        days = local_s / DAY_S
        season = -math.cos(2.0 * math.pi * (days - _COLDEST_DAY) / _YEAR_DAYS)
        of_day = math.cos(2.0 * math.pi * (days % 1.0 - _WARMEST_HOUR / 24.0))
        whole = math.floor(days)
        share = days - whole
        smooth = share * share * (3.0 - 2.0 * share)
        spell = self._spell(whole) * (1.0 - smooth) + self._spell(whole + 1) * smooth
        return _MEAN_C + _SEASON_K * season + _NIGHT_K * of_day + spell

    def _spell(self, day: int) -> float:
        """How much warmer than usual the midnight before `day` is: spells last some days."""
        if day not in self._spells:
            draws = (seed_of(self._seed, "weather", str(day - back)) / 2.0**64 - 0.5 for back in range(4))
            weighted = sum(draw * weight for draw, weight in zip(draws, (1.0, 0.8, 0.6, 0.4), strict=True))
            self._spells[day] = _SPELL_K * weighted * math.sqrt(12.0) / 1.47
        return self._spells[day]
