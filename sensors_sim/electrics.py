"""Circuits of a distribution panel: load with a daily pattern, overload, a joint that heats, leakage to earth.

One lane a panel, one column a channel (L1, L2 ...); stepped by the second.  A conductor or joint is a thermal mass: it
is heated by I²R and cooled towards its surroundings with one time constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sensors_sim.chance import F64, U64, normal, uniform

_LOAD_WANDER_S = 300.0
_VOLTAGE_WANDER_S = 1200.0
_FLICKER_S = 8.0
_FLICKER_A, _FLICKER_SHARE, _FLICKER_V = 0.4, 0.04, 0.8
"""Small loads that come and go within seconds, here and at the neighbours."""
_CYCLE_S, _CYCLE_ON = 1500.0, 0.4
_RAMP_S = 20.0
_STANDBY = 0.08


@dataclass(frozen=True, slots=True)
class PanelSpec:
    """A panel's electrical facts; each field is one number, or one a panel (n, 1)."""

    rated_current_a: float | F64 = 32.0
    busy_share: float | F64 = 0.55
    """Of the rated current, at full activity; standby is 8 %."""
    cycling_share: float | F64 = 0.0
    """Of the rated current: compressors and heaters that switch on and off by themselves, day and night."""
    supply_v: float | F64 = 225.0
    source_ohm: float | F64 = 0.12
    leakage_ma: float | F64 = 30.0
    rise_at_rated_k: float | F64 = 25.0
    """Of a sound joint over its surroundings."""
    thermal_s: float | F64 = 180.0


class Panels:
    """n panels of one kind; arrays are (n, channels). Times are seconds from the scenario's start."""

    def __init__(self, spec: PanelSpec, channels: Sequence[str], seeds: U64) -> None:
        shape = (len(seeds), len(channels))
        self._spec, self._column = spec, {name: i for i, name in enumerate(channels)}
        # each channel has a stream of its own, so adding a channel changes no other
        self._seeds = np.stack([seeds + np.uint64(7919 * (i + 1)) for i in range(len(channels))], axis=1)
        self._wander = self._draw(0, 20)
        self._mains = self._draw(0, 21)
        self._flicker, self._dips = self._draw(0, 22), self._draw(0, 23)
        self._overload_at, self._overload_until = np.full(shape, np.inf), np.full(shape, np.inf)
        self._overload = np.zeros(shape)
        self._joint_at, self._joint_until = np.full(shape, np.inf), np.full(shape, np.inf)
        self._joint_growth_s, self._joint_worst = np.ones(shape), np.ones(shape)
        self._leak_at, self._leak_until = np.full(shape, np.inf), np.full(shape, np.inf)
        self._leak = np.zeros(shape)
        self._current = np.zeros(shape) + _STANDBY * spec.rated_current_a
        self._voltage = np.zeros(shape) + spec.supply_v
        self._rise = np.zeros(shape)
        self._leakage = np.zeros(shape) + spec.leakage_ma
        self._around_c: F64 = np.full((len(seeds), 1), 25.0)
        flat = self._seeds.reshape(-1)
        self._cycle_s = (_CYCLE_S * (0.7 + 0.6 * uniform(flat, 0, 50))).reshape(shape)
        self._cycle_phase_s = (_CYCLE_S * uniform(flat, 0, 51)).reshape(shape)

    def _draw(self, step: int, stream: int) -> F64:
        return normal(self._seeds.reshape(-1), step, stream).reshape(self._seeds.shape)

    def column(self, channel: str) -> int:
        """Raises KeyError when the panel has no such channel; "" is the first."""
        return self._column[channel] if channel else 0

    def overload(self, lane: int, channel: str, at_s: float, lasts_s: float, share: float) -> None:
        """Add `share` of the rated current to the load."""
        where = lane, self.column(channel)
        self._overload_at[where], self._overload_until[where] = at_s, at_s + lasts_s
        self._overload[where] = share

    def bad_joint(self, lane: int, channel: str, at_s: float, lasts_s: float, times: float, grows_s: float) -> None:
        """Let a joint's resistance grow to `times` its sound value over `grows_s` seconds."""
        where = lane, self.column(channel)
        self._joint_at[where], self._joint_until[where] = at_s, at_s + lasts_s
        self._joint_worst[where], self._joint_growth_s[where] = times, grows_s

    def leakage(self, lane: int, channel: str, at_s: float, lasts_s: float, milliamps: float) -> None:
        """Add a residual current."""
        where = lane, self.column(channel)
        self._leak_at[where], self._leak_until[where] = at_s, at_s + lasts_s
        self._leak[where] = milliamps

    def step(self, t_s: int, activity: F64, outdoor_k: float | F64) -> None:
        """Advance from t_s to t_s + 1. activity: (n,) 0..1; outdoor_k: by how many K the weather warms it."""
        spec, now = self._spec, t_s + 1.0
        self._around_c = 25.0 + np.reshape(outdoor_k, (-1, 1))
        self._wander = _wandered(self._wander, self._draw(t_s + 1, 20), _LOAD_WANDER_S)
        self._mains = _wandered(self._mains, self._draw(t_s + 1, 21), _VOLTAGE_WANDER_S)
        self._flicker = _wandered(self._flicker, self._draw(t_s + 1, 22), _FLICKER_S)
        self._dips = _wandered(self._dips, self._draw(t_s + 1, 23), _FLICKER_S)
        share = _STANDBY + (spec.busy_share - _STANDBY) * activity[:, np.newaxis]
        share = np.clip(share * (1.0 + 0.08 * self._wander), 0.0, None)
        share = share + spec.cycling_share * ((t_s + self._cycle_phase_s) % self._cycle_s < _CYCLE_ON * self._cycle_s)
        share = share + self._overload * _ramp(now, self._overload_at, self._overload_until)
        load = spec.rated_current_a * share
        self._current = np.maximum(load + (_FLICKER_A + _FLICKER_SHARE * load) * self._flicker, 0.0)
        mains = spec.supply_v + 1.5 * self._mains + _FLICKER_V * self._dips
        self._voltage = mains - spec.source_ohm * self._current
        grown = np.clip((now - self._joint_at) / self._joint_growth_s, 0.0, 1.0)
        grown = np.where(now <= self._joint_until, grown, 0.0)
        resistance = 1.0 + (self._joint_worst - 1.0) * grown
        steady = spec.rise_at_rated_k * share * share * resistance
        # the first second finds a panel that has been warm for hours
        self._rise = steady + (self._rise - steady) * np.exp(-1.0 / spec.thermal_s) if t_s else steady
        self._leakage = spec.leakage_ma * (0.7 + 0.6 * share) + self._leak * _ramp(now, self._leak_at, self._leak_until)

    def read(self, measure: str, channel: str) -> F64:
        """What a perfect sensor shows now; (n,). Raises KeyError for a measure or channel a panel has not."""
        return self.read_all(measure)[:, self.column(channel)]

    def read_all(self, measure: str) -> F64:
        """The same of every channel, (n, channels)."""
        if measure == "power":
            return self._current * self._voltage
        if measure == "conductor_temperature":
            return self._around_c + self._rise
        return {"current": self._current, "voltage": self._voltage, "residual_current": self._leakage}[measure]


def _wandered(value: F64, push: F64, tau_s: float) -> F64:
    """One second of a random walk that is drawn back to 0; its standard deviation is 1."""
    push_k: float = (2.0 / tau_s - 1.0 / tau_s**2) ** 0.5
    return value - value / tau_s + push * push_k


def _ramp(now: float, start: F64, end: F64) -> F64:
    """0 before `start`, rising to 1 within 20 s, 0 after `end`."""
    rising: npt.NDArray[np.float64] = np.clip((now - start) / _RAMP_S, 0.0, 1.0)
    return np.where(now <= end, rising, 0.0)
