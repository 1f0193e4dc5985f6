"""Rows of alerting's tables, read and made; and a message on its way, as all who handle it know it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from alerting.database import Connection
from alerting.ladder import Ladder
from alerting.life import Alarm, Suppression
from alerting.routes import Recipient
from alerting.sql import load_queries
from schemas.alarms import Grade, decode_event
from schemas.notifications import Notification

_Q = load_queries("alerting")
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Sending:
    """A message whose attempt is recorded as started: it must be handed to its channel."""

    recipient: Recipient
    notification: Notification
    started_us: int


def alarm_of(row: Sequence[Any]) -> Alarm:
    """row: peak, raised_step, raised_us, acked_step, acked_by, suppression, told, body."""
    peak, raised_step, raised_us, acked_step, acked_by, suppression, told, body = row
    return Alarm(
        decode_event(body), Grade(peak), raised_step, raised_us, acked_step, acked_by, Suppression(suppression),
        frozenset(told),
    )  # fmt: skip


def ladder_row(ladder: Ladder) -> dict[str, Any]:
    return {
        "alarm": ladder.alarm,
        "enterprise": ladder.enterprise,
        "step": ladder.step,
        "grade": ladder.grade,
        "called": ladder.called,
        "called_us": ladder.called_us,
        "due_us": ladder.due_us,
    }


def json_rows(rows: list[dict[str, Any]]) -> str:
    return _encoder.encode(rows).decode()


def execute_many(connection: Connection, name: str, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.cursor().executemany(_Q[name], rows)
