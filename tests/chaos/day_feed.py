"""Feeds a day in step with the clock: what one second holds is in the log before the next one begins.

One connection, so readings have one order; the clock moves when the door has acknowledged all of a step, and readings
follow when every partition has its tick. So ticks and arrivals are the same in every run, and with them everything
that is judged; only how entries are cut, numbered and spread is a run's own.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Collection, Mapping

import numpy as np

from schemas.entries import Entry, Sensors, Tick
from schemas.mqtt import V311, Connect, encode
from schemas.readings import ReadingBatch
from streams.ports import PartitionsReader
from tests.chaos.day_plan import Day
from tocsin.clocks import LedClock

_PATIENCE_S = 120.0
_LOOK_S = 0.2
_READ = 256


class Devices:
    """All devices behind one MQTT connection, which never ends before the day does."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), _PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(encode(Connect("the-day", clean=True, keep_alive_s=0), V311))
        assert self._answers(4)[:2] == b"\x20\x02"

    def publish(self, count: int, packets: bytes) -> None:
        """Send, and return when every message is acknowledged."""
        self._socket.sendall(packets)
        answers = self._answers(4 * count)
        assert answers[0::4] == b"\x40" * count, "only PUBACKs are due"

    def close(self) -> None:
        self._socket.close()

    def _answers(self, size: int) -> bytes:
        answers = bytearray()
        while len(answers) < size:
            got = self._socket.recv(1 << 16)
            assert got, f"the door ended the connection with {size - len(answers)} bytes to come"
            answers += got
        return bytes(answers)


class Tail:
    """Follows a log, and keeps of it what concerns some sensors."""

    def __init__(self, reader: PartitionsReader, keep: Collection[int]) -> None:
        """keep: ids of sensors."""
        self._reader = reader
        self._keep = frozenset(keep)
        self._kept_ids = np.array(sorted(keep), np.int64)
        self.after = dict.fromkeys(reader.partitions, 0)
        """Partition → number of the last entry that was read."""
        self.ticked_us = dict.fromkeys(reader.partitions, 0)
        self.kept: dict[int, list[Entry]] = {partition: [] for partition in reader.partitions}

    def until_ticked(self, time_us: int) -> None:
        """Return when every partition has the tick of this time. Raises TimeoutError."""
        until = time.monotonic() + _PATIENCE_S
        while min(self.ticked_us.values()) < time_us:
            self._follow()
            if time.monotonic() > until:
                raise TimeoutError(f"no tick of {time_us} in every partition: {self.ticked_us}")

    def until_end(self, ends: Mapping[int, int]) -> None:
        """Read on up to these numbers. Raises TimeoutError."""
        until = time.monotonic() + _PATIENCE_S
        while any(self.after[partition] < end for partition, end in ends.items()):
            self._follow()
            if time.monotonic() > until:
                raise TimeoutError(f"the log does not come: {self.after} of {ends}")

    def _follow(self) -> None:
        self._reader.wait(self.after, _LOOK_S)
        for entry in self._reader.read(self.after, _READ):
            self.after[entry.partition] = entry.number
            match entry.payload:
                case Tick(now_us):
                    self.ticked_us[entry.partition] = now_us
                    self.kept[entry.partition].append(entry)
                case ReadingBatch() as batch:
                    ours = np.isin(batch.sensor_id, self._kept_ids)
                    if ours.any():
                        self.kept[entry.partition].append(Entry(entry.number, batch.take(ours), entry.partition))
                case Sensors() as sensors:
                    some = [sensor for sensor in sensors if sensor.id in self._keep]
                    if some:
                        self.kept[entry.partition].append(Entry(entry.number, Sensors(some), entry.partition))
                case _:
                    self.kept[entry.partition].append(entry)


def feed(day: Day, clock: LedClock, devices: Devices, tail: Tail, deeds: Mapping[int, Callable[[], None]]) -> None:
    """deeds: what else happens, by step."""
    step = 0
    for step, (count, packets) in enumerate(day.steps(), 1):
        if step in deeds:
            deeds[step]()
        clock.move_to(day.plan.time_us(step))
        tail.until_ticked(day.plan.time_us(step))
        if count:
            devices.publish(count, packets)
    clock.move_to(day.plan.time_us(step + 1))
    tail.until_ticked(day.plan.time_us(step + 1))
