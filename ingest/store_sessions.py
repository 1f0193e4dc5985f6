"""A door's sessions, wills and retained messages in PostgreSQL; each change is one named query of `sessions.sql`.

A row says which door has it, and only that door writes it: what a door that lost it still says changes nothing. In one
process writing happens inside the commit of the round that made the change, on that transaction's cursor.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields, replace
from importlib.resources import files
from itertools import groupby
from typing import Any

import psycopg

from ingest.saved import (
    Change,
    IdStored,
    Queued,
    Retained,
    Saved,
    SessionKept,
    SessionKey,
    SessionMoved,
    SubscriptionKept,
    WillKept,
)
from schemas.errors import ServiceAway

_OF_DOOR = "door = %(door)s"
_OF_KEYS = "(principal, client_id) IN (SELECT * FROM unnest(%(principals)s::text[], %(client_ids)s::text[]))"
_PARTS = ("subscriptions", "ids", "queue")
_MOST_RECALLED = 10_000
_LAST = "\U0010ffff"
"""Behind every character that a topic may go on with."""


class PostgresSessions:
    """Port `ingest.saved.SessionStore`. door: '' is the one process, to which everything belongs."""

    def __init__(self, dsn: str, door: str = "") -> None:
        self._dsn = dsn
        self._door = door
        self._queries = named_queries("sessions.sql")

    def load(self) -> Saved:
        """Everything as of one snapshot. Raises ServiceAway."""
        try:
            with psycopg.connect(self._dsn) as connection:
                connection.execute(self._queries["own_all"], {"door": self._door})
                connection.commit()
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                saved = self.load_own(connection)
                retained = connection.execute(self._queries["retained"]).fetchall()
        except psycopg.OperationalError as error:
            raise ServiceAway("PostgreSQL", str(error).strip() or type(error).__name__) from error
        return replace(saved, retained=[Retained(*row) for row in retained])

    def load_own(self, connection: psycopg.Connection[Any]) -> Saved:
        """What is this door's, retained messages left out."""
        asked = {"door": self._door}
        return replace(
            self._parts(connection, _OF_DOOR, asked),
            sessions=sessions_of(self._ask(connection, "sessions", _OF_DOOR, asked)),
            wills=wills_of(self._ask(connection, "wills", _OF_DOOR, asked)),
        )

    def load_parts(self, connection: psycopg.Connection[Any], keys: Collection[SessionKey]) -> Saved:
        """What hangs on these sessions, whoever's they are."""
        return self._parts(connection, _OF_KEYS, arrays_of(keys)) if keys else Saved()

    def recall(self, connection: psycopg.Connection[Any], wanted: str) -> list[Retained]:
        """Retained statuses of devices that may match a filter: those below its first wildcard."""
        levels = wanted.split("/")
        fixed = next((place for place, level in enumerate(levels) if level in ("+", "#")), len(levels))
        low = high = wanted
        if fixed < len(levels):
            low = "".join(f"{level}/" for level in levels[:fixed])
            high = low + _LAST
        asked = {"low": low, "high": high, "most": _MOST_RECALLED}
        return [Retained(*row) for row in connection.execute(self._queries["retained_statuses"], asked).fetchall()]

    def write(self, cursor: Any, changes: Sequence[Change]) -> None:
        """One `executemany` for each run of changes of one kind, in order."""
        for name, run in groupby(changes, _name_of):
            cursor.executemany(self._queries[name], [self._parameters(change) for change in run])

    def _parts(self, connection: psycopg.Connection[Any], whose: str, asked: dict[str, Any]) -> Saved:
        subscriptions, ids, queue = (self._ask(connection, name, whose, asked) for name in _PARTS)
        return Saved(
            subscriptions=[SubscriptionKept(SessionKey(p, c), *rest) for p, c, *rest in subscriptions],
            ids=[IdStored(SessionKey(p, c), *rest) for p, c, *rest in ids],
            queued=[Queued(SessionKey(p, c), *rest) for p, c, *rest in queue],
        )

    def _ask(
        self, connection: psycopg.Connection[Any], name: str, whose: str, asked: dict[str, Any]
    ) -> list[tuple[Any, ...]]:
        return connection.execute(self._queries[name].replace(b"{whose}", whose.encode()), asked).fetchall()

    def _parameters(self, change: Change) -> dict[str, Any]:
        values = {field.name: getattr(change, field.name) for field in fields(change)}
        if isinstance(change, SessionMoved):
            values["to"] = values["door"]
        values["door"] = self._door
        key = values.pop("key", None)
        return values if key is None else {**values, "principal": key.principal, "client_id": key.client_id}


def sessions_of(rows: Iterable[tuple[Any, ...]]) -> list[SessionKept]:
    return [SessionKept(SessionKey(p, c), *rest) for p, c, *rest in rows]


def wills_of(rows: Iterable[tuple[Any, ...]]) -> list[WillKept]:
    return [WillKept(SessionKey(p, c), *rest) for p, c, *rest in rows]


def arrays_of(keys: Collection[SessionKey]) -> dict[str, Any]:
    """Keys as the two arrays that queries unnest."""
    return {"principals": [key.principal for key in keys], "client_ids": [key.client_id for key in keys]}


def named_queries(file: str) -> dict[str, bytes]:
    """name → SQL of a file of this package."""
    queries: dict[str, bytes] = {}
    for part in files("ingest").joinpath(file).read_text(encoding="utf-8").split("-- name: ")[1:]:
        name, _, sql = part.partition("\n")
        queries[name.strip()] = sql.strip().encode()
    return queries


def _name_of(change: Change) -> str:
    if isinstance(change, Retained) and not change.payload:
        return "RetainedGone"
    return type(change).__name__
