"""The ledger of what was sent: attempts and their outcomes, receipts, what is overdue, and the journal's lines.

Each function takes an open transaction and does one thing. SQL is in `queries.sql`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from alerting.database import Connection
from alerting.ports import Answer, Outcome
from alerting.retry import Settlement
from alerting.rows import Sending, execute_many, json_rows
from alerting.sql import load_queries
from schemas.alarms import Grade
from schemas.notifications import Stamp, Status

_Q = load_queries("alerting")


@dataclass(frozen=True, slots=True)
class Settled:
    """What came of one send, on its way into the ledger."""

    sending: Sending
    answer: Answer
    finished_us: int
    settlement: Settlement
    delivered: bool
    track_from_us: int | None = None
    """When its carrier is asked first what became of it; None: it cannot be asked."""


@dataclass(frozen=True, slots=True)
class Overdue:
    id: str
    enterprise: str
    recipient: str
    channel: str


def put_settled(connection: Connection, settled: Sequence[Settled]) -> None:
    """Finish attempts, move messages on and stamp the receipts of those that were taken."""
    receipts = [
        {"id": s.sending.notification.id, "stamp": stamp.value, "at_us": at_us}
        for s in settled
        if s.settlement.status is Status.ACCEPTED
        for stamp, at_us in (
            (Stamp.SENT, s.sending.started_us),
            (Stamp.ACCEPTED, s.finished_us),
            *(((Stamp.DELIVERED, s.finished_us),) if s.delivered else ()),
        )
    ]
    rows = [
        {
            "id": s.sending.notification.id,
            "number": s.sending.notification.attempt,
            "finished_us": s.finished_us,
            "outcome": s.answer.outcome.value,
            "detail": s.answer.detail,
            "status": s.settlement.status.value,
            "due_us": s.settlement.due_us,
            "reference": s.answer.reference,
            "tracked_us": s.track_from_us,
            "channel": s.sending.notification.channel,
        }
        for s in settled
    ]
    connection.execute(_Q["put_settled"], {"settled": json_rows(rows), "receipts": json_rows(receipts)})


def settle_leftovers(connection: Connection, partition: int, in_the_air: frozenset[str], now_us: int) -> int:
    """Queue sends of an earlier run, whose answer never came, again; the ledger shows it. Returns how many."""
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
            "reference": "",
        }
        for id_, number in rows
        if id_ not in in_the_air
    ]
    connection.execute(_Q["put_settled"], {"settled": json_rows(left), "receipts": "[]"})
    return len(left)


def hurry_ladders(connection: Connection, ids: Sequence[str], now_us: int) -> list[int]:
    """Of messages that cannot come to their person: what they called about goes to the next contact now.

    Returns the partitions of these ladders.
    """
    rows = connection.execute(_Q["hurry_ladders"], {"ids": list(ids), "now_us": now_us}).fetchall()
    return [partition for (partition,) in rows]


@dataclass(frozen=True, slots=True)
class Awaited:
    """A message that its carrier has accepted and may know more of."""

    id: str
    reference: str
    accepted_us: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """delivered: None when the carrier has said nothing in all the time that it was asked."""

    id: str
    reference: str
    delivered: bool | None
    detail: str


def take_tracked(
    connection: Connection, channel: str, now_us: int, first_us: int, longest_us: int, limit: int
) -> list[Awaited]:
    """Messages to ask about now; each is due again after `first_us`, twice that, … `longest_us`."""
    row = {"channel": channel, "now_us": now_us, "first_us": first_us, "longest_us": longest_us, "limit": limit}
    return [Awaited(*found) for found in connection.execute(_Q["take_tracked"], row).fetchall()]


def put_arrived(connection: Connection, arrived: Sequence[Arrived], now_us: int) -> set[str]:
    """Stamp what was delivered, fail what never will be, and ask no more.

    Returns the ids of those that counted: not of what another process has written down, or what was sent anew since.
    """
    rows = json_rows(
        [
            {"id": one.id, "reference": one.reference, "delivered": one.delivered, "detail": one.detail}
            for one in arrived
        ]
    )
    found = connection.execute(_Q["put_arrived"], {"arrived": rows, "now_us": now_us}).fetchall()
    return {id_ for (id_,) in found}


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
    execute_many(connection, "put_journal", rows)
