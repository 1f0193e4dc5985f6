"""The log's entries: what they say, and the bytes they are.

Everything that can change the engine's answer is an entry; nothing else is. Within a partition they stand in one
order.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias

import msgspec

from schemas.errors import CorruptState
from schemas.readings import ReadingBatch


class EntryKind(IntEnum):
    BATCH = 1
    SENSORS = 2
    CONTROL = 3
    TICK = 4


class Sensor(msgspec.Struct, frozen=True, array_like=True):
    """A sensor, written before its id is first used and harmless when repeated."""

    id: int
    enterprise: str
    device: str
    measure: str
    channel: str = ""
    unit: str = ""

    @property
    def key(self) -> str:
        dotted = f"{self.measure}.{self.channel}" if self.channel else self.measure
        return f"{self.enterprise}/{self.device}/{dotted}"


class Sensors(msgspec.Struct, frozen=True):
    sensors: list[Sensor]


class Tick(msgspec.Struct, frozen=True):
    """One a second by the monotonic clock; `now` of an engine is its largest tick."""

    now_us: int


class PackActivated(msgspec.Struct, frozen=True, tag="pack"):
    """A rule pack, whole; `version` is the hash of its content and names it for ever."""

    version: str
    toml: str


class DeviceFacts(msgspec.Struct, frozen=True, tag="facts"):
    """What the engine must know of a device. None means not known; a repeat replaces the whole."""

    enterprise: str
    device: str
    rated_current_a: float | None = None
    period_s: float | None = None
    """Expected reporting period, declared."""
    supply: str | None = None
    """"mains", "gateway" or "battery"."""
    heat_class: str | None = None
    """EN 54-5: A1, A2S, B ...; A1 where not said."""
    trade: str | None = None
    """Trade of the enterprise, for overrides."""
    profiles: tuple[str, ...] = ()
    """Rule profiles that hold for this device beside the default ones ("co.us", "gas.home")."""
    out_of_service: bool = False


class ResetAsked(msgspec.Struct, frozen=True, tag="reset"):
    """A person resets a latched alarm; refused when a later `raised` than the step they saw exists."""

    command: str
    """Idempotency key of the row in `commands`."""
    alarm: str
    seen_step: int
    by: str = ""


class ClockStepped(msgspec.Struct, frozen=True, tag="clock"):
    """The wall clock jumped by more than 10 s; `now` never goes back, it waits."""

    by_us: int
    now_us: int


Control: TypeAlias = PackActivated | DeviceFacts | ResetAsked | ClockStepped
Payload: TypeAlias = ReadingBatch | Sensors | Control | Tick

_sensors = msgspec.msgpack.Decoder(Sensors)
_control = msgspec.msgpack.Decoder(Control)
_tick = msgspec.msgpack.Decoder(Tick)
_encoder = msgspec.msgpack.Encoder()


def kind_of(payload: Payload) -> EntryKind:
    if isinstance(payload, ReadingBatch):
        return EntryKind.BATCH
    if isinstance(payload, Sensors):
        return EntryKind.SENSORS
    return EntryKind.TICK if isinstance(payload, Tick) else EntryKind.CONTROL


def encode(payload: Payload) -> bytes:
    return payload.to_ipc() if isinstance(payload, ReadingBatch) else _encoder.encode(payload)


def decode(kind: EntryKind, body: bytes | memoryview) -> Payload:
    """Raises CorruptState when the bytes are not an entry of this kind."""
    if kind is EntryKind.BATCH:
        return ReadingBatch.from_ipc(body)
    try:
        decoder: msgspec.msgpack.Decoder[Any] = {
            EntryKind.SENSORS: _sensors,
            EntryKind.CONTROL: _control,
            EntryKind.TICK: _tick,
        }[kind]
        payload: Payload = decoder.decode(body)
    except (msgspec.DecodeError, msgspec.ValidationError, KeyError) as error:
        raise CorruptState(f"a log entry of kind {kind} cannot be read: {error}") from error
    return payload


@dataclass(frozen=True, slots=True)
class Entry:
    """A committed entry: its number within the partition, and what it says.

    Numbers rise and may have gaps; the first is 1 or more. In Kafka the number is the offset plus one.
    """

    number: int
    payload: Payload
    partition: int = 0
