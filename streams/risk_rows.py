"""The tables of risk as functions: each takes an open transaction and does one thing."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import psycopg

from schemas.alarms import AlarmEvent, decode_event
from schemas.enterprises import Flammables
from schemas.errors import Fenced
from schemas.identity import partition_of
from schemas.risk import RiskFacts
from scoring.risk_state import RiskState, decode_state, encode_state
from streams.risk_turn import Kept

CONSUMER = "risk"
ASKED = "tocsin_risk_asked"
"""Channel of NOTIFY: something waits in the inbox."""
EVENTS = "tocsin_alarms"
"""Channel of NOTIFY: the engine of the partition that is named has committed alarm events."""
Connection = psycopg.Connection[Any]

_TAKE_OVER = """
    INSERT INTO positions (consumer, partition, position, owner) VALUES (%s, %s, 0, %s)
    ON CONFLICT (consumer, partition) DO UPDATE SET owner = excluded.owner RETURNING position
"""
_HOLD = "SELECT position, owner FROM positions WHERE consumer = %s AND partition = %s FOR UPDATE"
_PEEK = """
    SELECT EXISTS (SELECT FROM positions AS p JOIN alarm_events AS e ON e.partition = p.partition AND e.seq > p.position
                    WHERE p.consumer = %(consumer)s AND p.partition = %(partition)s)
        OR EXISTS (SELECT FROM risk_inbox WHERE partition = %(partition)s)
        OR EXISTS (SELECT FROM risk_inbox WHERE partition IS NULL)
        OR EXISTS (SELECT FROM risk WHERE partition = %(partition)s AND due_us <= %(until_us)s)
"""
_MOVE = "UPDATE positions SET position = %s WHERE consumer = %s AND partition = %s"
_EVENTS = "SELECT seq, body::text FROM alarm_events WHERE partition = %s AND seq > %s ORDER BY seq LIMIT %s"
_UNSORTED = """
    SELECT number, enterprise FROM risk_inbox WHERE partition IS NULL ORDER BY number LIMIT %s FOR UPDATE SKIP LOCKED
"""
_SORT = """
    UPDATE risk_inbox AS i SET partition = m.partition
      FROM unnest(%s::bigint[], %s::int[]) AS m (number, partition) WHERE i.number = m.number
"""
_PARTITIONS = "SELECT partitions FROM log_layout"
_INBOX = """
    SELECT number, enterprise, what, at_us, alarm, step, word FROM risk_inbox
     WHERE partition = %s ORDER BY number LIMIT %s
"""
_SAME_FACTS = "SELECT number FROM risk_inbox WHERE what = 'facts' AND enterprise = ANY(%s)"
_EMPTY_INBOX = "DELETE FROM risk_inbox WHERE number = ANY(%s)"
_DUE = "SELECT enterprise, due_us FROM risk WHERE partition = %s AND due_us <= %s ORDER BY due_us LIMIT %s"
_IN_SLOTS = "SELECT enterprise FROM risk WHERE partition = %s AND slot = ANY(%s)"
_RECENT = """
    SELECT DISTINCT enterprise FROM risk_history
     WHERE partition = %(partition)s
       AND at_us > (SELECT max(at_us) FROM risk_history WHERE partition = %(partition)s) - %(within_us)s
     LIMIT %(limit)s
"""
_LOAD = "SELECT enterprise, state, due_us, next_us, slot, score FROM risk WHERE enterprise = ANY(%s)"
_FACTS = """
    SELECT c.code, e.code IS NOT NULL, e.trade, e.built, e.wired, e.open_flame, e.flammables, e.area_m2, e.people,
           (SELECT count(*) FROM (SELECT device FROM devices WHERE enterprise = c.code
                                  UNION SELECT device FROM device_sensors WHERE enterprise = c.code) AS known),
           ARRAY(SELECT device FROM devices WHERE enterprise = c.code AND (facts->>'out_of_service')::boolean
                  ORDER BY device)
      FROM unnest(%s::text[]) AS c (code) LEFT JOIN enterprises AS e ON e.code = c.code
"""
_WRITE = """
    INSERT INTO risk (enterprise, partition, district, trade, score, colour, since_us, as_of_us, next_us, due_us,
                      slot, state)
    SELECT enterprise, %(partition)s, coalesce(e.district, ''), coalesce(e.trade, ''), score, colour, since_us,
           as_of_us, next_us, due_us, slot, state
      FROM unnest(%(enterprise)s::text[], %(score)s::float8[], %(colour)s::smallint[], %(since_us)s::bigint[],
                  %(as_of_us)s::bigint[], %(next_us)s::bigint[], %(due_us)s::bigint[], %(slot)s::smallint[],
                  %(state)s::bytea[])
           AS r (enterprise, score, colour, since_us, as_of_us, next_us, due_us, slot, state)
      LEFT JOIN enterprises AS e ON e.code = r.enterprise
    ON CONFLICT (enterprise) DO UPDATE SET
        partition = excluded.partition, district = excluded.district, trade = excluded.trade, score = excluded.score,
        colour = excluded.colour, since_us = excluded.since_us, as_of_us = excluded.as_of_us,
        next_us = excluded.next_us, due_us = excluded.due_us, slot = excluded.slot, state = excluded.state
"""
_FORGET = "DELETE FROM risk WHERE enterprise = ANY(%s)"
_WRITE_HISTORY = """
    INSERT INTO risk_history (enterprise, at_us, partition, score, colour, points, reasons, knock_outs)
    VALUES (%s, %s, %s, %s, %s, %s, %s::text::jsonb, %s::text::jsonb)
    ON CONFLICT (enterprise, at_us) DO UPDATE SET
        score = excluded.score, colour = excluded.colour, points = excluded.points, reasons = excluded.reasons,
        knock_outs = excluded.knock_outs
"""


class Asked(NamedTuple):
    """A row of the inbox. what: `facts`, `acknowledged` or `verdict`."""

    number: int
    enterprise: str
    what: str
    at_us: int
    alarm: str
    step: int
    word: str


def take_over(connection: Connection, partition: int) -> tuple[int, int]:
    """Own the consumer's position from now on: (position, our number). Who owned it before is fenced."""
    owner = secrets.randbits(62)
    row = connection.execute(_TAKE_OVER, (CONSUMER, partition, owner)).fetchone()
    assert row is not None
    return int(row[0]), owner


def has_work(connection: Connection, partition: int, until_us: int) -> bool:
    """Whether a turn would find anything; writes nothing, so that waiting costs nothing."""
    place = {"consumer": CONSUMER, "partition": partition, "until_us": until_us}
    row = connection.execute(_PEEK, place).fetchone()
    return row is not None and bool(row[0])


def hold(connection: Connection, partition: int, owner: int) -> int:
    """The position, held until the transaction ends. Raises Fenced when another has taken it over."""
    row = connection.execute(_HOLD, (CONSUMER, partition)).fetchone()
    if row is None or int(row[1]) != owner:
        raise Fenced(f"another keeper of risk has taken over partition {partition}.")
    return int(row[0])


def move(connection: Connection, partition: int, new: int) -> None:
    """For one who holds it."""
    connection.execute(_MOVE, (new, CONSUMER, partition))


def events_after(connection: Connection, partition: int, position: int, limit: int) -> list[tuple[int, AlarmEvent]]:
    rows = connection.execute(_EVENTS, (partition, position, limit)).fetchall()
    return [(int(seq), decode_event(body)) for seq, body in rows]


def sort_inbox(connection: Connection, limit: int) -> int:
    """Give rows whose partition nobody has said theirs; how many there were."""
    rows = connection.execute(_UNSORTED, (limit,)).fetchall()
    if rows:
        layout = connection.execute(_PARTITIONS).fetchone()
        assert layout is not None
        numbers = [number for number, _ in rows]
        connection.execute(_SORT, (numbers, [partition_of(code, layout[0]) for _, code in rows]))
    return len(rows)


def inbox(connection: Connection, partition: int, limit: int) -> list[Asked]:
    return [Asked(*row) for row in connection.execute(_INBOX, (partition, limit)).fetchall()]


def facts_asked(connection: Connection, enterprises: Sequence[str]) -> list[int]:
    """Numbers of all rows that ask for the facts of these: who reads the facts now has answered every one of them."""
    return [number for (number,) in connection.execute(_SAME_FACTS, (list(enterprises),)).fetchall()]


def empty_inbox(connection: Connection, numbers: Sequence[int]) -> None:
    if numbers:
        connection.execute(_EMPTY_INBOX, (list(numbers),))


def due(connection: Connection, partition: int, until_us: int, limit: int) -> dict[str, int]:
    """Enterprises that are to be looked at again and when, the longest due first."""
    return dict(connection.execute(_DUE, (partition, until_us, limit)).fetchall())


def in_slots(connection: Connection, partition: int, slots: Sequence[int]) -> list[str]:
    """Enterprises whose circuits are looked at in these seconds of the hour."""
    return [code for (code,) in connection.execute(_IN_SLOTS, (partition, list(slots))).fetchall()]


def changed_last(connection: Connection, partition: int, within_us: int, limit: int) -> list[str]:
    """Enterprises with news in the last time in which there was any."""
    wanted = {"partition": partition, "within_us": within_us, "limit": limit}
    return [code for (code,) in connection.execute(_RECENT, wanted).fetchall()]


def load(connection: Connection, enterprises: Iterable[str]) -> dict[str, Kept]:
    """Those that are asked for; an enterprise without a row has an empty state."""
    kept = {code: Kept(code, RiskState()) for code in enterprises}
    with connection.cursor(binary=True) as cursor:
        for code, state, due_us, next_us, slot, score in cursor.execute(_LOAD, (list(kept),)).fetchall():
            kept[code] = Kept(code, decode_state(state), due_us, next_us, slot, score)
    return kept


def facts_of(connection: Connection, enterprises: Iterable[str]) -> dict[str, RiskFacts]:
    """What the registry says of them now; of one that is not in it, that nothing is known."""
    found = {}
    for row in connection.execute(_FACTS, (list(enterprises),)).fetchall():
        code, on_file, trade, built, wired, open_flame, flammables, area_m2, people, devices, out = row
        found[code] = RiskFacts(
            trade=trade or None,
            built=built,
            wired=wired,
            open_flame=open_flame,
            flammables=None if flammables is None else Flammables(flammables),
            area_m2=area_m2,
            people=people,
            devices=devices,
            out_of_service=tuple(out),
            on_file=on_file,
        )
    return found


def write(connection: Connection, partition: int, kept: Sequence[Kept]) -> None:
    """The risks as they stand, and what of it is history; those of whom nothing is left to say go."""
    gone = [one.enterprise for one in kept if one.gone]
    if gone:
        connection.execute(_FORGET, (gone,))
    kept = [one for one in kept if not one.gone]
    columns: dict[str, Any] = {
        "enterprise": [one.enterprise for one in kept],
        "score": [one.score for one in kept],
        "colour": [one.state.colour for one in kept],
        "since_us": [one.state.since_us for one in kept],
        "as_of_us": [one.state.as_of_us for one in kept],
        "next_us": [one.next_us for one in kept],
        "due_us": [one.due_us for one in kept],
        "slot": [one.slot for one in kept],
        "state": [encode_state(one.state) for one in kept],
    }
    connection.execute(_WRITE, {"partition": partition, **columns})
    chapters = [
        (
            one.enterprise, row.at_us, partition, row.score, int(row.colour), list(row.points), _json(row.reasons),
            _json(row.knock_outs),
        )
        for one in kept
        for row in one.history
    ]  # fmt: skip
    if chapters:
        connection.cursor().executemany(_WRITE_HISTORY, chapters)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
