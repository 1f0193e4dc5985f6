"""What is due as functions: bundles whose time has come, messages that are tried again. Each takes an open transaction
and does one thing. SQL is in `queries.sql`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from msgspec import structs

from alerting.bundle import Gathered
from alerting.database import Connection
from alerting.rows import Sending, alarm_of, execute_many
from alerting.sql import load_queries
from schemas.notifications import Notification, Part, decode_notification, encode_notification

_Q = load_queries("alerting")


@dataclass(frozen=True, slots=True)
class Due:
    """A bundle whose time has come (`body` None), or a message that is to be tried again."""

    id: str
    enterprise: str
    recipient: str
    at_once: bool
    planned_us: int
    attempts: int
    body: str | None


def due(connection: Connection, partition: int, now_us: int, limit: int) -> list[Due]:
    rows = connection.execute(_Q["due"], {"partition": partition, "now_us": now_us, "limit": limit}).fetchall()
    return [Due(*row) for row in rows]


def next_due(connection: Connection, partition: int) -> int | None:
    """When something is to be done next, None when nothing waits."""
    row = connection.execute(_Q["next_due"], {"partition": partition}).fetchone()
    return None if row is None else row[0]


def gathered(connection: Connection, bundle: Due) -> list[Gathered]:
    """The alarms of a bundle as they stand; held until the transaction ends."""
    found: dict[str, Gathered] = {}
    rows = connection.execute(_Q["bundle_lines"], {"id": bundle.id, "recipient": bundle.recipient}).fetchall()
    for key, part, *alarm, heard, hearing in rows:
        parts = found[key].parts if key in found else frozenset()
        found[key] = Gathered(alarm_of(alarm), parts | {Part(part)}, heard, hearing)
    return list(found.values())


def postpone(connection: Connection, bundle: Due, due_us: int) -> None:
    connection.execute(_Q["postpone"], {"id": bundle.id, "due_us": due_us})


def drop_lines(connection: Connection, bundle: Due, unsaid: Iterable[Gathered]) -> None:
    """Alarms of which, in the end, the bundle does not speak."""
    rows = [{"id": bundle.id, "alarm": g.alarm.event.key, "part": part.value} for g in unsaid for part in g.parts]
    execute_many(connection, "drop_line", rows)


def drop_bundle(connection: Connection, bundle: Due, reason: str) -> None:
    connection.execute(_Q["drop_bundle"], {"id": bundle.id, "reason": reason})


def send_bundle(connection: Connection, sending: Sending) -> None:
    """Freeze the text, start the first attempt; a recipient who reads an all-clear believes in the alarm no more."""
    notification = sending.notification
    row = {
        "id": notification.id,
        "now_us": sending.started_us,
        "number": 1,
        "body": encode_notification(notification).decode(),
    }
    connection.execute(_Q["send_bundle"], row)
    connection.execute(_Q["start_attempt"], row)
    cleared = [
        {"alarm": line.key, "recipient": notification.recipient}
        for line in notification.lines
        if line.part is Part.ALL_CLEAR
    ]
    execute_many(connection, "untell", cleared)


def send_again(connection: Connection, message: Due, now_us: int) -> Notification:
    """Start the next attempt of a message."""
    number = message.attempts + 1
    row = {"id": message.id, "number": number, "now_us": now_us}
    connection.execute(_Q["send_again"], row)
    connection.execute(_Q["start_attempt"], row)
    assert message.body is not None, "only a composed message is tried again"
    return with_attempt(decode_notification(message.body), number)


def with_attempt(notification: Notification, number: int) -> Notification:
    return structs.replace(notification, attempt=number)
