"""What the file of a trade says: its devices by zone, its hours and how busy they are, its facts. Typed, checked.

`sensors_sim/trades/` holds the trades of the city, `sensors_sim/scenarios/` two shops for scenarios of one kind.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from schemas.errors import ConfigError
from schemas.identity import CHANNEL, NAME
from schemas.measures import BY_NAME
from sensors_sim.opening import week_of

Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]

PLAIN = frozenset({"battery", "battery_low", "call_point", "fault", "mains", "tamper"})
"""Measures that any device may have, whatever its plant."""
ROOM = frozenset({"temperature", "smoke", "smoke_alarm", "co", "co2", "gas", "humidity"})
PANEL = frozenset({"current", "voltage", "power", "residual_current", "conductor_temperature"})


class SensorPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    """measure[.channel]"""
    every: NotNegative = 0.0
    """Seconds between its readings; 0: with every message of its device."""

    @property
    def measure(self) -> str:
        return self.name.partition(".")[0]

    @property
    def channel(self) -> str:
        return self.name.partition(".")[2]


class DevicePlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    plant: Annotated[str, msgspec.Meta(pattern="^(room|panel|none)$")]
    period: Annotated[int, msgspec.Meta(ge=1)]
    sensors: tuple[SensorPlan, ...]
    spec: dict[str, float] = {}
    """Fields of RoomSpec or PanelSpec that differ from their defaults."""
    at_once: bool = False
    """It speaks at its period, and at once when a flag of its changes, as a detector does that sleeps otherwise."""
    present: Share = 1.0
    """Of the shops have it."""
    behind: str = ""
    """The gateway through which it speaks; what silences that silences it."""
    zone: str = ""
    zh: str = ""
    en: str = ""
    supply: Annotated[str, msgspec.Meta(pattern="^(|mains|gateway|battery)$")] = ""
    heat_class: str = ""
    profiles: tuple[str, ...] = ()


class ZonePlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    zone: str
    zh: str
    en: str
    floor: str = "1F"


class Facts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the static facts of the enterprises of a trade are spread: (least, most), or chances."""

    area_m2: tuple[float, float]
    people_m2: tuple[float, float]
    """Most people in it at once, for each square metre."""
    built: tuple[int, int]
    rewired: Share
    """So many have had their wiring renewed since."""
    open_flame: Share
    flammables: dict[str, Positive]
    """Of `schemas.enterprises.Flammables`, by weight."""


class Naming(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pairs of Chinese and English: a name is two sounds of `words.toml` with one of these endings."""

    endings: tuple[tuple[str, str], ...]


class Trade(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    says: str
    trade: Annotated[str, msgspec.Meta(pattern="^[a-z_]{1,32}$")]
    activity: tuple[tuple[float, float], ...]
    """(hour of day, how busy from 0 to 1), joined by straight lines."""
    device: tuple[DevicePlan, ...]
    zh: str = ""
    en: str = ""
    gb: Annotated[str, msgspec.Meta(pattern=r"^([A-T]\d{2,4})?$")] = ""
    """GB/T 4754-2017: section, and division, group or class."""
    weight: NotNegative = 0.0
    """How many of a city's enterprises are of this trade, beside the weights of the others."""
    weekdays: tuple[float, float, float, float, float, float, float] = (1, 1, 1, 1, 1, 1, 1)
    """How busy Monday to Sunday are, beside the activity of a day."""
    hours: tuple[tuple[str, Positive], ...] = (("24/7", 1.0),)
    """Opening hours as OpenStreetMap writes them, by weight. Nobody works outside of them but for half an hour."""
    shift_h: NotNegative = 0.3
    """A shop is so much earlier or later than the others at most."""
    spread: Share = 0.0
    """Rooms and air changes of shops differ by so much."""
    zone: tuple[ZonePlan, ...] = ()
    facts: Facts | None = None
    naming: Naming | None = None


def check_trade(trade: Trade, name: str) -> None:
    """Raises ConfigError, naming the field, when devices, sensors, zones or hours cannot be."""
    devices = {device.name: device for device in trade.device}
    zones = {zone.zone for zone in trade.zone}
    for device in trade.device:
        measures = PLAIN | {"room": ROOM, "panel": PANEL, "none": frozenset()}[device.plant]
        for sensor in device.sensors:
            known = sensor.measure in BY_NAME and (not sensor.channel or CHANNEL.match(sensor.channel))
            if not NAME.match(device.name) or not known:
                raise ConfigError(
                    f"{name}: {device.name}/{sensor.name} is no device/measure[.channel].", field="sensors"
                )
            if sensor.measure not in measures:
                raise ConfigError(
                    f"{name}: {device.name} of plant {device.plant} has no {sensor.measure}.", field="sensors"
                )
        if device.behind and (device.behind not in devices or devices[device.behind].behind):
            raise ConfigError(f"{name}: {device.name} is behind {device.behind!r}, no gateway.", field="behind")
        if device.zone and device.zone not in zones:
            raise ConfigError(f"{name}: {device.name} is in {device.zone!r}, no zone.", field="zone")
    if len(devices) != len(trade.device):
        raise ConfigError(f"{name}: two devices have one name.", field="device")
    for hours, _ in trade.hours:
        week_of(hours)
