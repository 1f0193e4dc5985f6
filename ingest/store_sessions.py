"""The door's sessions, wills and retained messages in PostgreSQL; each change is one named query of `sessions.sql`.

Writing happens inside the commit of the round that made the change, on that transaction's cursor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
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
    SubscriptionKept,
    WillKept,
)
from schemas.errors import ServiceAway


class PostgresSessions:
    """Port `ingest.saved.SessionStore`."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._queries = named_queries()

    def load(self) -> Saved:
        """Everything as of one snapshot. Raises ServiceAway."""
        try:
            with psycopg.connect(self._dsn) as connection:
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                rows = {name: connection.execute(self._queries[name]).fetchall() for name in _TABLES}
        except psycopg.OperationalError as error:
            raise ServiceAway("PostgreSQL", str(error).strip() or type(error).__name__) from error
        return Saved(
            sessions=[SessionKept(SessionKey(p, c), *rest) for p, c, *rest in rows["sessions"]],
            subscriptions=[SubscriptionKept(SessionKey(p, c), *rest) for p, c, *rest in rows["subscriptions"]],
            wills=[WillKept(SessionKey(p, c), *rest) for p, c, *rest in rows["wills"]],
            retained=[Retained(*row) for row in rows["retained"]],
            ids=[IdStored(SessionKey(p, c), *rest) for p, c, *rest in rows["ids"]],
            queued=[Queued(SessionKey(p, c), *rest) for p, c, *rest in rows["queue"]],
        )

    def write(self, cursor: Any, changes: Sequence[Change]) -> None:
        """One `executemany` for each run of changes of one kind, in order."""
        for name, run in groupby(changes, _name_of):
            cursor.executemany(self._queries[name], [_parameters(change) for change in run])


_TABLES = ("sessions", "subscriptions", "wills", "retained", "ids", "queue")


def _name_of(change: Change) -> str:
    if isinstance(change, Retained) and not change.payload:
        return "RetainedGone"
    return type(change).__name__


def _parameters(change: Change) -> dict[str, Any]:
    values = {field.name: getattr(change, field.name) for field in fields(change)}
    key = values.pop("key", None)
    return values if key is None else {**values, "principal": key.principal, "client_id": key.client_id}


def named_queries() -> dict[str, bytes]:
    """name → SQL of `sessions.sql`."""
    queries: dict[str, bytes] = {}
    for part in files("ingest").joinpath("sessions.sql").read_text(encoding="utf-8").split("-- name: ")[1:]:
        name, _, sql = part.partition("\n")
        queries[name.strip()] = sql.strip().encode()
    return queries
