"""What a scenario file and a shop file say: typed, checked, nothing run.

A scenario names the kind of shop, the time of day at which it starts and the events at their seconds; a shop names its
devices, their plants, their sensors and periods.  `sensors_sim/scenarios/` holds the files.
"""

from __future__ import annotations

import tomllib
from typing import Annotated, TypeAlias, TypeVar

import msgspec

from schemas.errors import ConfigError
from schemas.identity import CHANNEL, NAME
from schemas.measures import BY_NAME
from sensors_sim.faults import FaultKind

Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class _Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="what"):
    at: NotNegative
    """Seconds from the scenario's start."""
    where: str
    """The device whose plant it befalls."""
    shops: tuple[int, ...] = ()
    """Numbers from 1; those that are not there are left out."""
    share: Share = 0.0
    """Of all shops, drawn by the seed; beside `shops`."""
    lasts: Positive = 86_400.0


class Fire(_Event, frozen=True, kw_only=True, tag="fire"):
    """`lasts` is how long it burns before it dies down."""

    growth: str = "fast"
    initial_kw: NotNegative = 0.0
    peak_kw: Positive = 800.0


class Smoulder(_Event, frozen=True, kw_only=True, tag="smoulder"):
    growth_g_min2: Positive = 0.1


class GasLeak(_Event, frozen=True, kw_only=True, tag="gas_leak"):
    litres_min: Positive = 60.0


class Overload(_Event, frozen=True, kw_only=True, tag="overload"):
    channel: str = ""
    rated_share: Positive = 1.0


class BadJoint(_Event, frozen=True, kw_only=True, tag="bad_joint"):
    channel: str = ""
    times: Positive = 8.0
    grows_s: Positive = 60.0


class Leakage(_Event, frozen=True, kw_only=True, tag="leakage"):
    channel: str = ""
    milliamps: Positive = 400.0


class SensorFault(_Event, frozen=True, kw_only=True, tag="fault"):
    kind: FaultKind
    amount: float = 1.0
    sensor: str = ""


Event: TypeAlias = Fire | Smoulder | GasLeak | Overload | BadJoint | Leakage | SensorFault


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
    plant: Annotated[str, msgspec.Meta(pattern="^(room|panel)$")]
    period: Annotated[int, msgspec.Meta(ge=1)]
    sensors: tuple[SensorPlan, ...]
    spec: dict[str, float] = {}
    """Fields of RoomSpec or PanelSpec that differ from their defaults."""


class ShopPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    says: str
    trade: str
    activity: tuple[tuple[float, float], ...]
    """(hour of day, how busy from 0 to 1), joined by straight lines."""
    device: tuple[DevicePlan, ...]


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    says: str
    starts_at: Annotated[str, msgspec.Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
    """Local time of day of its first second."""
    seconds: Positive
    """How long it takes until all it shows has happened."""
    shop: str
    event: tuple[Event, ...] = ()

    @property
    def start_of_day_s(self) -> int:
        hour, _, minute = self.starts_at.partition(":")
        return int(hour) * 3600 + int(minute) * 60


T = TypeVar("T")


def parse(text: str, form: type[T], name: str) -> T:
    """Read a TOML text as a `Scenario` or a `ShopPlan`. Raises ConfigError that names file and field."""
    try:
        read = msgspec.convert(tomllib.loads(text), form)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{name} is not a {form.__name__}: {error}.", mend="Compare with quiet_day.toml.") from error
    if isinstance(read, ShopPlan):
        _check_names(read, name)
    return read


def check(scenario: Scenario, shop: ShopPlan, name: str) -> None:
    """Raises ConfigError when an event befalls a device that the shop has not."""
    devices = {device.name: device for device in shop.device}
    for event in scenario.event:
        wanted = "room" if isinstance(event, Fire | Smoulder | GasLeak) else "panel"
        device = devices.get(event.where)
        if device is None or (not isinstance(event, SensorFault) and device.plant != wanted):
            raise ConfigError(
                f"{name}: no {wanted} of this shop is called {event.where!r}.",
                field="where",
                mend=f"Its devices are {', '.join(devices)}.",
            )


def _check_names(shop: ShopPlan, name: str) -> None:
    for device in shop.device:
        for sensor in device.sensors:
            known = sensor.measure in BY_NAME and (not sensor.channel or CHANNEL.match(sensor.channel))
            if not NAME.match(device.name) or not known:
                raise ConfigError(
                    f"{name}: {device.name}/{sensor.name} is no device/measure[.channel].", field="sensors"
                )
