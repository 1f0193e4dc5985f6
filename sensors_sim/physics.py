"""Rooms that burn, smoulder and leak: zone-model physics, one lane a room, stepped by the second.

Heat: t² growth (NFPA 92 classes), Alpert's ceiling jet over a hot layer with an energy balance, and a sensor that lags
by its response time index.  Smoke and CO: yields of the burnt mass, mixed into the layer, thinned by ventilation,
entering the chamber with a lag.  Gas: a leak against ventilation.  Good enough to look right on a chart and to alarm in
a believable time; not a design tool.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sensors_sim.chance import F64, U64, normal, uniform

GROWTH_KW_S2 = {"slow": 0.00293, "medium": 0.01172, "fast": 0.0469, "ultrafast": 0.1876}
"""Heat release after t seconds is this times t²."""

_AIR_KJ_M3_K = 1.2
_HEAT_OF_COMBUSTION_KJ_G = 20.0
_LOSS_KW_M2_K = 0.03
_TO_LAYER = 0.7  # the rest is radiated away
_FLAME_SMOKE_G_G, _FLAME_CO_G_G, _FLAME_EXTINCTION_M2_G = 0.05, 0.02, 8.7
_SMOULDER_SMOKE_G_G, _SMOULDER_CO_G_G, _SMOULDER_EXTINCTION_M2_G = 0.08, 0.12, 4.4
_CO_PPM_M3_G = 870.0  # 1 g of CO in a cubic metre, at 25 °C
_METHANE_LEL = 0.044  # share of volume
_DECAY_S = 60.0
_AMBIENT_C = 23.0
_DRAUGHT_S = 600.0
_GUST_S, _GUST_K = 15.0, 0.25
"""A stove that is opened, a hood that is switched: what a kitchen's air does within a minute."""
_PUFF_S, _PUFF_MEDIAN, _PUFF_SPREAD = 600, 0.3, 0.55
"""Steam comes in puffs: at most one in so many seconds, in %/m, lognormal. A lid is lifted, a wok is rinsed."""
_PUFF_RISES_S, _PUFF_FADES_S = 6.0, 40.0
_PUFF_K, _PUFF_RH = 0.8, 6.0
"""What a puff of 1 %/m warms and moistens the air beside the sensor."""
_NEVER = np.inf


@dataclass(frozen=True, slots=True)
class RoomSpec:
    """A room as the sensors see it; lengths in m. Each field is one number, or one a room (n,)."""

    volume_m3: float | F64 = 60.0
    height_m: float | F64 = 2.8
    fuel_height_m: float | F64 = 0.9
    sensor_radius_m: float | F64 = 1.8
    """From the fire's axis, along the ceiling."""
    air_changes_h: float | F64 = 2.0
    response_time_index: float | F64 = 12.0
    """(m·s)^½ of the heat sensor: a bare thermistor about 10, a sealed detector 50."""
    cooking: float | F64 = 0.0
    """1: a kitchen at full work warms by 4 K and hazes the air a little."""
    steam: float | F64 = 0.0
    """Puffs of steam an hour at full work."""
    crowd: float | F64 = 0.0
    """1: a room full of people is 2 K warmer."""


def heat_release_kw(t_s: F64, growth: F64, initial: F64, peak: F64, burns_s: F64) -> F64:
    """Heat release `t_s` seconds after ignition (0 before it): growth by t² up to the peak, decay after `burns_s`."""
    lit = np.maximum(t_s, 0.0)
    burning = np.minimum(lit, burns_s)
    grown = np.minimum(initial + growth * burning * burning, peak)
    faded = grown * np.exp(-np.maximum(lit - burning, 0.0) / _DECAY_S)
    return np.where(t_s >= 0.0, faded, 0.0)


def obscuration(extinction_per_m: F64) -> F64:
    """%/m from an extinction coefficient in 1/m."""
    return 100.0 * -np.expm1(-extinction_per_m)


def _relax(value: F64, towards: F64, dt_s: float, tau_s: F64 | float) -> F64:
    return towards + (value - towards) * np.exp(-dt_s / tau_s)


class Rooms:
    """n rooms of one kind; every array is (n,). Times are seconds from the scenario's start."""

    def __init__(self, spec: RoomSpec, seeds: U64) -> None:
        n = len(seeds)
        self._spec, self._seeds = spec, seeds
        self._fire_at = np.full(n, _NEVER)
        self._growth, self._initial, self._peak = np.zeros(n), np.zeros(n), np.zeros(n)
        self._burns = np.full(n, _NEVER)
        self._smoulder_at = np.full(n, _NEVER)
        self._smoulder = np.zeros(n)
        self._leak_at, self._leak_until = np.full(n, _NEVER), np.full(n, _NEVER)
        self._leak = np.zeros(n)
        self._draught = normal(seeds, 0, 10)
        self._layer_rise, self._flame_g_m3, self._smoulder_g_m3 = np.zeros(n), np.zeros(n), np.zeros(n)
        self._co_g_m3, self._gas_share = np.zeros(n), np.zeros(n)
        self._co_ppm, self._gas_lel = np.zeros(n), np.zeros(n)
        self._smoke = np.full(n, 0.1)
        self._temperature = _AMBIENT_C + self._draught
        self._still = self._air = self._temperature.copy()
        self._gust = np.zeros(n)
        self._activity = np.zeros(n)
        self._puff_slot = -1
        self._puff_at, self._puff_until = np.full(n, _NEVER), np.full(n, _NEVER)
        self._puff, self._steam = np.zeros(n), np.zeros(n)

    def ignite(self, lane: int, at_s: float, growth: str, initial_kw: float, peak_kw: float, burns_s: float) -> None:
        """Start a fire; raises KeyError for a growth that is not in GROWTH_KW_S2."""
        self._growth[lane], self._fire_at[lane] = GROWTH_KW_S2[growth], at_s
        self._initial[lane], self._peak[lane], self._burns[lane] = initial_kw, peak_kw, burns_s

    def smoulder(self, lane: int, at_s: float, growth_g_min2: float) -> None:
        """Start a smoulder whose mass loss is growth·t² g/min after t minutes (upholstery: about 0.1)."""
        self._smoulder_at[lane], self._smoulder[lane] = at_s, growth_g_min2

    def leak(self, lane: int, at_s: float, litres_min: float, lasts_s: float) -> None:
        """Let methane out."""
        self._leak_at[lane], self._leak_until[lane] = at_s, at_s + lasts_s
        self._leak[lane] = litres_min / 60_000.0

    def step(self, t_s: int, activity: F64, outdoor_k: float | F64) -> None:
        """Advance from t_s to t_s + 1. activity: (n,) 0..1, how busy; outdoor_k: by how many K the weather warms it."""
        spec, dt, now = self._spec, 1.0, t_s + 1.0
        self._activity = activity
        wander = normal(self._seeds, t_s + 1, 10)
        self._draught += -self._draught * dt / _DRAUGHT_S + wander * np.sqrt(2.0 * dt / _DRAUGHT_S)
        gust = normal(self._seeds, t_s + 1, 11)
        self._gust += -self._gust * dt / _GUST_S + gust * np.sqrt(2.0 * dt / _GUST_S)
        warmth = _AMBIENT_C + outdoor_k + 0.3 * self._draught + (4.0 * spec.cooking + 2.0 * spec.crowd) * activity
        self._still = _relax(self._still, warmth, dt, 900.0) if t_s else warmth
        self._let_steam(t_s, activity)
        self._air = self._still + _GUST_K * spec.cooking * self._gust + _PUFF_K * self._steam
        if not t_s:  # the first second finds a room that has been so for hours
            self._temperature = warmth

        kw = heat_release_kw(now - self._fire_at, self._growth, self._initial, self._peak, self._burns)
        smoulder_min = np.maximum(now - self._smoulder_at, 0.0) / 60.0
        smoulder_g_s = self._smoulder * smoulder_min**2 / 60.0
        flame_g_s = kw / _HEAT_OF_COMBUSTION_KJ_G

        layer_m3 = spec.volume_m3 / 2.0
        surface_m2 = 6.0 * spec.volume_m3 ** (2.0 / 3.0)
        loss = _LOSS_KW_M2_K * surface_m2
        self._layer_rise = _relax(self._layer_rise, _TO_LAYER * kw / loss, dt, layer_m3 * _AIR_KJ_M3_K / loss)
        height = spec.height_m - spec.fuel_height_m
        jet_rise = 5.38 * (kw / spec.sensor_radius_m) ** (2.0 / 3.0) / height
        jet_m_s = np.maximum(0.195 * kw ** (1.0 / 3.0) * height**0.5 / spec.sensor_radius_m ** (5.0 / 6.0), 0.1)
        gas_c = self._air + np.minimum(self._layer_rise + jet_rise, 900.0)
        self._temperature = _relax(self._temperature, gas_c, dt, spec.response_time_index / np.sqrt(jet_m_s))

        air_s = spec.air_changes_h / 3600.0
        keep = np.exp(-air_s * dt)
        self._flame_g_m3 = self._flame_g_m3 * keep + _FLAME_SMOKE_G_G * flame_g_s * dt / layer_m3
        self._smoulder_g_m3 = self._smoulder_g_m3 * keep + _SMOULDER_SMOKE_G_G * smoulder_g_s * dt / spec.volume_m3
        co_g_s = _FLAME_CO_G_G * flame_g_s + _SMOULDER_CO_G_G * smoulder_g_s
        self._co_g_m3 = self._co_g_m3 * keep + co_g_s * dt / spec.volume_m3
        extinction = _FLAME_EXTINCTION_M2_G * self._flame_g_m3 + _SMOULDER_EXTINCTION_M2_G * self._smoulder_g_m3
        hazed = obscuration(extinction) + 0.1 + 0.3 * spec.cooking * activity + self._steam
        self._smoke = _relax(self._smoke, hazed, dt, 1.8 / jet_m_s)
        self._co_ppm = _relax(self._co_ppm, _CO_PPM_M3_G * self._co_g_m3 + 2.0 * spec.cooking * activity, dt, 15.0)
        leaking = (now > self._leak_at) & (now <= self._leak_until)
        self._gas_share = self._gas_share * keep + np.where(leaking, self._leak, 0.0) * dt / spec.volume_m3
        self._gas_lel = _relax(self._gas_lel, 100.0 * self._gas_share / _METHANE_LEL, dt, 9.0)

    def _let_steam(self, t_s: int, activity: F64) -> None:
        """A puff may come in each slot of ten minutes, the likelier the busier the kitchen is."""
        spec, slot = self._spec, t_s // _PUFF_S
        if slot != self._puff_slot:
            self._puff_slot = slot
            chance = -np.expm1(-spec.steam * activity * (_PUFF_S / 3600.0))
            comes = uniform(self._seeds, slot, 30) < chance
            at = slot * _PUFF_S + uniform(self._seeds, slot, 31) * (_PUFF_S - 60)
            self._puff_at = np.where(comes, at, _NEVER)
            self._puff_until = at + 8.0 + 30.0 * uniform(self._seeds, slot, 32)
            self._puff = _PUFF_MEDIAN * np.exp(_PUFF_SPREAD * normal(self._seeds, slot, 17))
        target = np.where((self._puff_at <= t_s) & (t_s < self._puff_until), self._puff, 0.0)
        self._steam = _relax(self._steam, target, 1.0, np.where(target > self._steam, _PUFF_RISES_S, _PUFF_FADES_S))

    def read(self, measure: str) -> F64:
        """What a perfect sensor shows now, in the measure's unit. Raises KeyError for a measure a room has not."""
        if measure == "humidity":
            dry = 52.0 - 1.2 * (self._temperature - _AMBIENT_C) + 6.0 * self._activity
            return np.clip(dry + _PUFF_RH * self._steam, 3.0, 100.0)
        if measure == "smoke_alarm":
            return (self._smoke >= 6.0).astype(np.float64)
        if measure == "co2":
            return 420.0 + 500.0 * self._activity
        return {"temperature": self._temperature, "smoke": self._smoke, "co": self._co_ppm, "gas": self._gas_lel}[
            measure
        ]
