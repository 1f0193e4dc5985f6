"""Prepared PUBLISH frames: rows of equal length whose digits are written right before they are sent.

A row is one QoS 1 message of one device with `readings` temperatures.  What changes from message to message stands at
the same place in every row: packet id, the 13 digits of `ts`, two decimals of each value.  A run of rows is therefore
one piece of memory that goes out with one call.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.mqtt import V311, Publish, encode
from schemas.topics import device_topic
from scoring.compiled import kernel

U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]

QUIET, ALARM = 23, 95
"""Whole degrees of an ordinary row and of one that alarms with its second message."""
_PER_ENTERPRISE = 10
_ID = 0xFFFE  # a packet id that no topic or payload of ours contains
_TS = "1000000000000"


@dataclass(frozen=True, slots=True)
class Frames:
    """rows: (n, length) uint8, the first `quiet` of them ordinary.  Offsets are into a row."""

    rows: U8
    quiet: int
    id_at: int
    ts_at: int
    """-1: the messages carry no time."""
    value_at: I64
    """(readings,) where the two decimals of each value begin."""


def device_of(row: int, quiet: int) -> tuple[str, str]:
    """(enterprise, device) of a row: ten quiet devices an enterprise, and an enterprise for each row that alarms."""
    if row < quiet:
        return f"load-{row // _PER_ENTERPRISE:07d}", f"d{row % _PER_ENTERPRISE}"
    return f"bell-{row - quiet:07d}", "d0"


def sensors_of(readings: int) -> list[str]:
    """measure[.channel] of each reading of a message."""
    return ["temperature"] if readings == 1 else [f"temperature.{i:03d}" for i in range(readings)]


def build(quiet: int, alarms: int, readings: int, *, with_ts: bool) -> Frames:
    """`quiet` ordinary rows and `alarms` rows that alarm. Raises ValueError when there is none, or no reading."""
    if quiet < 1 or not 1 <= readings <= 1000:
        raise ValueError("there must be a row, and from 1 to 1000 readings in it")
    model = _frame(0, quiet, readings, with_ts)
    rows = np.empty((quiet + alarms, len(model)), np.uint8)
    rows[:] = np.frombuffer(model, np.uint8)
    name_at = model.index(b"load-")
    names = [device_of(row, quiet) for row in range(quiet + alarms)]
    text = np.frombuffer("".join(f"{e}/{d}" for e, d in names).encode(), np.uint8).reshape(len(names), -1)
    rows[:, name_at : name_at + text.shape[1]] = text
    head = model.index(_ID.to_bytes(2, "big")) + 2
    value_at = [at for at in range(head, len(model)) if model.startswith(f"{QUIET}.".encode(), at)]
    for at in value_at:
        rows[quiet:, at : at + 2] = np.frombuffer(str(ALARM).encode(), np.uint8)
    return Frames(rows, quiet, head - 2, model.index(_TS.encode()) if with_ts else -1, np.array(value_at, np.int64) + 3)


def _frame(row: int, quiet: int, readings: int, with_ts: bool) -> bytes:
    fields = [f'"ts":{_TS}'] if with_ts else []
    fields += [f'"{name}":{QUIET}.00' for name in sensors_of(readings)]
    topic = device_topic(*device_of(row, quiet), "telemetry")
    body = ("{" + ",".join(fields) + "}").encode()
    return encode(Publish(topic, body, qos=1, packet_id=_ID), V311)


@kernel
def decimals(serial: int, row: int, reading: int) -> int:
    """The two decimals of a value: known from where it was sent, so the file of what was sent need not hold them."""
    return (serial * 7 + row * 13 + reading * 29) % 100


@kernel
def packet_id(serial: int) -> int:
    """Of a connection's message number `serial`, counted from 0."""
    return serial % 65_535 + 1


@kernel
def stamp(
    rows: U8, first: int, count: int, serial: int, ts_ms: int, id_at: int, ts_at: int, value_at: I64, digits: U8
) -> None:
    """Write packet ids, time and values into rows first … first + count; digits: (13,) scratch."""
    if ts_at >= 0:
        rest = ts_ms
        for i in range(12, -1, -1):
            digits[i] = 48 + rest % 10
            rest //= 10
    for k in range(count):
        row = rows[first + k]
        identifier = packet_id(serial + k)
        row[id_at] = identifier >> 8
        row[id_at + 1] = identifier & 255
        if ts_at >= 0:
            for i in range(13):
                row[ts_at + i] = digits[i]
        for i in range(len(value_at)):
            cents = decimals(serial + k, first + k, i)
            row[value_at[i]] = 48 + cents // 10
            row[value_at[i] + 1] = 48 + cents % 10
