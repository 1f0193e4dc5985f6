"""Asking a running Tocsin to judge by another rule pack, and reading which one it judges by.

The asking is a row of `control_outbox`; the dispatcher makes it a log entry, so every reading is judged by one pack
that can be named afterwards.
"""

from __future__ import annotations

import psycopg

from schemas.entries import PackActivated, encode
from schemas.errors import ServiceAway
from schemas.rules import RulePack
from streams.log.session import connect
from streams.packs import parse_pack

_ASK = """
    INSERT INTO control_outbox (body, partition)
    SELECT %s, partition FROM log_layout, generate_series(0, partitions - 1) AS partition RETURNING id
"""
_FATE = "SELECT logged_number, refused FROM control_outbox WHERE id = ANY(%s)"
_AHEAD = """
    SELECT count(*) FROM control_outbox AS other JOIN control_outbox AS ours USING (partition)
     WHERE ours.id = ANY(%s) AND other.id < ours.id AND other.logged_number IS NULL AND other.refused IS NULL
"""
_ACTIVE = """
    SELECT version, toml FROM rule_pack_activations JOIN rule_packs USING (version)
     WHERE partition = %s ORDER BY number DESC LIMIT 1
"""


def ask_to_activate(dsn: str, pack: RulePack) -> list[int]:
    """Ask for `pack` to become the active one in every partition; returns the numbers of the asking.

    Raises ServiceAway.
    """
    try:
        with connect(dsn, "tocsin-rules") as connection:
            rows = connection.execute(_ASK, (encode(PackActivated(pack.version, pack.toml)),)).fetchall()
    except psycopg.OperationalError as error:
        raise ServiceAway("PostgreSQL", str(error).strip()) from error
    return [int(number) for (number,) in rows]


def entries_of(dsn: str, asking: list[int]) -> list[int] | None:
    """The log entries that `asking` became; None while one waits. Raises ServiceAway, also when one was refused."""
    try:
        with connect(dsn, "tocsin-rules") as connection:
            rows = connection.execute(_FATE, (asking,)).fetchall()
    except psycopg.OperationalError as error:
        raise ServiceAway("PostgreSQL", str(error).strip()) from error
    for _, refused in rows:
        if refused:
            raise ServiceAway("the log", f"the pack was refused: {refused}")
    numbers = [int(number) for number, _ in rows if number is not None]
    return numbers if len(numbers) == len(asking) else None


def ahead_of(dsn: str, asking: list[int]) -> int:
    """How many other entries wait in the way of `asking`, such as the devices of an import. Raises ServiceAway."""
    try:
        with connect(dsn, "tocsin-rules") as connection:
            row = connection.execute(_AHEAD, (asking,)).fetchone()
    except psycopg.OperationalError as error:
        raise ServiceAway("PostgreSQL", str(error).strip()) from error
    return int(row[0]) if row else 0


def active_pack(dsn: str, *, partition: int = 0) -> RulePack | None:
    """The pack that was activated last; None in a fresh log. Raises ServiceAway or PackRefused."""
    try:
        with connect(dsn, "tocsin-rules") as connection:
            row = connection.execute(_ACTIVE, (partition,)).fetchone()
    except psycopg.OperationalError as error:
        raise ServiceAway("PostgreSQL", str(error).strip()) from error
    return parse_pack(row[1], str(row[0])) if row else None
