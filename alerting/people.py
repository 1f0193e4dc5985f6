"""What people ask of the alarms: list them, look into one, acknowledge, ask for a reset. Thread-safe."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import msgspec

from alerting import store, views
from alerting.database import Connection, Database
from alerting.life import Alarm, acknowledge, refusal_of_acknowledgement
from alerting.ports import Clock
from alerting.sql import load_queries
from alerting.store import alarm_of
from alerting.views import AlarmDetail, AlarmPage, AlarmView, Command, Place
from schemas.alarms import Grade, Kind, decode_event
from schemas.errors import TocsinError

_Q = load_queries("alerting")
_IDLE_CONNECTIONS = 4
LONGEST_PAGE = 500
_KEY = re.compile(r"[0-9a-f]{32}\Z")
ASKED, ACCEPTED, REFUSED = "asked", "accepted", "refused"

ReadingsAround = Callable[[str, int, int], Sequence[tuple[int, float]] | None]
"""sensor key, from µs, until µs → (event time, value) in order; None when the store cannot say."""
AROUND_BEFORE_US = 600 * 1_000_000
AROUND_AFTER_US = 300 * 1_000_000


class UnknownAlarm(TocsinError):
    def __init__(self, key: str) -> None:
        super().__init__(f"there is no alarm {key}.", mend="Look with `tocsin alarms list --all`.")


class UnknownCommand(TocsinError):
    pass


class NotPossible(TocsinError):
    """What was asked does not fit what is: said why, nothing was changed."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which alarms. None means all."""

    open: bool | None = True
    grades: Sequence[Grade] | None = None
    kinds: Sequence[Kind] | None = None
    enterprises: Sequence[str] | None = None


class People:
    """The services behind the API and the command. Raises ServiceAway when PostgreSQL is away."""

    def __init__(self, dsn: str, clock: Clock, readings_around: ReadingsAround | None = None) -> None:
        self._dsn = dsn
        self._clock = clock
        self._readings_around = readings_around
        self._idle: list[Database] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for database in idle:
            database.close()

    def list_alarms(self, wanted: Wanted, limit: int = 100, after: Place | None = None) -> AlarmPage:
        """A page: open before ended, worst first, newest first."""
        limit = max(1, min(limit, LONGEST_PAGE))
        row = {
            "open": wanted.open,
            "grades": None if wanted.grades is None else [int(grade) for grade in wanted.grades],
            "kinds": None if wanted.kinds is None else [kind.value for kind in wanted.kinds],
            "enterprises": None if wanted.enterprises is None else list(wanted.enterprises),
            "at_open": after and after.open,
            "at_grade": after and after.grade,
            "at_raised_us": after and after.raised_us,
            "at_key": after and after.key,
            "limit": limit + 1,
        }
        with self._transaction() as connection:
            alarms = [alarm_of(r) for r in connection.execute(_Q["list_alarms"], row).fetchall()]
        page, more = alarms[:limit], len(alarms) > limit
        return AlarmPage(
            [views.view(alarm) for alarm in page], views.encode_cursor(views.place_of(page[-1])) if more else ""
        )

    def show(self, key: str) -> AlarmDetail:
        """Everything about one alarm. Raises UnknownAlarm."""
        with self._transaction() as connection:
            alarm = self._one(connection, key, held=False)
            found = {
                name: connection.execute(_Q[name], {"key": key}).fetchall()
                for name in ("events_of", "decisions_of", "acknowledgements_of", "commands_of", "ledger_of")
            }
        return AlarmDetail(
            views.view(alarm),
            [decode_event(body) for (body,) in found["events_of"]],
            [views.Decision(*row) for row in found["decisions_of"]],
            [views.Acknowledgement(*row) for row in found["acknowledgements_of"]],
            [_command(*row) for row in found["commands_of"]],
            [_message(row) for row in found["ledger_of"]],
            self._around(alarm),
        )

    def acknowledge(
        self, key: str, by: str, *, step: int | None = None, note: str = "", idempotency_key: str = ""
    ) -> AlarmView:
        """`by` takes notice of the alarm as it stood at `step` (its newest if None).

        Repeating it under the same `idempotency_key` changes nothing. Raises UnknownAlarm, or NotPossible when the
        alarm was raised again since or the key stands for something else.
        """
        at_us = self._clock()
        with self._transaction() as connection:
            alarm = self._one(connection, key, held=True)
            seen = alarm.event.step if step is None else step
            id_ = idempotency_key or uuid4().hex
            known = connection.execute(_Q["known_acknowledgement"], {"idempotency_key": id_}).fetchone()
            if known is not None:
                if known[0] != key or known[2] != by or (step is not None and known[1] != step):
                    raise NotPossible("this idempotency key was used for something else.", mend="Use a new one.")
                return views.view(alarm)
            if refusal := refusal_of_acknowledgement(alarm, seen):
                raise NotPossible(f"{refusal}.", mend="Look at it again, then acknowledge what you see.")
            row = {
                "alarm": key, "step": seen, "by": by, "note": note, "at_us": at_us, "idempotency_key": id_,
            }  # fmt: skip
            connection.execute(_Q["put_acknowledgement"], row)
            connection.execute(_Q["acknowledge_alarm"], row)
            connection.execute(_Q["stamp_acknowledged"], row)
        return views.view(acknowledge(alarm, seen, by))

    def ask_reset(
        self, key: str, by: str, *, step: int | None = None, note: str = "", idempotency_key: str = ""
    ) -> Command:
        """Ask the engine to reset the alarm as it stood at `step`; until it has judged, the standing is `asked`.

        Raises UnknownAlarm, or NotPossible when the idempotency key stands for something else.
        """
        id_ = idempotency_key or uuid4().hex
        with self._transaction() as connection:
            alarm = self._one(connection, key, held=False)
            seen = alarm.event.step if step is None else step
            connection.execute(_Q["ask_reset"], {"key": id_, "alarm": key, "step": seen, "by": by, "note": note})
            asked = connection.execute(_Q["one_command"], {"key": id_}).fetchone()
        if asked is None or asked[0] != key or asked[2] != by or (step is not None and asked[1] != step):
            raise NotPossible("this idempotency key was used for something else.", mend="Use a new one.")
        return _command(id_, "reset", asked[1], by, asked[3], asked[4] or "")

    def command(self, id_: str) -> Command:
        """What became of a command. Raises UnknownCommand."""
        row = None
        if "\0" not in id_:
            with self._transaction() as connection:
                row = connection.execute(_Q["one_command"], {"key": id_}).fetchone()
        if row is None:
            raise UnknownCommand(f"nothing was asked under the key {id_}.")
        return _command(id_, "reset", row[1], row[2], row[3], row[4] or "")

    def open_alarms(self, enterprise: str) -> list[AlarmView]:
        """All of them, worst first."""
        with self._transaction() as connection:
            return [views.view(alarm) for alarm in store.open_alarms(connection, enterprise)]

    def _one(self, connection: Connection, key: str, *, held: bool) -> Alarm:
        if not _KEY.match(key):
            raise UnknownAlarm(key)
        row = connection.execute(_Q["one_alarm_held" if held else "one_alarm"], {"key": key}).fetchone()
        if row is None:
            raise UnknownAlarm(key)
        return alarm_of(row)

    def _around(self, alarm: Alarm) -> list[tuple[int, float]] | None:
        if self._readings_around is None or not alarm.event.measure:
            return None
        from_us, until_us = alarm.event.onset_us - AROUND_BEFORE_US, alarm.event.event_us + AROUND_AFTER_US
        readings = self._readings_around(alarm.event.subject, from_us, until_us)
        return None if readings is None else list(readings)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._lock:
            database = self._idle.pop() if self._idle else Database(self._dsn, "tocsin people")
        try:
            with database.transaction() as connection:
                yield connection
        finally:
            with self._lock:
                kept = len(self._idle) < _IDLE_CONNECTIONS
                if kept:
                    self._idle.append(database)
            if not kept:
                database.close()


def _command(
    key: str, action: str, step: int, by: str, accepted: bool | None, reason: str, asked_us: int = 0
) -> Command:
    standing = ASKED if accepted is None else ACCEPTED if accepted else REFUSED
    return Command(key, action, step, by, standing, reason, asked_us)


def _message(row: Sequence[Any]) -> views.Message:
    id_, recipient, channel, at_once, status, reason, planned_us, queued_us, overdue, body, attempts, receipts = row
    stamps = msgspec.json.decode(receipts, type=list[views.Stamped])
    own = [views.Stamped("planned", planned_us), *([views.Stamped("queued", queued_us)] if queued_us else [])]
    return views.Message(
        id=id_,
        recipient=recipient,
        channel=channel,
        at_once=at_once,
        status=status,
        reason=reason,
        overdue=overdue,
        text="" if body is None else msgspec.json.decode(body)["text"],
        attempts=msgspec.json.decode(attempts, type=list[views.Attempt]),
        receipts=own + stamps,
    )
