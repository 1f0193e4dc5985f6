"""The tables of ladders as functions: each takes an open transaction and does one thing. SQL is in `queries.sql`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from alerting.database import Connection
from alerting.ladder import Ladder
from alerting.life import Alarm
from alerting.rows import Sending, alarm_of, json_rows, ladder_row
from alerting.sql import load_queries
from schemas.alarms import Grade

_Q = load_queries("alerting")


def due_ladders(
    connection: Connection, partition: int, now_us: int, soon_us: int, limit: int
) -> list[tuple[Ladder, Alarm]]:
    """Ladders whose time has come, each with its alarm, and those of the same enterprises whose time comes by
    `soon_us`; held until the transaction ends.
    """
    where = {"partition": partition, "now_us": now_us, "soon_us": soon_us, "limit": limit}
    return [
        (Ladder(key, enterprise, step, Grade(grade), tuple(called), called_us, due_us, unreached), alarm_of(alarm))
        for key, enterprise, step, grade, called, called_us, due_us, unreached, *alarm in connection.execute(
            _Q["due_ladders"], where
        ).fetchall()
    ]


@dataclass(frozen=True, slots=True)
class Call:
    """A message of a rung, of one line or more."""

    sending: Sending
    reason: str
    deadline_us: int


@dataclass(frozen=True, slots=True)
class Rung:
    """Why a ladder went on or ended, and who (by name) is told by that."""

    ladder: Ladder
    told: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A call that was not answered in time. detail: for its receipt."""

    alarm: str
    recipient: str
    detail: str


def record_climbs(
    connection: Connection,
    partition: int,
    now_us: int,
    went_on: Iterable[Ladder],
    ended: Iterable[Ladder],
    rungs: Iterable[Rung],
    calls: Iterable[Call],
    late: Iterable[Unanswered],
) -> int:
    """Ladders after a turn over them, with the messages of their rungs, whose first attempts have started.

    Returns how many messages were found unanswered that were not before.
    """
    climbed = [_climbed_row(ladder, ladder.due_us) for ladder in went_on]
    climbed += [_climbed_row(ladder, None) for ladder in ended]
    unanswered = json_rows([{"alarm": x.alarm, "recipient": x.recipient, "detail": x.detail} for x in late])
    connection.execute(_Q["climb_ladders"], {"ladders": json_rows(climbed)})
    marked = connection.execute(_Q["mark_unanswered"], {"late": unanswered, "now_us": now_us})
    connection.execute(_Q["put_rungs"], {"rungs": json_rows([_rung_row(rung) for rung in rungs]), "now_us": now_us})
    messages = json_rows([_call_row(call) for call in calls])
    connection.execute(_Q["put_calls"], {"messages": messages, "partition": partition, "now_us": now_us})
    return len(marked.fetchall())


def _climbed_row(ladder: Ladder, due_us: int | None) -> dict[str, Any]:
    row = ladder_row(ladder)
    return {**row, "due_us": due_us, "unreached": ladder.unreached}


def _rung_row(rung: Rung) -> dict[str, Any]:
    ladder = rung.ladder
    return {
        "alarm": ladder.alarm,
        "step": ladder.step,
        "number": len(ladder.called),
        "told": rung.told,
        "reason": rung.reason,
    }


def _call_row(call: Call) -> dict[str, Any]:
    notification = call.sending.notification
    return {
        "id": notification.id,
        "enterprise": notification.enterprise,
        "recipient": notification.recipient,
        "channel": notification.channel,
        "reason": call.reason,
        "deadline_us": call.deadline_us,
        "body": notification,
    }
