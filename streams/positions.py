"""The fenced place of a consumer in the log, and the engine's output that is committed with it.

Whoever loads a position becomes its owner; an older owner's next commit is refused. So of two consumers of one name
exactly one goes on, and what either of them wrote was written with the position it stands for.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import psycopg

from schemas.alarms import AlarmEvent, Answer, encode_event
from schemas.errors import ConfigError, CorruptState, Fenced, ServiceAway
from streams.log.session import connect

_MOVE = """
    UPDATE positions SET position = %(new)s
     WHERE consumer = %(consumer)s AND partition = %(partition)s AND position = %(expected)s AND owner = %(owner)s
"""
# One statement is one transaction and one round trip: no row moved, nothing written.
_MOVE_WITH_OUTPUT = f"""
    WITH moved AS ({_MOVE} RETURNING 1),
    judged AS (
        INSERT INTO alarm_events (key, step, partition, seq, entry, state, subject, enterprise, device, family, kind,
                                  grade, active, latched, late, event_us, body)
        SELECT e->>'key', (e->>'step')::int, (e->>'partition')::int, (e->>'seq')::bigint, (e->>'entry')::bigint,
               e->>'state', e->>'subject', e->>'enterprise', e->>'device', e->>'family', e->>'kind',
               (e->>'grade')::smallint, (e->>'active')::boolean, (e->>'latched')::boolean, (e->>'late')::boolean,
               (e->>'event_us')::bigint, e
          FROM moved, jsonb_array_elements(%(events)s::text::jsonb) AS e
        RETURNING 1),
    answered AS (
        UPDATE commands SET answered_at = clock_timestamp(), accepted = (a->>'accepted')::boolean,
                            answer = a->>'reason'
          FROM moved, jsonb_array_elements(%(answers)s::text::jsonb) AS a
         WHERE key = a->>'command' AND answered_at IS NULL)
    SELECT CASE WHEN EXISTS (SELECT FROM judged) THEN pg_notify('tocsin_alarms', %(partition)s::text) END
      FROM moved
"""  # noqa: S608 - put together from our own text


class PostgresPositions:
    """Port `Positions` of one consumer in one partition; one to a thread."""

    def __init__(self, dsn: str, consumer: str, *, partition: int = 0, topic: str | None = None) -> None:
        """topic: the log that the consumer reads, "" for rows; None where nobody can move it meanwhile."""
        self._dsn = dsn
        self._topic = topic
        self.consumer = consumer
        self.partition = partition
        self._owners: tuple[int, ...] = ()
        self._connection: psycopg.Connection[Any] | None = None

    @property
    def owners(self) -> tuple[int, ...]:
        """The numbers of which one stands in the row while we own it; usually one."""
        return self._owners

    def load(self) -> int:
        """Take the position over and return it; 0 at the start. Raises ServiceAway.

        Raises ConfigError when the log has moved: positions are then numbers of another one's entries.
        """
        self._owners = (secrets.randbits(62),)
        with self._edge() as connection:
            row = connection.execute(
                """
                INSERT INTO positions (consumer, partition, position, owner)
                SELECT %s, %s, 0, %s FROM log_layout WHERE topic = coalesce(%s, topic)
                ON CONFLICT (consumer, partition) DO UPDATE SET owner = excluded.owner RETURNING position
                """,
                (self.consumer, self.partition, self._owners[-1], self._topic),
            ).fetchone()
        if row is None:
            raise ConfigError(f"the log is not {self._topic or 'in PostgreSQL'} any more.", mend="Start again.")
        return int(row[0])

    def commit(
        self, expected: int, new: int, events: Sequence[AlarmEvent] = (), answers: Sequence[Answer] = ()
    ) -> None:
        """See the port. After ServiceAway the outcome is unknown: `committed` tells before anything else is done.

        Raises CorruptState when an event exists already, which a function of the log cannot bring about.
        """
        values: dict[str, Any] = {
            "new": new, "consumer": self.consumer, "partition": self.partition, "expected": expected,
            "owner": self._owners[-1],
        }  # fmt: skip
        query = _MOVE
        if events or answers:
            query = _MOVE_WITH_OUTPUT
            values |= {
                "events": (b"[" + b",".join(map(encode_event, events)) + b"]").decode(),
                "answers": _encode_answers(answers).decode(),
            }
        with self._edge() as connection:
            try:
                moved = connection.execute(query, values, prepare=True).rowcount
            except psycopg.errors.UniqueViolation as error:
                raise CorruptState(f"an alarm event was judged twice: {error.diag.message_detail}") from error
        if moved != 1:
            raise self._fenced()

    def committed(self) -> int:
        """The position as it stands, after a commit of unknown outcome. Raises Fenced or ServiceAway.

        The owner's number changes with it, so a commit that is still on its way in a backend nobody listens to
        comes too late. Should the answer to this get lost, too, both numbers are ours.
        """
        self._owners = (*self._owners, secrets.randbits(62))
        with self._edge() as connection:
            row = connection.execute(
                "UPDATE positions SET owner = %s WHERE consumer = %s AND partition = %s AND owner = ANY(%s)"
                " RETURNING position",
                (self._owners[-1], self.consumer, self.partition, list(self._owners)),
            ).fetchone()
        if row is None:
            raise self._fenced()
        self._owners = (self._owners[-1],)
        return int(row[0])

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _edge(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection; the driver's failures become ours, and the connection they came from is forgotten."""
        try:
            if self._connection is None:
                self._connection = connect(self._dsn, f"tocsin-{self.consumer}")
            yield self._connection
        except (psycopg.OperationalError, psycopg.errors.IdleInTransactionSessionTimeout) as error:
            self.close()
            raise ServiceAway("PostgreSQL", str(error).strip()) from error

    def _fenced(self) -> Fenced:
        return Fenced(
            f"another {self.consumer!r} has taken over partition {self.partition}.",
            mend="Only one Tocsin may run on a database; end the other one.",
        )


_encode_answers = msgspec.json.Encoder().encode
