"""Rooms and panels of many shops side by side: the specs of their devices as arrays, a lane each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import cast

import numpy as np

from sensors_sim.electrics import Panels, PanelSpec
from sensors_sim.physics import Rooms, RoomSpec
from sensors_sim.town import Shop
from sensors_sim.trade import DevicePlan

CHANNELS = ("L1", "L2", "L3")
"""Of every panel. What has no channel is measured beside the first."""
_VARIES = frozenset({"volume_m3", "air_changes_h", "sensor_radius_m"})
EXTRA = frozenset({"follow"})
"""Of the city, not of the room: how much of the weather is felt inside, from 0 to 1."""

Lane = tuple[Shop, DevicePlan, int]
"""A shop, its device, and the device's seed."""


def column(channel: str) -> int:
    """Raises ValueError where a panel has no such channel."""
    return CHANNELS.index(channel) if channel else 0


def build_rooms(lanes: Sequence[Lane]) -> Rooms:
    columns = {name: np.array([_of(lane, name, usual) for lane in lanes]) for name, usual in _defaults(RoomSpec)}
    spec = RoomSpec(**columns)
    return Rooms(spec, np.array([seed for _, _, seed in lanes], np.uint64))


def build_panels(lanes: Sequence[Lane]) -> Panels:
    columns = {name: np.array([[_of(lane, name, usual)] for lane in lanes]) for name, usual in _defaults(PanelSpec)}
    spec = PanelSpec(**columns)
    return Panels(spec, CHANNELS, np.array([seed for _, _, seed in lanes], np.uint64))


def known_specs(plant: str) -> Callable[[str], bool]:
    """Whether a plant has a spec of that name."""
    form = RoomSpec if plant == "room" else PanelSpec
    return ({f.name for f in fields(form)} | EXTRA).__contains__


def _defaults(form: type[RoomSpec | PanelSpec]) -> list[tuple[str, float]]:
    return [(f.name, float(cast(float, f.default))) for f in fields(form)]


def _of(lane: Lane, name: str, default: float) -> float:
    shop, plan, _ = lane
    value = plan.spec.get(name, default)
    if name in _VARIES and shop.trade.spread:
        value *= 1.0 + shop.trade.spread * (2.0 * shop.chance(f"{plan.name} {name}") - 1.0)
    return value
