"""What a turn of the desk over events reads and writes, as functions: each takes an open transaction and does one
thing. SQL is in `queries.sql`; what is due is in `due_rows` and `ladder_rows`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from alerting import whereabouts
from alerting.database import Connection
from alerting.life import Alarm
from alerting.plan import Plan
from alerting.routes import Recipient
from alerting.rows import Sending, alarm_of, json_rows, ladder_row
from alerting.sql import load_queries
from schemas.alarms import AlarmEvent, decode_event, encode_event
from schemas.errors import Fenced
from schemas.notifications import Line

_Q = load_queries("alerting")


class Judged(NamedTuple):
    """An alarm event, when its commit was made, and its alarm before it, as the table has it."""

    seq: int
    judged_us: int
    event: AlarmEvent
    alarm: Alarm | None


def make_position(connection: Connection, consumer: str, partition: int) -> int:
    """The consumer's committed position; made at 0 when there is none."""
    place = {"consumer": consumer, "partition": partition}
    connection.execute(_Q["make_position"], place)
    row = connection.execute(_Q["load_position"], place).fetchone()
    return 0 if row is None else int(row[0])


def position_of(connection: Connection, consumer: str, partition: int) -> int:
    """The consumer's committed position, not held. Raises Fenced when there is none."""
    row = connection.execute(_Q["load_position"], {"consumer": consumer, "partition": partition}).fetchone()
    if row is None:
        raise Fenced(f"the position of {consumer} in partition {partition} is gone.")
    return int(row[0])


def events_after(
    connection: Connection, consumer: str, partition: int, position: int, limit: int
) -> tuple[list[Judged], Any]:
    """Alarm events, in order, and what `whereabouts.read` takes about them.

    Holds the consumer's position until the transaction ends. Raises Fenced when it is not `position`: another is at
    work.
    """
    place = {"consumer": consumer, "partition": partition}
    held = connection.execute(_Q["hold_position"], place)
    rows = connection.execute(_Q["events_after"], {"partition": partition, "after": position, "limit": limit})
    # Behind them, so that it sees at least these; all three leave at once.
    asked = whereabouts.ask_of_events(connection, partition, position, limit)
    _check_fence(held.fetchone(), consumer, partition, position)
    judged = [
        Judged(seq, judged_us, decode_event(body), None if alarm[0] is None else alarm_of(alarm))
        for seq, judged_us, body, *alarm in rows.fetchall()
    ]
    return judged, asked


def hold_position(connection: Connection, consumer: str, partition: int, position: int) -> None:
    """Held until the transaction ends. Raises Fenced when it is not `position`."""
    held = connection.execute(_Q["hold_position"], {"consumer": consumer, "partition": partition})
    _check_fence(held.fetchone(), consumer, partition, position)


def suppressed_devices(connection: Connection, partition: int) -> list[tuple[str, str]]:
    """(enterprise, device) with open alarms that were not announced."""
    return connection.execute(_Q["suppressed_devices"], {"partition": partition}).fetchall()


def suppressed_alarms(
    connection: Connection, consumer: str, partition: int, position: int, devices: Sequence[tuple[str, str]], limit: int
) -> list[Alarm]:
    """Open alarms of `devices` that were not announced, worst first; held and fenced as by `events_after`."""
    held = connection.execute(_Q["hold_position"], {"consumer": consumer, "partition": partition})
    where = {"enterprises": [e for e, _ in devices], "devices": [d for _, d in devices]}
    rows = connection.execute(_Q["suppressed_alarms"], {**where, "partition": partition, "limit": limit})
    _check_fence(held.fetchone(), consumer, partition, position)
    return [alarm_of(row) for row in rows.fetchall()]


def _check_fence(held: tuple[Any, ...] | None, consumer: str, partition: int, position: int) -> None:
    if held != (position,):
        raise Fenced(f"another {consumer} is at work in partition {partition}: the position is not {position}.")


def events_to_hand_on(
    connection: Connection, after: int, leader: str, partition: int, limit: int
) -> list[tuple[int, str, bytes]]:
    """(seq, enterprise, event as JSON) after a position and up to `leader`'s. Holds nothing."""
    place = {"after": after, "leader": leader, "partition": partition, "limit": limit}
    rows = connection.execute(_Q["events_to_hand_on"], place).fetchall()
    return [(seq, enterprise, encode_event(decode_event(body))) for seq, enterprise, body in rows]


def move_position(connection: Connection, consumer: str, partition: int, new: int) -> None:
    """For one who holds the position; see `events_after`."""
    connection.execute(_Q["move_position"], {"consumer": consumer, "partition": partition, "new": new})


def move_position_from(connection: Connection, consumer: str, partition: int, old: int, new: int) -> bool:
    """False, with nothing moved, when the position is not `old` any more."""
    place = {"consumer": consumer, "partition": partition, "old": old, "new": new}
    return connection.execute(_Q["move_position_from"], place).fetchone() is not None


def announce(connection: Connection, channel: str, partition: int) -> None:
    """Wake those who LISTEN, once this transaction is committed."""
    connection.execute("SELECT pg_notify(%s, %s)", [channel, str(partition)])


def acknowledged_after(
    connection: Connection, partition: int, after: int, known: Iterable[int]
) -> list[tuple[int, str]]:
    """(number, enterprise) of acknowledgements that are not `known`; a smaller number may still come later."""
    where = {"partition": partition, "after": after, "known": list(known)}
    return connection.execute(_Q["acknowledgements_after"], where).fetchall()


def last_acknowledged(connection: Connection) -> int:
    """The greatest number of an acknowledgement, 0 when there is none."""
    row = connection.execute(_Q["last_acknowledged"]).fetchone()
    return 0 if row is None else int(row[0])


def open_alarms(connection: Connection, enterprises: Iterable[str]) -> dict[str, list[tuple[Any, ...]]]:
    """Rows of `alarm_of` of each enterprise, worst first: as they stand, so that they can be compared unread."""
    found: dict[str, list[tuple[Any, ...]]] = {enterprise: [] for enterprise in enterprises}
    for enterprise, *row in connection.execute(_Q["open_alarms"], {"enterprises": list(found)}).fetchall():
        found[enterprise].append(tuple(row))
    return found


def enterprises_with_open_alarms(connection: Connection, partition: int) -> list[str]:
    rows = connection.execute(_Q["enterprises_with_open_alarms"], {"partition": partition}).fetchall()
    return [enterprise for (enterprise,) in rows]


@dataclass(frozen=True, slots=True)
class AtOnce:
    """A message of one line that goes at once."""

    sending: Sending
    reason: str
    deadline_us: int


def record_turn(
    connection: Connection,
    partition: int,
    now_us: int,
    alarms: Iterable[Alarm],
    plans: Iterable[Plan],
    messages: Iterable[AtOnce],
) -> None:
    """The alarms, the decisions, and the messages that go at once, with first attempts; these leave the bundles."""
    rows = {
        "partition": partition,
        "now_us": now_us,
        "alarms": json_rows([_alarm_row(alarm) for alarm in alarms]),
        "decisions": json_rows(
            [
                {
                    "alarm": plan.alarm.event.key,
                    "step": plan.alarm.event.step,
                    "told": [telling.recipient.name for telling in plan.tellings],
                    "reason": plan.reason,
                }
                for plan in plans
            ]
        ),
        "ladders": json_rows(list({p.ladder.alarm: ladder_row(p.ladder) for p in plans if p.ladder}.values())),
        "messages": json_rows([_message_row(message) for message in messages]),
    }
    connection.execute(_Q["record_turn"], rows)


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


def _alarm_row(alarm: Alarm) -> dict[str, Any]:
    event = alarm.event
    return {
        "key": event.key,
        "partition": event.partition,
        "enterprise": event.enterprise,
        "device": event.device,
        "kind": event.kind,
        "state": event.state,
        "grade": event.grade,
        "peak": alarm.peak,
        "step": event.step,
        "raised_step": alarm.raised_step,
        "raised_us": alarm.raised_us,
        "active": event.active,
        "latched": event.latched,
        "suppression": alarm.suppression,
        "told": sorted(alarm.told),
        "body": event,
    }


def _message_row(message: AtOnce) -> dict[str, Any]:
    notification = message.sending.notification
    (line,) = notification.lines
    return {
        "id": notification.id,
        "enterprise": notification.enterprise,
        "recipient": notification.recipient,
        "channel": notification.channel,
        "reason": message.reason,
        "deadline_us": message.deadline_us,
        "alarm": line.key,
        "step": line.step,
        "part": line.part,
        "body": notification,
    }
