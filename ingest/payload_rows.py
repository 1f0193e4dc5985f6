"""Rows of `payloads.sql` as the shapes that people are shown. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from ingest.mending import suggestion
from ingest.words import told
from schemas.alarms import Grade
from schemas.errors import Reject
from schemas.measures import BY_NAME
from schemas.payloads import DeviceLine, RefusedDetail, RefusedMessage, SensorValue, SilentDevice
from schemas.rejects import Code

SHOWN_HEX = 512
"""Bytes of a payload that is no text."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REJECTS = 7
"""Place of the rejects in a refused message's row."""
_SENSORS = 8
"""Place of the sensors in a row of `devices`."""
_rejects = msgspec.json.Decoder(list[Reject])


class Stored(NamedTuple):
    """A sensor's newest stored reading."""

    event_us: int
    value: float
    quality: int


def us_of(at: datetime | None) -> int:
    """µs since 1970, 0 for none."""
    return (at - _EPOCH) // timedelta(microseconds=1) if at is not None else 0


def refused_of(row: Sequence[Any]) -> RefusedMessage:
    """A row of `list`."""
    arrival_us, source, enterprise, device, topic, client, size, said, asked_at, by, tries, tried_at, replayed_at = row
    rejects = _rejects.decode(said)
    is_whole = not any(one.code == Code.TOO_LARGE and not one.field for one in rejects)
    return RefusedMessage(
        arrival_us, source, enterprise, device, topic, client, size, told(rejects), us_of(asked_at), by, tries,
        us_of(tried_at), us_of(replayed_at), is_whole,
    )  # fmt: skip


def detail_of(row: Sequence[Any]) -> RefusedDetail:
    """A row of `show`: that of `list`, and the head of the payload."""
    *head, payload = row
    message, shown = refused_of(head), bytes(payload)
    try:
        shown.decode()
        is_text = True
    except UnicodeDecodeError as error:
        # A character that our own cut parts is no fault of the sender.
        is_text = message.bytes > len(shown) and error.start >= len(shown) - 3
    text = "".join(
        char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}"
        for char in shown.decode(errors="replace")
    )
    hexed = "" if is_text else shown[:SHOWN_HEX].hex(" ")
    return RefusedDetail(
        message, text, hexed, message.bytes > len(shown), suggestion(_rejects.decode(row[_REJECTS]))
    )  # fmt: skip


def line_of(row: Sequence[Any], newest_us: int) -> DeviceLine:
    """A row of `devices`."""
    (
        enterprise, device, is_registered, name, name_en, zone, out_of_service, heard_at, sensors, waiting, is_silent,
        worst,
    ) = row  # fmt: skip
    return DeviceLine(
        enterprise, device, is_registered, name, name_en, zone, out_of_service, us_of(heard_at), newest_us,
        len(sensors), waiting, is_silent, Grade(worst),
    )  # fmt: skip


def sensors_of(row: Sequence[Any]) -> list[str]:
    """The sensors of a row of `devices`."""
    return list(row[_SENSORS])


def silent_of(row: Sequence[Any]) -> SilentDevice:
    """A row of `silent`."""
    enterprise, device, key, grade, since_us, raised_us, acknowledged, name, name_en, zone = row
    return SilentDevice(
        enterprise, device, key, Grade(grade), since_us, raised_us, acknowledged, name, name_en, zone
    )  # fmt: skip


def value_of(sensor: str, reading: Stored | None, now_us: int) -> SensorValue:
    """sensor: measure[.channel]."""
    measure = BY_NAME.get(sensor.partition(".")[0])
    unit = measure.unit if measure else ""
    if reading is None:
        return SensorValue(sensor, unit, None, 0, 0, 0.0)
    age_s = max(0.0, (now_us - reading.event_us) / 1e6)
    return SensorValue(sensor, unit, reading.value, reading.quality, reading.event_us, age_s)
