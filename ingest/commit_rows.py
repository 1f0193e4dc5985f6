"""A round in one process: entries, refused messages and changes of sessions are rows of one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ingest.ports import Kept
from ingest.quarantine import keep
from ingest.saved import Change, SessionStore
from schemas.entries import Payload

Alongside = Callable[[Any, int], None]
"""Writes rows through the cursor of a transaction; the number is the last entry's."""
Append = Callable[[Sequence[Payload], Alongside | None], object]
"""`LogWriter.append`."""


class RoundRows:
    """Port `ingest.ports.RoundLog` over the writer of a log of rows."""

    def __init__(self, append: Append, store: SessionStore) -> None:
        self._append = append
        self._store = store

    def commit(self, payloads: Sequence[Payload], kept: Sequence[Kept], changes: Sequence[Change]) -> int:
        """See the port."""

        def alongside(cursor: Any, _: int) -> None:
            keep(cursor, kept)
            if changes:
                self._store.write(cursor, changes)

        # One entry and nothing beside it is one statement.
        self._append(payloads, alongside if kept or changes else None)
        return 0
