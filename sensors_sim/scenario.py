"""What a scenario file says: who lives through it, when it starts, and what happens at which second. Nothing is run.

`sensors_sim/scenarios/` holds the files.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Annotated, TypeAlias, TypeVar

import msgspec

from schemas.errors import ConfigError
from sensors_sim.faults import FaultKind
from sensors_sim.trade import NotNegative, Positive, Share, Trade, check_trade


class _Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="what"):
    at: NotNegative
    """Seconds from the scenario's start."""
    where: str
    """The device whose plant it befalls."""
    trade: str = ""
    """Befalls enterprises of this trade alone."""
    shops: tuple[int, ...] = ()
    """Numbers from 1 among those that have the device; those that are not there are left out."""
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


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    says: str
    starts_at: Annotated[str, msgspec.Meta(pattern=r"^(([01]\d|2[0-3]):[0-5]\d)?$")] = ""
    """Local time of day of its first second; empty: whatever the clock shows."""
    date: Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\d$")] = "2026-05-13"
    """The day on which it starts, for season and weekday: a Wednesday in spring."""
    seconds: Positive
    """How long it takes until all it shows has happened."""
    shop: str = ""
    """The one kind of shop; empty: a city of all trades."""
    event: tuple[Event, ...] = ()


T = TypeVar("T")


def parse(text: str, form: type[T], name: str) -> T:
    """Read a TOML text as a `Scenario` or a `Trade`. Raises ConfigError that names file and field."""
    try:
        read = msgspec.convert(tomllib.loads(text), form)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{name} is not a {form.__name__}: {error}.", mend="Compare with quiet_day.toml.") from error
    if isinstance(read, Trade):
        check_trade(read, name)
    return read


def check(scenario: Scenario, trades: Sequence[Trade], name: str) -> None:
    """Raises ConfigError when an event befalls a device that no shop of its trade has."""
    for event in scenario.event:
        ours = [trade for trade in trades if event.trade in ("", trade.trade)]
        if not ours:
            raise ConfigError(f"{name}: no trade is called {event.trade!r}.", field="trade")
        wanted = "room" if isinstance(event, Fire | Smoulder | GasLeak) else "panel"
        devices = [device for trade in ours for device in trade.device if device.name == event.where]
        if not devices or (not isinstance(event, SensorFault) and any(d.plant != wanted for d in devices)):
            there = dict.fromkeys(device.name for trade in ours for device in trade.device)
            raise ConfigError(
                f"{name}: no {wanted} of this shop is called {event.where!r}.",
                field="where",
                mend=f"Its devices are {', '.join(there)}.",
            )
