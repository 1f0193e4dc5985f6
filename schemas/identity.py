"""Names of things and the numbers that stand for them.

A sensor key is `enterprise/device/measure[.channel]`; its id is the first 8 bytes of BLAKE2b of the key's UTF-8,
little endian, with the top bit cleared, so that it fits a signed 64-bit column. `VECTORS` pins the function.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import NamedTuple

NAME = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
"""An enterprise or a device."""
CHANNEL = re.compile(r"[A-Za-z0-9_-]{1,16}\Z")
_POSITIVE = (1 << 63) - 1


class SensorKey(NamedTuple):
    enterprise: str
    device: str
    measure: str
    channel: str = ""

    def __str__(self) -> str:
        dotted = f"{self.measure}.{self.channel}" if self.channel else self.measure
        return f"{self.enterprise}/{self.device}/{dotted}"

    @property
    def device_key(self) -> str:
        return f"{self.enterprise}/{self.device}"

    @classmethod
    def parse(cls, key: str) -> SensorKey:
        """Raises ValueError when `key` is not `enterprise/device/measure[.channel]`."""
        enterprise, device, dotted = key.split("/")
        measure, _, channel = dotted.partition(".")
        if not (NAME.match(enterprise) and NAME.match(device) and measure):
            raise ValueError(f"not a sensor key: {key!r}")
        if "." in dotted and not CHANNEL.match(channel):
            raise ValueError(f"not a channel: {channel!r}")
        return cls(enterprise, device, measure, channel)


def id_of(key: str) -> int:
    """The 63-bit number of a sensor key, a device key or an enterprise; see the module's text."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "little") & _POSITIVE


def partition_of(enterprise: str, partitions: int) -> int:
    """An enterprise's partition: all its sensors and alarms stay in order and in one place."""
    return id_of(enterprise) % partitions


def alarm_key(subject: str, family: str, onset_us: int) -> str:
    """32 hex digits that name one life of one condition: (subject, family, onset).

    subject: a sensor key, a device key or an enterprise.  onset_us: microseconds since 1970, never moves.
    """
    return blake2b(f"{subject}|{family}|{onset_us}".encode(), digest_size=16).hexdigest()


VECTORS: tuple[tuple[str, int], ...] = (
    ("shop-1/kitchen/temperature", 2334247527647276028),
    ("shop-1/panel/current.L1", 5569292849830109833),
    ("a/b/value", 2762241297294920641),
    ("e" * 64 + "/" + "d" * 64 + "/residual_current.abcdefghijklmnop", 5282350566141126009),
)
"""For every implementation of a bridge or a door, in any language."""
