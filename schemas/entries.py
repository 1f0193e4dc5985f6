"""The log's entries: what they say, and the bytes they are.

Everything that can change the engine's answer is an entry; nothing else is. Within a partition they stand in one
order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias, overload

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


class _Declared(msgspec.Struct, frozen=True):
    """What a `Sensors` entry is as msgpack."""

    sensors: list[Sensor]


_declared = msgspec.msgpack.Decoder(_Declared)
_encoder = msgspec.msgpack.Encoder()


class Sensors(Sequence[Sensor]):
    """Sensors as their entry's bytes: a province declares millions, and most readers need no object of any of them.

    Compiled readers take `body` apart (`scoring.declarations`); all others ask for the sensors.
    """

    __match_args__ = ("sensors",)
    __slots__ = ("_body", "_count", "_sensors")

    def __init__(self, sensors: Iterable[Sensor] = ()) -> None:
        self._sensors: tuple[Sensor, ...] | None = tuple(sensors)
        self._count = len(self._sensors)
        self._body: bytes | None = None

    @classmethod
    def of_body(cls, body: bytes, count: int) -> Sensors:
        """`count` sensors, of bytes that are known to be such an entry; made objects when one is asked for."""
        made = cls()
        made._sensors, made._body, made._count = None, body, count
        return made

    @property
    def body(self) -> bytes:
        """The entry's bytes."""
        if self._body is None:
            self._body = _encoder.encode(_Declared(list(self.sensors)))
        return self._body

    @property
    def sensors(self) -> tuple[Sensor, ...]:
        if self._sensors is None:
            assert self._body is not None
            self._sensors = tuple(_declared.decode(self._body).sensors)
        return self._sensors

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Sensor: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Sensor]: ...
    def __getitem__(self, index: int | slice) -> Sensor | Sequence[Sensor]:
        return self.sensors[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sensors) and self.sensors == other.sensors

    def __hash__(self) -> int:
        return hash(self.sensors)

    def __repr__(self) -> str:
        return f"Sensors({list(self.sensors)!r})"


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
    gateway: str | None = None
    """The device of the enterprise through which it speaks. Detection does not ask; who is told does."""


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

_control = msgspec.msgpack.Decoder(Control)
_tick = msgspec.msgpack.Decoder(Tick)


def kind_of(payload: Payload) -> EntryKind:
    if isinstance(payload, ReadingBatch):
        return EntryKind.BATCH
    if isinstance(payload, Sensors):
        return EntryKind.SENSORS
    return EntryKind.TICK if isinstance(payload, Tick) else EntryKind.CONTROL


def encode(payload: Payload) -> bytes:
    if isinstance(payload, ReadingBatch):
        return payload.to_ipc()
    return payload.body if isinstance(payload, Sensors) else _encoder.encode(payload)


def decode(kind: EntryKind, body: bytes | memoryview) -> Payload:
    """Raises CorruptState when the bytes are not an entry of this kind."""
    if kind is EntryKind.BATCH:
        return ReadingBatch.from_ipc(body)
    try:
        if kind is EntryKind.SENSORS:
            return Sensors.of_body(bytes(body), len(_declared.decode(body).sensors))
        decoder: msgspec.msgpack.Decoder[Any] = {
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
