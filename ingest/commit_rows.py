"""A round in one process: entries, refused messages and changes of sessions are rows of one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ingest.ports import Kept
from ingest.quarantine import keep
from ingest.saved import Change
from schemas.entries import Payload

Alongside = Callable[[Any, int], None]
"""Writes rows through the cursor of a transaction; the number is the last entry's."""
Append = Callable[[Sequence[Payload], Alongside | None], object]
"""`LogWriter.append`."""
Write = Callable[[Any, Sequence[Change]], None]
"""Writes changes of sessions in order, through a cursor; writing them twice is harmless."""


class RoundRows:
    """Port `ingest.ports.RoundLog` over the writer of a log of rows."""

    def __init__(self, append: Append, write: Write) -> None:
        self._append = append
        self._write = write

    def commit(self, payloads: Sequence[Payload], kept: Sequence[Kept], changes: Sequence[Change]) -> int:
        """See the port."""

        def alongside(cursor: Any, _: int) -> None:
            keep(cursor, kept)
            if changes:
                self._write(cursor, changes)

        # One entry and nothing beside it is one statement.
        self._append(payloads, alongside if kept or changes else None)
        return 0
