"""Refused messages on their way in again after the mend: the same admission, as a back-fill of their first arrival.

People ask by a row (`ingest.payloads`); whoever writes the log tries. Readings enter with origin replay, and count as
of their `ts`, else of the message's first arrival. So what a message had of good fields enters a second time with the
same times, which the engine and the store know for a repeat, and a message that is tried twice does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import psycopg
import structlog

from ingest.answers import encode_rejects
from ingest.intake import JsonIntake
from ingest.mending import mended
from ingest.ports import MessageBatch
from ingest.quarantine import Name
from schemas.entries import Payload
from schemas.errors import OutcomeUnknown, Reject, ServiceAway
from schemas.payloads import Mend
from schemas.readings import I64, Origin, ReadingBatch
from schemas.rejects import CLOCK_CODES

Write = Callable[[Sequence[Payload], Callable[[Any], None]], None]
"""Makes payloads durable in the log and calls the second with a cursor whose transaction is committed with them, or
behind them. Raises ServiceAway: the same is tried again later."""

AT_ONCE = 200
MOST_A_TURN = 4_000
"""Messages in one call of `turn`: history must not crowd out what comes in live."""
LEASE_S = 30.0
"""How long a message that one writer has taken up is left alone by the others."""

_log = structlog.get_logger(__name__)

_CLAIM = """
    UPDATE quarantine AS q SET tried_at = clock_timestamp()
      FROM (SELECT arrival_us, source FROM quarantine
             WHERE asked_at IS NOT NULL AND replayed_at IS NULL
               AND (tried_at IS NULL OR tried_at < asked_at
                    OR tried_at < clock_timestamp() - %(lease_s)s * interval '1 second')
             ORDER BY asked_at, arrival_us LIMIT %(limit)s FOR UPDATE SKIP LOCKED) AS due
     WHERE (q.arrival_us, q.source) = (due.arrival_us, due.source)
    RETURNING q.arrival_us, q.source, q.topic, q.payload, q.mend::text
"""
_ENTERED = """
    UPDATE quarantine SET replayed_at = clock_timestamp(), tries = tries + 1
     WHERE (arrival_us, source) IN (SELECT * FROM unnest(%s::bigint[], %s::text[])) AND replayed_at IS NULL
"""
_REFUSED_AGAIN = """
    UPDATE quarantine AS q SET asked_at = NULL, tries = tries + 1, rejects = said.rejects::jsonb
      FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS said (arrival_us, source, rejects)
     WHERE (q.arrival_us, q.source) = (said.arrival_us, said.source) AND replayed_at IS NULL
"""
_mend = msgspec.json.Decoder(Mend)


@dataclass(frozen=True, slots=True)
class Again:
    """A message that is tried again."""

    name: Name
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What became of messages. entered: nothing of them is refused any more.  refused: their new reasons."""

    payloads: list[Payload]
    entered: list[Name]
    refused: list[tuple[Name, tuple[Reject, ...]]]


def admit_again(messages: Sequence[Again], now_us: int) -> Verdicts:
    """Admit messages as of their first arrivals. now_us: the arrival that their readings have in the log.

    Everything of a message that is good now enters, also where another field of it is refused again.
    """
    order = sorted(messages, key=lambda one: one.name)
    admitted = JsonIntake().take(_batch(order))
    payloads: list[Payload] = []
    if admitted.sensors:
        payloads.append(admitted.sensors)
    if len(admitted.readings):
        payloads.append(_as_back_fill(admitted.readings, now_us))
    refused = {one.message: one.rejects for one in admitted.refused if _refuses(one.rejects)}
    return Verdicts(
        payloads,
        [one.name for place, one in enumerate(order) if place not in refused],
        [(order[place].name, rejects) for place, rejects in refused.items()],
    )


class Replayer:
    """`turn` is meant for about once a second, of one thread. write: how the log is written here."""

    def __init__(self, dsn: str, write: Write, clock: Callable[[], int], *, lease_s: float = LEASE_S) -> None:
        self._dsn = dsn
        self._write = write
        self._clock = clock
        self._lease_s = lease_s
        self._connection: psycopg.Connection[Any] | None = None
        self.replayed = 0
        self.refused = 0

    def turn(self) -> int:
        """Try what is asked for, and return how many messages that were. Raises ServiceAway, Fenced."""
        done = 0
        try:
            while done < MOST_A_TURN:
                tried = self._try_some()
                done += tried
                if tried < AT_ONCE:
                    break
        except OutcomeUnknown:
            _log.warning("replay_unknown")
        except psycopg.OperationalError as error:
            self.close()
            raise ServiceAway("PostgreSQL", str(error).strip() or type(error).__name__) from error
        return done

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _try_some(self) -> int:
        asked = {"lease_s": self._lease_s, "limit": AT_ONCE}
        rows = self._connected().execute(_CLAIM, asked).fetchall()
        if not rows:
            return 0
        messages = [
            Again(Name(arrival_us, source), topic, mended(bytes(payload), _mend.decode(mend or "{}")))
            for arrival_us, source, topic, payload, mend in rows
        ]
        verdicts = admit_again(messages, self._clock())

        def mark(cursor: Any) -> None:
            if verdicts.entered:
                names = verdicts.entered
                cursor.execute(_ENTERED, ([one.arrival_us for one in names], [one.source for one in names]))
            if verdicts.refused:
                cursor.execute(
                    _REFUSED_AGAIN,
                    (
                        [name.arrival_us for name, _ in verdicts.refused],
                        [name.source for name, _ in verdicts.refused],
                        [encode_rejects(rejects) for _, rejects in verdicts.refused],
                    ),
                )

        self._write(verdicts.payloads, mark)
        self.replayed += len(verdicts.entered)
        self.refused += len(verdicts.refused)
        _log.info("replayed", entered=len(verdicts.entered), refused=len(verdicts.refused))
        return len(rows)

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._dsn, autocommit=True, application_name="tocsin-replay", connect_timeout=5, keepalives_idle=5,
                keepalives_interval=2, keepalives_count=3, tcp_user_timeout=10_000,
            )  # fmt: skip
            self._connection.execute("SET synchronous_commit = on")
        return self._connection


def write_behind(append: Callable[[Sequence[Payload]], object], dsn: str) -> Write:
    """Where the log is Kafka: the marks follow the records, so a kill in between tries messages once more."""

    def write(payloads: Sequence[Payload], mark: Callable[[Any], None]) -> None:
        if payloads:
            append(payloads)
        with psycopg.connect(dsn, application_name="tocsin-replay", connect_timeout=5) as connection:
            mark(connection.cursor())

    return write


def write_together(append: Callable[[Sequence[Payload], Callable[[Any, int], None]], object]) -> Write:
    """Where the log is rows: marks and entries are one transaction."""

    def write(payloads: Sequence[Payload], mark: Callable[[Any], None]) -> None:
        append(payloads, lambda cursor, _: mark(cursor))

    return write


def _refuses(rejects: Sequence[Reject]) -> bool:
    return any(reject.code not in CLOCK_CODES for reject in rejects)


def _batch(messages: Sequence[Again]) -> MessageBatch:
    buffer = bytearray()
    topics: list[tuple[int, int]] = []
    payloads: list[tuple[int, int]] = []
    for one in messages:
        for part, places in ((one.topic.encode(errors="replace"), topics), (one.payload, payloads)):
            places.append((len(buffer), len(buffer) + len(part)))
            buffer += part
    topic_at = np.array(topics, np.int64).reshape(len(messages), 2)
    payload_at = np.array(payloads, np.int64).reshape(len(messages), 2)
    numbers: dict[str, int] = {}
    ids = [numbers.setdefault(one.topic, len(numbers)) for one in messages]
    return MessageBatch(
        # One that may be written, as a door's: of another kind all kernels would be compiled again, for 20 seconds.
        buffer=np.frombuffer(buffer + b" ", np.uint8),
        topic_start=topic_at[:, 0].copy(),
        topic_end=topic_at[:, 1].copy(),
        payload_start=payload_at[:, 0].copy(),
        payload_end=payload_at[:, 1].copy(),
        topic_id=np.array(ids, np.int32),
        arrival_us=np.array([one.name.arrival_us for one in messages], np.int64),
        client=np.full(len(messages), -1, np.int32),
    )


def _as_back_fill(readings: ReadingBatch, now_us: int) -> ReadingBatch:
    """The same readings as history that arrives now, by sensor and time; the last of each sensor is its end."""
    order: I64 = np.lexsort((readings.event_time, readings.sensor_id))
    ordered = readings.take(order)
    n = len(ordered)
    is_last = np.append(ordered.sensor_id[1:] != ordered.sensor_id[:-1], True)
    origin = np.where(is_last, Origin.REPLAY_END, Origin.REPLAY).astype(np.uint8)
    return ReadingBatch(
        ordered.sensor_id, ordered.event_time, now_us + np.arange(n, dtype=np.int64), ordered.value, ordered.quality,
        origin,
    )  # fmt: skip
