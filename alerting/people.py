"""What people ask of the alarms and do about them, each within what its viewer sees and may do. Thread-safe.

What is outside a viewer's scope is not there. Who acts is the viewer: its name stands beside what was done. Repeating
an act under the same idempotency key changes nothing; the key stands for one act of one viewer for ever.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import msgspec

from alerting import views
from alerting.life import Alarm, acknowledge, refusal_of_acknowledgement
from alerting.lists import Wanted, keys_of
from alerting.ports import Clock
from alerting.rows import alarm_of
from alerting.sql import load_queries
from alerting.views import AlarmDetail, AlarmPage, AlarmView, Command, Place, WatchedAlarm
from database.connections import Connection, Connections
from schemas.alarms import Grade, decode_event
from schemas.errors import ConfigError, TocsinError
from schemas.viewers import Act, Viewer

_Q = load_queries("alerting", "people.sql")
LONGEST_PAGE = 500
_KEY = re.compile(r"[0-9a-f]{32}\Z")
_heard = msgspec.json.Decoder(list[views.Heard])
_stamps = msgspec.json.Decoder(list[views.Stamped])
_attempts = msgspec.json.Decoder(list[views.Attempt])
ASKED, ACCEPTED, REFUSED = "asked", "accepted", "refused"

ReadingsAround = Callable[[str, int, int], Sequence[tuple[int, float]] | None]
"""sensor key, from µs, until µs → (event time, value) in order; None when the store cannot say."""
AROUND_BEFORE_US = 600 * 1_000_000
AROUND_AFTER_US = 300 * 1_000_000
_NEW_KEY = "this idempotency key was used for something else."


class UnknownAlarm(TocsinError):
    def __init__(self, key: str) -> None:
        super().__init__(f"there is no alarm {key}.", mend="Look with `tocsin alarms list --all`.")


class UnknownCommand(TocsinError):
    pass


class NotPossible(TocsinError):
    """What was asked does not fit what is: said why, nothing was changed."""


class People:
    """The services behind the API, the pages and the command. Raises ServiceAway when PostgreSQL is away."""

    def __init__(self, dsn: str, clock: Clock, readings_around: ReadingsAround | None = None) -> None:
        self._connections = Connections(dsn, "tocsin people")
        self._clock = clock
        self._readings_around = readings_around

    def close(self) -> None:
        self._connections.close()

    # What they ask.

    def list_alarms(self, viewer: Viewer, wanted: Wanted, limit: int = 100, after: Place | None = None) -> AlarmPage:
        """A page: open before ended, worst first, newest first; or newest first."""
        viewer.must(Act.SEE_ALARMS)
        limit = max(1, min(limit, LONGEST_PAGE))
        with self._connections.transaction(viewer) as connection:
            keys = keys_of(connection, viewer, wanted, limit + 1, after)
            alarms = _watched(connection, viewer, keys[:limit])
        more = len(keys) > limit and alarms
        return AlarmPage(alarms, views.encode_cursor(views.place_of(alarms[-1])) if more else "")

    def watch(self, viewer: Viewer, limit: int = LONGEST_PAGE) -> views.Watched:
        """The open alarms, worst first, with how many there are; without those that are hidden behind their cause."""
        viewer.must(Act.SEE_ALARMS)
        with self._connections.transaction(viewer, one_moment=True) as connection:
            counts = connection.execute(_Q["count_open"], viewer.parameters()).fetchall()
            keys = keys_of(connection, viewer, Wanted(hidden=False), limit, None)
            alarms = _watched(connection, viewer, keys)
            now = connection.execute("SELECT (extract(epoch FROM now()) * 1e6)::bigint").fetchone()
        assert now is not None
        grades: dict[str, int] = {}
        for grade, _, count in counts:
            grades[Grade(grade).word] = grades.get(Grade(grade).word, 0) + count
        unacknowledged = sum(count for _, acknowledged, count in counts if not acknowledged)
        return views.Watched(now[0], alarms, sum(grades.values()), grades, unacknowledged)

    def show(self, viewer: Viewer, key: str) -> AlarmDetail:
        """Everything about one alarm. Raises UnknownAlarm."""
        viewer.must(Act.SEE_ALARMS)
        _check_key(key)
        with self._connections.transaction(viewer) as connection:
            alarms = _watched(connection, viewer, [key])
            if not alarms:
                raise UnknownAlarm(key)
            names = (
                "events_of", "decisions_of", "acknowledgements_of", "commands_of", "ledger_of", "comments_of",
                "assignments_of", "verdicts_of",
            )  # fmt: skip
            found = {name: connection.execute(_Q[name], {"key": key}).fetchall() for name in names}
        return AlarmDetail(
            alarms[0],
            [decode_event(body) for (body,) in found["events_of"]],
            [views.Decision(*row) for row in found["decisions_of"]],
            [views.Acknowledgement(*row) for row in found["acknowledgements_of"]],
            [_command(*row) for row in found["commands_of"]],
            [_message(row) for row in found["ledger_of"]],
            [views.Comment(*row) for row in found["comments_of"]],
            [views.Assignment(*row) for row in found["assignments_of"]],
            [_verdict(row) for row in found["verdicts_of"]],
            self._around(alarms[0]),
        )

    def open_alarms(self, viewer: Viewer, enterprise: str) -> list[WatchedAlarm]:
        """All of an enterprise, worst first."""
        viewer.must(Act.SEE_ALARMS)
        row = viewer.parameters() | {"enterprise": enterprise}
        with self._connections.transaction(viewer) as connection:
            keys = [key for (key,) in connection.execute(_Q["open_alarms"], row).fetchall()]
            return _watched(connection, viewer, keys)

    def assignees(self, viewer: Viewer, key: str) -> list[views.Assignee]:
        """To whom the alarm may be given. Raises UnknownAlarm."""
        viewer.must(Act.DIRECT)
        with self._connections.transaction(viewer) as connection:
            return _assignees(connection, _one(connection, viewer, key, held=False))

    def command(self, viewer: Viewer, id_: str) -> Command:
        """What became of a command. Raises UnknownCommand."""
        viewer.must(Act.SEE_ALARMS)
        row = None
        if "\0" not in id_:
            with self._connections.transaction(viewer) as connection:
                row = connection.execute(_Q["one_command"], viewer.parameters() | {"key": id_}).fetchone()
        if row is None:
            raise UnknownCommand(f"nothing was asked under the key {id_}.")
        return _command(id_, "reset", row[1], row[2], row[3], row[4] or "")

    # What they do.

    def acknowledge(
        self, viewer: Viewer, key: str, *, step: int | None = None, note: str = "", idempotency_key: str = ""
    ) -> WatchedAlarm:
        """The viewer takes notice of the alarm as it stood at `step` (its newest if None).

        Raises UnknownAlarm, or NotPossible when the alarm was raised again since or the key stands for something else.
        """
        viewer.must(Act.ACKNOWLEDGE)
        at_us, by = self._clock(), viewer.name
        with self._connections.transaction(viewer) as connection:
            alarm = _one(connection, viewer, key, held=True)
            seen = alarm.event.step if step is None else step
            id_ = idempotency_key or uuid4().hex
            known = connection.execute(_Q["known_acknowledgement"], {"idempotency_key": id_}).fetchone()
            if known is None:
                if refusal := refusal_of_acknowledgement(alarm, seen):
                    raise NotPossible(f"{refusal}.", mend="Look at it again, then acknowledge what you see.")
                row = {
                    "alarm": key, "step": seen, "by": by, "contact": "", "note": note, "at_us": at_us,
                    "idempotency_key": id_,
                }  # fmt: skip
                if connection.execute(_Q["put_acknowledgement"], row).fetchone() is None:
                    raise NotPossible(_NEW_KEY, mend="Use a new one.")
                if acknowledge(alarm, seen, by) is not alarm:
                    connection.execute(_Q["acknowledge_alarm"], row)
                connection.execute(_Q["stamp_acknowledged"], row)
            elif known[0] != key or known[2] != by or (step is not None and known[1] != step):
                raise NotPossible(_NEW_KEY, mend="Use a new one.")
            return _watched(connection, viewer, [key])[0]

    def ask_reset(
        self,
        viewer: Viewer,
        key: str,
        *,
        step: int | None = None,
        note: str = "",
        verdict: str = "",
        idempotency_key: str = "",
    ) -> Command:
        """Ask the engine to reset the alarm as it stood at `step`; until it has judged, the standing is `asked`.

        verdict: what it turned out to be, if that is known.
        Raises UnknownAlarm, or NotPossible when the idempotency key stands for something else.
        """
        viewer.must(Act.DIRECT)
        id_, by = idempotency_key or uuid4().hex, viewer.name
        with self._connections.transaction(viewer) as connection:
            alarm = _one(connection, viewer, key, held=True)
            seen = alarm.event.step if step is None else step
            row = {"key": id_, "alarm": key, "step": seen, "by": by, "note": note}
            connection.execute(_Q["ask_reset"], row)
            asked = connection.execute(_Q["one_command"], viewer.parameters() | {"key": id_}).fetchone()
            if asked is None or asked[0] != key or asked[2] != by or (step is not None and asked[1] != step):
                raise NotPossible(_NEW_KEY, mend="Use a new one.")
            if verdict:
                self._put_verdict(connection, viewer, alarm, asked[1], verdict, note, f"reset {id_}")
        return _command(id_, "reset", asked[1], by, asked[3], asked[4] or "")

    def comment(self, viewer: Viewer, key: str, text: str, *, idempotency_key: str = "") -> views.Comment:
        """The viewer says something about the alarm. Raises UnknownAlarm, NotPossible, or ConfigError without text."""
        viewer.must(Act.ACKNOWLEDGE)
        if not text.strip():
            raise ConfigError("nothing is said.", field="text", mend="Write what is to be kept.")
        row = {"alarm": key, "by": viewer.name, "text": text.strip(), "at_us": self._clock()}
        with self._connections.transaction(viewer) as connection:
            _one(connection, viewer, key, held=False)
            said = _once(connection, "comment", row, idempotency_key, ("by", "text", None, "alarm"))
        return views.Comment(*said[:-1])

    def assign(self, viewer: Viewer, key: str, to: str, *, idempotency_key: str = "") -> views.Assignment:
        """Give the alarm to a login, or to nobody. Raises UnknownAlarm, NotPossible."""
        viewer.must(Act.DIRECT)
        row = {"alarm": key, "by": viewer.name, "to": to, "at_us": self._clock()}
        with self._connections.transaction(viewer) as connection:
            alarm = _one(connection, viewer, key, held=True)
            if to and to not in {one.login for one in _assignees(connection, alarm)}:
                raise NotPossible(f"{to} cannot see to this alarm.", mend="Look at its assignees.")
            said = _once(connection, "assignment", row, idempotency_key, ("to", "by", None, "alarm"))
        return views.Assignment(*said[:-1])

    def judge(
        self,
        viewer: Viewer,
        key: str,
        verdict: str,
        *,
        step: int | None = None,
        note: str = "",
        idempotency_key: str = "",
    ) -> views.Verdict:
        """Say what the alarm turned out to be, once it has cleared. Raises UnknownAlarm, NotPossible, ConfigError."""
        viewer.must(Act.DIRECT)
        with self._connections.transaction(viewer) as connection:
            alarm = _one(connection, viewer, key, held=True)
            seen = alarm.event.step if step is None else step
            return self._put_verdict(connection, viewer, alarm, seen, verdict, note, idempotency_key)

    # Helpers.

    def _put_verdict(
        self, connection: Connection, viewer: Viewer, alarm: Alarm, step: int, verdict: str, note: str, id_: str
    ) -> views.Verdict:
        if verdict not in set(views.VerdictWord):
            words = ", ".join(views.VerdictWord)
            raise ConfigError("this is not a verdict.", field="verdict", mend=f"Use {words}.")
        if refusal := refusal_of_acknowledgement(alarm, step):
            raise NotPossible(f"{refusal}.", mend="Look at it again, then say what it was.")
        if alarm.event.active:
            raise NotPossible("the alarm is still active.", mend="Say what it was when it has cleared.")
        row = {
            "alarm": alarm.event.key, "step": step, "verdict": verdict, "note": note, "by": viewer.name,
            "at_us": self._clock(),
        }  # fmt: skip
        return _verdict(_once(connection, "verdict", row, id_, ("step", "verdict", "note", "by", None, "alarm"))[:-1])

    def _around(self, alarm: AlarmView) -> list[tuple[int, float]] | None:
        if self._readings_around is None or not alarm.measure:
            return None
        from_us, until_us = alarm.onset_us - AROUND_BEFORE_US, alarm.event_us + AROUND_AFTER_US
        readings = self._readings_around(alarm.subject, from_us, until_us)
        return None if readings is None else list(readings)


def _check_key(key: str) -> None:
    if not _KEY.match(key):
        raise UnknownAlarm(key)


def _one(connection: Connection, viewer: Viewer, key: str, *, held: bool) -> Alarm:
    _check_key(key)
    query = _Q["one_alarm_held" if held else "one_alarm"]
    row = connection.execute(query, viewer.parameters() | {"key": key}).fetchone()
    if row is None:
        raise UnknownAlarm(key)
    return alarm_of(row)


def _once(
    connection: Connection, what: str, row: Mapping[str, Any], id_: str, columns: Sequence[str | None]
) -> tuple[Any, ...]:
    """Put a row once under its idempotency key; the row that stands there. Raises NotPossible when it is another."""
    row = {**row, "idempotency_key": id_ or uuid4().hex}
    new = connection.execute(_Q[f"put_{what}"], row).fetchone() is not None
    if new and what != "comment":
        connection.execute(_Q[f"stand_{what}"], row)
    found = connection.execute(_Q[f"known_{what}"], row).fetchone()
    if found is None or any(name and row[name] != value for name, value in zip(columns, found[1:], strict=True)):
        raise NotPossible(_NEW_KEY, mend="Use a new one.")
    return tuple(found)


def _assignees(connection: Connection, alarm: Alarm) -> list[views.Assignee]:
    rows = connection.execute(_Q["assignees"], {"enterprise": alarm.event.enterprise}).fetchall()
    return [views.Assignee(*row) for row in rows]


def _watched(connection: Connection, viewer: Viewer, keys: Sequence[str]) -> list[WatchedAlarm]:
    """Alarms by their keys, in that order; those that are outside of the scope are not there."""
    if not keys:
        return []
    rows = connection.execute(_Q["watched"], viewer.parameters() | {"keys": list(keys)}).fetchall()
    return [views.watched(alarm_of(row[:8]), row[8:19], row[19:23], _heard.decode(row[23] or "[]")) for row in rows]


def _verdict(row: Sequence[Any]) -> views.Verdict:
    number, step, verdict, note, by, at_us = row
    return views.Verdict(number, step, views.VerdictWord(verdict), note, by, at_us)


def _command(
    key: str, action: str, step: int, by: str, accepted: bool | None, reason: str, asked_us: int = 0
) -> Command:
    standing = ASKED if accepted is None else ACCEPTED if accepted else REFUSED
    return Command(key, action, step, by, standing, reason, asked_us)


def _message(row: Sequence[Any]) -> views.Message:
    id_, recipient, channel, at_once, status, reason, planned_us, queued_us, overdue, body, attempts, receipts = row
    stamps = _stamps.decode(receipts)
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
        attempts=_attempts.decode(attempts),
        receipts=own + stamps,
    )
