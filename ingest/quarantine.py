"""What admission refused, kept whole in PostgreSQL, so that it can be read and taken again after the mend.

In one process rows share the commit of their round; in a cluster they come as records of Kafka, so that doors go on
while PostgreSQL is away. Either way a PUBACK means that the message is in the log or on its way here. The table is
bounded by age and by size: the oldest go first, and what went unreplayed is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

import msgspec
import psycopg

from ingest.answers import encode_rejects
from ingest.ports import Kept
from schemas.errors import CorruptState, Reject

Connection = psycopg.Connection[tuple[Any, ...]]

_INSERT = """
    INSERT INTO quarantine (arrival_us, source, enterprise, device, topic, client, payload, rejects)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s::text::jsonb) ON CONFLICT (arrival_us, source) DO NOTHING
"""
_WAITING = """
    SELECT arrival_us, enterprise, device, topic, client, payload, rejects::text, source FROM quarantine
     WHERE replayed_at IS NULL AND (arrival_us, source) > (%(arrival_us)s, %(source)s)
       AND (%(enterprise)s = '' OR enterprise = %(enterprise)s) AND (%(device)s = '' OR device = %(device)s)
     ORDER BY arrival_us, source LIMIT %(limit)s
"""
_MARK = """
    UPDATE quarantine SET replayed_at = now()
     WHERE (arrival_us, source) IN (SELECT * FROM unnest(%s::bigint[], %s::text[])) AND replayed_at IS NULL
"""
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

_RECORD_VERSION = 1

_rejects = msgspec.json.Decoder(list[Reject])


class Name(NamedTuple):
    """What a kept message is known by; also the place up to which a list of them was read."""

    arrival_us: int
    source: str = ""


_BEFORE_ALL = Name(-1)


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


class _Record(msgspec.Struct, frozen=True):
    """A kept message as JSON. The version rises when old readers would misread it; new fields have defaults."""

    version: int
    kept: Kept


_record = msgspec.json.Decoder(_Record)


def keep(cursor: Any, kept: Iterable[Kept]) -> None:
    """Insert the rows, within the caller's transaction; doing so again changes nothing."""
    rows = [
        (
            one.arrival_us, one.source, one.enterprise, one.device, _storable(one.topic), _storable(one.client),
            one.payload, encode_rejects(one.rejects),
        )
        for one in kept
    ]  # fmt: skip
    if rows:
        cursor.executemany(_INSERT, rows)


def encode_kept(kept: Kept) -> bytes:
    """The record of `schemas.kafka.QUARANTINE`; the payload is base64 in it."""
    return msgspec.json.encode(_Record(_RECORD_VERSION, kept))


def decode_kept(body: bytes) -> Kept:
    """Raises CorruptState when it is no such record, or of a version that is not known here."""
    try:
        record = _record.decode(body)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise CorruptState(f"a record of quarantine cannot be read: {error}") from error
    if record.version != _RECORD_VERSION:
        raise CorruptState(f"a record of quarantine has version {record.version}; known is {_RECORD_VERSION}.")
    return record.kept


def keep_records(connection: Connection, bodies: Sequence[bytes]) -> dict[int, str]:
    """Insert what records say, in one transaction where PostgreSQL takes them all; doing so again changes nothing.

    Returns the places of those that cannot be read, each with why: they are the caller's to keep.
    """
    kept: dict[int, Kept] = {}
    unreadable: dict[int, str] = {}
    for place, body in enumerate(bodies):
        try:
            kept[place] = decode_kept(body)
        except CorruptState as error:
            unreadable[place] = error.what
    try:
        with connection.transaction(), connection.cursor() as cursor:
            keep(cursor, kept.values())
    except psycopg.DataError:
        for place, one in kept.items():
            try:
                with connection.transaction(), connection.cursor() as cursor:
                    keep(cursor, [one])
            except psycopg.DataError as error:
                unreadable[place] = f"PostgreSQL does not take it: {type(error).__name__}"
    return unreadable


def waiting(
    connection: Connection, *, enterprise: str = "", device: str = "", after: Name = _BEFORE_ALL, limit: int = 100
) -> list[Kept]:
    """Messages not replayed yet, oldest first; of one enterprise or device where named."""
    asked = {**after._asdict(), "enterprise": enterprise, "device": device, "limit": limit}
    rows = connection.execute(_WAITING, asked).fetchall()
    return [
        Kept(arrival_us, enterprise, device, topic, client, bytes(payload), tuple(_rejects.decode(rejects)), source)
        for arrival_us, enterprise, device, topic, client, payload, rejects, source in rows
    ]


def mark_replayed(cursor: Any, names: Sequence[Name]) -> None:
    """These messages have entered again; for the commit that holds their readings."""
    cursor.execute(_MARK, ([one.arrival_us for one in names], [one.source for one in names]))


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
