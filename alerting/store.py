"""Alerting's tables as functions: each takes an open transaction and does one thing. SQL is in `queries.sql`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import structs

from alerting.bundle import Gathered
from alerting.database import Connection
from alerting.life import Alarm, Suppression
from alerting.plan import Plan
from alerting.ports import Answer, Outcome
from alerting.retry import Settlement
from alerting.routes import Recipient
from alerting.sql import load_queries
from schemas.alarms import AlarmEvent, Grade, decode_event, encode_event
from schemas.errors import Fenced
from schemas.notifications import Line, Notification, Part, Stamp, Status, decode_notification, encode_notification

_Q = load_queries("alerting")


@dataclass(frozen=True, slots=True)
class Sending:
    """A message whose attempt is recorded as started: it must be handed to its channel."""

    recipient: Recipient
    notification: Notification
    started_us: int


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


@dataclass(frozen=True, slots=True)
class Settled:
    """What came of one send, on its way into the ledger."""

    sending: Sending
    answer: Answer
    finished_us: int
    settlement: Settlement
    delivered: bool


@dataclass(frozen=True, slots=True)
class Overdue:
    id: str
    enterprise: str
    recipient: str
    channel: str


def alarm_of(row: Sequence[Any]) -> Alarm:
    """row: peak, raised_step, raised_us, acked_step, acked_by, suppression, told, body."""
    peak, raised_step, raised_us, acked_step, acked_by, suppression, told, body = row
    return Alarm(
        decode_event(body), Grade(peak), raised_step, raised_us, acked_step, acked_by, Suppression(suppression),
        frozenset(told),
    )  # fmt: skip


# Events by position.


def make_position(connection: Connection, consumer: str, partition: int) -> int:
    """The consumer's committed position; made at 0 when there is none."""
    place = {"consumer": consumer, "partition": partition}
    connection.execute(_Q["make_position"], place)
    row = connection.execute(_Q["load_position"], place).fetchone()
    return 0 if row is None else int(row[0])


def events_after(
    connection: Connection, consumer: str, partition: int, position: int, limit: int
) -> list[tuple[int, AlarmEvent, Alarm | None]]:
    """(seq, event, alarm before it as the table has it), in order.

    Holds the consumer's position until the transaction ends. Raises Fenced when it is not `position`: another is at
    work.
    """
    place = {"consumer": consumer, "partition": partition}
    held = connection.execute(_Q["hold_position"], place)
    rows = connection.execute(_Q["events_after"], {"partition": partition, "after": position, "limit": limit})
    if held.fetchone() != (position,):
        raise Fenced(f"another {consumer} is at work in partition {partition}: the position is not {position}.")
    return [
        (seq, decode_event(body), None if alarm[0] is None else alarm_of(alarm))
        for seq, body, *alarm in rows.fetchall()
    ]


def events_to_hand_on(
    connection: Connection, consumer: str, leader: str, partition: int, limit: int
) -> list[tuple[int, str, bytes]]:
    """(seq, enterprise, event as JSON) after `consumer`'s position and up to `leader`'s.

    Holds the consumer's position until the transaction ends: a second one waits, then sees it moved.
    """
    held = connection.execute(_Q["hold_position"], {"consumer": consumer, "partition": partition})
    rows = connection.execute(
        _Q["events_to_hand_on"], {"consumer": consumer, "leader": leader, "partition": partition, "limit": limit}
    )
    if held.fetchone() is None:
        raise Fenced(f"the position of {consumer} in partition {partition} is gone.")
    return [(seq, enterprise, encode_event(decode_event(body))) for seq, enterprise, body in rows.fetchall()]


def move_position(connection: Connection, consumer: str, partition: int, new: int) -> None:
    """For one who holds the position; see `events_after`."""
    connection.execute(_Q["move_position"], {"consumer": consumer, "partition": partition, "new": new})


def acknowledged_after(connection: Connection, partition: int, after: int) -> list[tuple[int, str]]:
    """(number, enterprise) of acknowledgements, in order."""
    return connection.execute(_Q["acknowledgements_after"], {"partition": partition, "after": after}).fetchall()


def open_alarms(connection: Connection, enterprise: str) -> list[Alarm]:
    """All of an enterprise, worst first."""
    rows = connection.execute(_Q["open_alarms"], {"enterprise": enterprise}).fetchall()
    return [alarm_of(row) for row in rows]


def enterprises_with_open_alarms(connection: Connection, partition: int) -> list[str]:
    rows = connection.execute(_Q["enterprises_with_open_alarms"], {"partition": partition}).fetchall()
    return [enterprise for (enterprise,) in rows]


# What a turn of the desk writes.


def put_alarms(connection: Connection, alarms: Iterable[Alarm]) -> None:
    rows = [_alarm_row(alarm) for alarm in alarms]
    _many(connection, "put_alarm", rows)


def put_decisions(connection: Connection, plans: Iterable[Plan], now_us: int) -> None:
    rows = [
        {
            "alarm": plan.alarm.event.key,
            "step": plan.alarm.event.step,
            "at_us": now_us,
            "told": [telling.recipient.name for telling in plan.tellings],
            "reason": plan.reason,
        }
        for plan in plans
    ]
    _many(connection, "put_decision", rows)


def put_messages(
    connection: Connection,
    sendings: Sequence[Sending],
    partition: int,
    reasons: Sequence[str],
    deadlines_us: Sequence[int],
) -> None:
    """Messages that go at once, each with its first attempt and its lines; their alarms leave the bundles."""
    messages = [
        {
            "id": s.notification.id,
            "partition": partition,
            "enterprise": s.notification.enterprise,
            "recipient": s.notification.recipient,
            "channel": s.notification.channel,
            "reason": reason,
            "now_us": s.started_us,
            "deadline_us": deadline_us,
            "body": encode_notification(s.notification).decode(),
            "number": 1,
        }
        for s, reason, deadline_us in zip(sendings, reasons, deadlines_us, strict=True)
    ]
    lines = [
        {
            "id": s.notification.id,
            "alarm": line.key,
            "step": line.step,
            "part": line.part.value,
            "enterprise": line.enterprise,
            "recipient": s.notification.recipient,
        }
        for s in sendings
        for line in s.notification.lines
    ]
    _many(connection, "put_message", messages)
    _many(connection, "start_attempt", messages)
    _many(connection, "put_line", lines)
    _many(connection, "take_from_bundle", lines)


def put_in_bundle(
    connection: Connection,
    id: str,  # noqa: A002  the column's name
    partition: int,
    line: Line,
    recipient: Recipient,
    now_us: int,
    due_us: int,
    deadline_us: int,
) -> None:
    """Add an alarm to the enterprise's bundle for a recipient; `id` and the times count only if it begins one."""
    row = {
        "id": id,
        "partition": partition,
        "enterprise": line.enterprise,
        "recipient": recipient.name,
        "channel": recipient.channel,
        "now_us": now_us,
        "due_us": due_us,
        "deadline_us": deadline_us,
        "alarm": line.key,
        "step": line.step,
        "part": line.part.value,
    }
    connection.execute(_Q["open_bundle"], row)
    connection.execute(_Q["put_in_bundle"], row)


# What is due.


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
    _many(connection, "drop_line", rows)


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
    _many(connection, "untell", cleared)


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


# The ledger.


def put_settled(connection: Connection, settled: Sequence[Settled]) -> None:
    """Finish attempts, move messages on and stamp the receipts of those that were taken."""
    rows = [
        {
            "id": s.sending.notification.id,
            "number": s.sending.notification.attempt,
            "finished_us": s.finished_us,
            "outcome": s.answer.outcome.value,
            "detail": s.answer.detail,
            "status": s.settlement.status.value,
            "due_us": s.settlement.due_us,
        }
        for s in settled
    ]
    _many(connection, "finish_attempt", rows)
    _many(connection, "settle", rows)
    stamps = [
        {"id": s.sending.notification.id, "stamp": stamp.value, "at_us": at_us, "detail": ""}
        for s in settled
        if s.settlement.status is Status.ACCEPTED
        for stamp, at_us in (
            (Stamp.SENT, s.sending.started_us),
            (Stamp.ACCEPTED, s.finished_us),
            *(((Stamp.DELIVERED, s.finished_us),) if s.delivered else ()),
        )
    ]
    _many(connection, "stamp", stamps)


def settle_leftovers(connection: Connection, partition: int, in_the_air: frozenset[str], now_us: int) -> int:
    """Put sends of an earlier run, whose answer never came, back into the queue; the ledger shows it. Returns how
    many.
    """
    rows = connection.execute(_Q["leftovers"], {"partition": partition}).fetchall()
    left = [
        {
            "id": id_,
            "number": number,
            "finished_us": now_us,
            "outcome": Outcome.UNKNOWN.value,
            "detail": "no answer was recorded",
            "status": Status.QUEUED.value,
            "due_us": now_us,
        }
        for id_, number in rows
        if id_ not in in_the_air
    ]
    _many(connection, "finish_attempt", left)
    _many(connection, "settle", left)
    return len(left)


def mark_overdue(connection: Connection, partition: int, now_us: int) -> list[Overdue]:
    """Messages that have missed their limit since the last call."""
    rows = connection.execute(_Q["mark_overdue"], {"partition": partition, "now_us": now_us}).fetchall()
    return [Overdue(*row) for row in rows]


def waiting(connection: Connection, partition: int) -> dict[str, int]:
    """status → messages that are not settled yet."""
    return dict(connection.execute(_Q["waiting"], {"partition": partition}).fetchall())


@dataclass(frozen=True, slots=True)
class JournalLine:
    id: str
    at_us: int
    enterprise: str
    grade: Grade
    en: str
    zh: str


def put_journal(connection: Connection, lines: Iterable[JournalLine]) -> None:
    """Written once under its id, however often it is sent."""
    rows = [
        {"id": x.id, "at_us": x.at_us, "enterprise": x.enterprise, "grade": int(x.grade), "en": x.en, "zh": x.zh}
        for x in lines
    ]
    _many(connection, "put_journal", rows)


def _alarm_row(alarm: Alarm) -> dict[str, Any]:
    event = alarm.event
    return {
        "key": event.key,
        "partition": event.partition,
        "enterprise": event.enterprise,
        "device": event.device,
        "kind": event.kind.value,
        "state": event.state.value,
        "grade": int(event.grade),
        "peak": int(alarm.peak),
        "step": event.step,
        "raised_step": alarm.raised_step,
        "raised_us": alarm.raised_us,
        "active": event.active,
        "latched": event.latched,
        "suppression": alarm.suppression.value,
        "told": sorted(alarm.told),
        "body": encode_event(event).decode(),
    }


def _many(connection: Connection, name: str, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.cursor().executemany(_Q[name], rows)
