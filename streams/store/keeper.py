"""The work behind the blocks, in a thread of its own: close, take in late readings, merge, roll up, forget, save."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import psycopg

from streams.store.aggregates import Aggregates
from streams.store.closing import Failpoint, close_part, due_part
from streams.store.edge import Connection, session, translated
from streams.store.editions import Edition
from streams.store.last_values import save_last_values
from streams.store.late import take_in_late
from streams.store.leading import KEEPER
from streams.store.merging import drop_closed_blocks, drop_too_old, merge_some
from streams.store.rolling import DAILY_KEPT_US, drop_old_roll_ups, roll_up_some
from streams.store.writer import BlockWriter

_LOOK_EVERY_S = 1.0
SAVE_EVERY_S = 30.0
_SAVED_AT_END = 200_000
_SAVED_SENSORS_A_S = 5_000
"""Saving costs 5 µs a sensor: at this rate a fortieth of a core. More changed sensors are saved less often …"""
_REPLAYED_ENTRIES = 60_000
"""… but never so seldom that a start would read more of the log than this: some seconds."""


class Keeper:
    """Does one piece of work at a time, on a connection of its own."""

    def __init__(
        self,
        dsn: str,
        writer: BlockWriter,
        edition: Edition,
        *,
        retention_us: int,
        failpoint: Failpoint,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dsn = dsn
        self._writer = writer
        self._edition = edition
        self._aggregates = Aggregates()
        self._retention_us = retention_us
        self._failpoint = failpoint
        self._clock = clock
        self._saved_at = clock()
        self._saved_at_entry = writer.entries
        self._connection: Connection | None = None
        self._failure: BaseException | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store-keeper")

    def start(self) -> None:
        """Begin, in a thread."""
        self._thread.start()

    def check(self) -> None:
        """Raise what ended the thread, if something did: ServiceAway when PostgreSQL is away or full."""
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End the thread; a statement under way is cancelled, and begun again another time."""
        self._stopping.set()
        while self._thread.is_alive():
            connection = self._connection
            if connection is not None and not connection.closed:
                with suppress(psycopg.Error):
                    connection.cancel_safe(timeout=1.0)
            self._thread.join(0.2)

    def _run(self) -> None:
        try:
            with session(self._dsn, KEEPER) as connection:
                self._connection = connection
                connection.execute("SET maintenance_work_mem = '128MB'")
                while not self._stopping.is_set():
                    if not self.step(connection):
                        self._stopping.wait(_LOOK_EVERY_S)
        except BaseException as error:  # noqa: BLE001 - raised where somebody waits for it, by `check`
            self._failure = error

    def step(self, connection: Connection) -> bool:
        """Do the most urgent piece of work; False when there was none."""
        stream_us = self._writer.stream_us
        part = due_part(connection, stream_us)
        if part is not None:
            self._writer.withdraw_part(part.part)
            with translated(needed_bytes=100 * part.readings):
                close_part(connection, self._edition, part, self._failpoint)
            return True
        if self._should_save():
            self.save(connection)
            return True
        return (
            drop_closed_blocks(connection)
            or drop_too_old(connection, self._edition, stream_us, self._retention_us)
            or take_in_late(connection, self._edition, stream_us)
            or merge_some(connection, stream_us)
            or self._roll_up(connection, stream_us)
        )

    def _roll_up(self, connection: Connection, stream_us: int) -> bool:
        if self._edition.aggregates:
            return self._aggregates.step(connection, stream_us, self._retention_us)
        hours_us, days_us = stream_us - self._retention_us, stream_us - DAILY_KEPT_US
        return roll_up_some(connection, stream_us) or drop_old_roll_ups(connection, hours_us, days_us)

    def save(self, connection: Connection) -> None:
        """Write the last values that changed."""
        last, place = self._writer.take_changed()
        save_last_values(connection, last, place)
        self._saved_at = self._clock()
        self._saved_at_entry = sum(place.values())

    def save_at_end(self, connection: Connection) -> None:
        """Spare the next start reading the log again, unless that would take this end longer than a second or so."""
        if self._writer.changed_sensors() <= _SAVED_AT_END:
            self.save(connection)

    def _should_save(self) -> bool:
        age_s = self._clock() - self._saved_at
        if age_s < SAVE_EVERY_S:
            return False
        behind = self._writer.entries - self._saved_at_entry
        return behind > _REPLAYED_ENTRIES or self._writer.changed_sensors() <= _SAVED_SENSORS_A_S * age_s
