"""What the people who connect devices are shown: last values, refused messages with reason and mend, silent devices.

Of what was admitted only the values are kept: a raw copy of each device's last message would cost the door a write a
device and round. What was refused is kept whole.
"""

from __future__ import annotations

import msgspec

from schemas.alarms import Grade


class Mend(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a person says that a refused message meant; its payload stays as it came.

    Keys are those of the payload. They are left out first, then multiplied, then renamed.
    """

    rename: dict[str, str] = {}
    """Key → measure[.channel]."""
    factor: dict[str, float] = {}
    """Key → what its value is multiplied by: 0.001 for a current that was sent in mA."""
    leave_out: tuple[str, ...] = ()
    numbers_in_text: bool = False
    """A number in quotes counts as that number."""

    def __bool__(self) -> bool:
        return bool(self.rename or self.factor or self.leave_out or self.numbers_in_text)


class Told(msgspec.Struct, frozen=True):
    """Why a field (empty: the message) was refused, and how to mend it, in both languages."""

    code: str
    field: str
    reason: str
    mend: str
    reason_zh: str
    mend_zh: str


class RefusedMessage(msgspec.Struct, frozen=True):
    """A message in quarantine; (arrival_us, source) names it. Times are µs since 1970, 0 where there is none."""

    arrival_us: int
    source: str
    enterprise: str
    device: str
    topic: str
    client: str
    bytes: int
    told: list[Told]
    asked_us: int
    """When its replay was asked for; 0 again once it was tried and refused."""
    asked_by: str
    tries: int
    tried_us: int
    replayed_us: int
    is_whole: bool
    """False: only its head was kept, so it cannot be replayed."""


class RefusedPage(msgspec.Struct, frozen=True):
    """Newest first. next: the cursor of the next page, empty on the last."""

    messages: list[RefusedMessage]
    next: str = ""


class RefusedDetail(msgspec.Struct, frozen=True):
    """A refused message with its payload, as far as it is shown."""

    message: RefusedMessage
    text: str
    """The payload as UTF-8, control characters and broken bytes replaced."""
    hex: str
    """Its first bytes, where it is not UTF-8; else empty."""
    is_cut: bool
    """The payload goes on behind what is shown."""
    suggestion: Mend
    """A mend that would likely do; empty where none comes to mind."""


class ReplayAsked(msgspec.Struct, frozen=True):
    """How many messages will be tried again."""

    asked: int


class SensorValue(msgspec.Struct, frozen=True):
    """A sensor's newest stored reading; value None: none is stored yet."""

    sensor: str
    """measure[.channel]."""
    unit: str
    value: float | None
    quality: int
    event_us: int
    age_s: float


class DeviceNow(msgspec.Struct, frozen=True):
    """What is known of one device's messages."""

    enterprise: str
    device: str
    is_registered: bool
    name: str
    name_en: str
    zone: str
    out_of_service: bool
    heard_us: int
    """When it was first heard; 0: never."""
    values: list[SensorValue]
    waiting: int
    """Refused messages of it that nobody has replayed."""
    refused: RefusedDetail | None
    """The last of them all."""
    silent: SilentDevice | None


class SilentDevice(msgspec.Struct, frozen=True):
    """A device whose silence is an open alarm."""

    enterprise: str
    device: str
    alarm: str
    grade: Grade
    since_us: int
    """When it was last heard, as far as the alarm knows."""
    raised_us: int
    acknowledged: bool
    name: str
    name_en: str
    zone: str


class SilentPage(msgspec.Struct, frozen=True):
    """Worst first, then the longest silent."""

    devices: list[SilentDevice]
    next: str = ""


class DeviceLine(msgspec.Struct, frozen=True):
    """A device in a list."""

    enterprise: str
    device: str
    is_registered: bool
    name: str
    name_en: str
    zone: str
    out_of_service: bool
    heard_us: int
    newest_us: int
    """Event time of its newest stored reading, up to some minutes behind; 0: none."""
    sensors: int
    waiting: int
    is_silent: bool
    worst: Grade
    """Of its open alarms."""


class DevicesPage(msgspec.Struct, frozen=True):
    """By enterprise and device."""

    devices: list[DeviceLine]
    next: str = ""
