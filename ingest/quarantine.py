"""What admission refused, kept whole in PostgreSQL, so that it can be read and taken again after the mend.

Rows share the commit of their round, so a PUBACK means that the message is in the log or here. The table is bounded by
age and by size: the oldest go first, and what went unreplayed is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
import psycopg

from ingest.answers import encode_rejects
from ingest.ports import Refused
from schemas.errors import Reject

Connection = psycopg.Connection[tuple[Any, ...]]

_INSERT = """
    INSERT INTO quarantine (arrival_us, enterprise, device, topic, client, payload, rejects)
    VALUES (%s, %s, %s, %s, %s, %s, %s::text::jsonb) ON CONFLICT (arrival_us) DO NOTHING
"""
_WAITING = """
    SELECT arrival_us, enterprise, device, topic, client, payload, rejects::text FROM quarantine
     WHERE replayed_at IS NULL AND arrival_us > %(after)s
       AND (%(enterprise)s = '' OR enterprise = %(enterprise)s) AND (%(device)s = '' OR device = %(device)s)
     ORDER BY arrival_us LIMIT %(limit)s
"""
_MARK = "UPDATE quarantine SET replayed_at = now() WHERE arrival_us = ANY(%s) AND replayed_at IS NULL"
_OLDEST_TO_KEEP = """
    SELECT arrival_us FROM (
        SELECT arrival_us, sum(octet_length(payload) + %(row)s) OVER (ORDER BY arrival_us DESC) AS bytes FROM quarantine
    ) AS sized WHERE bytes > %(most)s ORDER BY arrival_us DESC LIMIT 1
"""
_SWEEP = """
    WITH gone AS (DELETE FROM quarantine WHERE arrival_us <= %s RETURNING replayed_at)
    SELECT count(*), count(*) FILTER (WHERE replayed_at IS NULL) FROM gone
"""
_ROW_BYTES = 400
"""What a row costs beside its payload, roughly: topic, rejects, index."""

_rejects = msgspec.json.Decoder(list[Reject])


@dataclass(frozen=True, slots=True)
class Limits:
    """most_age: rows older than this go.  most_bytes: the oldest rows beyond this size go."""

    most_age: timedelta = timedelta(days=30)
    most_bytes: int = 1 << 30


@dataclass(frozen=True, slots=True)
class Swept:
    """Rows that went, and how many of them had never been replayed."""

    rows: int
    unreplayed: int


@dataclass(frozen=True, slots=True)
class Kept:
    """One row of quarantine."""

    arrival_us: int
    enterprise: str
    device: str
    topic: str
    client: str
    payload: bytes
    rejects: tuple[Reject, ...]


def alongside(
    refused: Sequence[Refused], client_of: Callable[[Refused], str] = lambda _: ""
) -> Callable[[Any], None] | None:
    """Writes the rows of what is kept, for the commit of their round; None when nothing is.

    client_of: the client id of a message's sender. Writing the same rows again changes nothing.
    """
    rows = [
        (
            one.arrival_us, one.enterprise, one.device, _storable(one.topic), _storable(client_of(one)), one.payload,
            encode_rejects(one.rejects),
        )
        for one in refused
        if one.kept
    ]  # fmt: skip
    if not rows:
        return None

    def write(cursor: Any) -> None:
        cursor.executemany(_INSERT, rows)

    return write


def waiting(
    connection: Connection, *, enterprise: str = "", device: str = "", after_us: int = 0, limit: int = 100
) -> list[Kept]:
    """Messages not replayed yet, oldest first; of one enterprise or device where named."""
    asked = {"after": after_us, "enterprise": enterprise, "device": device, "limit": limit}
    rows = connection.execute(_WAITING, asked).fetchall()
    return [
        Kept(arrival_us, enterprise, device, topic, client, bytes(payload), tuple(_rejects.decode(rejects)))
        for arrival_us, enterprise, device, topic, client, payload, rejects in rows
    ]


def mark_replayed(cursor: Any, arrivals_us: Sequence[int]) -> None:
    """These messages have entered again; for the commit that holds their readings."""
    cursor.execute(_MARK, (list(arrivals_us),))


def sweep(connection: Connection, now_us: int, limits: Limits) -> Swept:
    """Delete what is beyond the limits, oldest first; meant for once a minute."""
    before_us = now_us - limits.most_age // timedelta(microseconds=1)
    with connection.transaction():
        found = connection.execute(_OLDEST_TO_KEEP, {"row": _ROW_BYTES, "most": limits.most_bytes}).fetchone()
        row = connection.execute(_SWEEP, (max(before_us, found[0] if found else before_us),)).fetchone()
    assert row is not None
    return Swept(*row)


def _storable(text: str) -> str:
    """PostgreSQL's text holds every character but NUL."""
    return text.replace("\0", "�")
