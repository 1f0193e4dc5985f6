"""The log of acts: who did what, to what, and what was refused. No phone numbers, no secrets."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from database.connections import Connection
from schemas.viewers import Act, Viewer

LONGEST_PAGE = 500
LONGEST_DETAIL = 500
PIECE, MOST_PIECES = 1000, 20
"""Lines that are removed at a time, and pieces at most in one sweep: nobody who writes a line waits for long."""

_RECORD = """
    INSERT INTO audit_log (who, act, subject, enterprise, refused, detail)
    VALUES (%(who)s, %(act)s, %(subject)s, %(enterprise)s, %(refused)s, %(detail)s)
"""
_LIST = """
    SELECT number, at, who, act, subject, enterprise, refused, detail FROM audit_log
     WHERE (%(before)s::bigint IS NULL OR number < %(before)s) AND (%(who)s::text IS NULL OR who = %(who)s)
       AND (%(act)s::text IS NULL OR act = %(act)s) AND (%(refused)s::boolean IS NULL OR refused = %(refused)s)
     ORDER BY number DESC LIMIT %(limit)s
"""

# The oldest lines have the lowest numbers, so a sweep that finds nothing has looked at one piece alone.
_SWEEP = """
    WITH oldest AS (SELECT number, at FROM audit_log ORDER BY number LIMIT %(piece)s)
    DELETE FROM audit_log USING oldest
     WHERE audit_log.number = oldest.number AND oldest.at < now() - %(keep)s::interval
"""


class Entry(msgspec.Struct, frozen=True):
    number: int
    at: datetime
    who: str
    """The login; empty: somebody who was not let in. Of a contact who answered by a link the name as of then: `detail`
    says which contact it was."""
    act: str
    subject: str
    enterprise: str
    refused: bool
    detail: str


class AuditPage(msgspec.Struct, frozen=True):
    """Newest first. next: hand it back as `before` for older ones; None on the last page."""

    entries: list[Entry]
    next: int | None = None


def record(
    connection: Connection,
    viewer: Viewer | None,
    act: str,
    subject: str = "",
    enterprise: str = "",
    refused: bool = False,
    detail: str = "",
) -> None:
    """Write one line, in the caller's transaction. viewer: None for somebody who was not let in.

    What cannot be kept as it is (a zero character) is replaced: nobody escapes the log by it.
    """
    row = {
        "who": viewer.name if viewer else "",
        "act": str(act),
        "subject": _kept(subject),
        "enterprise": enterprise,
        "refused": refused,
        "detail": _kept(detail),
    }
    connection.execute(_RECORD, row)


def sweep(connection: Connection, keep: timedelta, piece: int = PIECE) -> int:
    """Remove lines older than `keep`, oldest first, each piece in a transaction of its own; returns how many.

    Meant for once a minute. Nothing else removes a line, and nothing changes one.
    """
    swept = 0
    for _ in range(MOST_PIECES):
        with connection.transaction():
            gone = connection.execute(_SWEEP, {"piece": piece, "keep": keep}).rowcount
        swept += gone
        if gone < piece:
            break
    return swept


def _kept(text: str) -> str:
    return text[:LONGEST_DETAIL].replace("\0", "\N{REPLACEMENT CHARACTER}")


def entries(
    connection: Connection,
    viewer: Viewer,
    limit: int = 100,
    before: int | None = None,
    *,
    who: str | None = None,
    act: str | None = None,
    refused: bool | None = None,
) -> AuditPage:
    """A page of the log. Raises NotAllowed."""
    viewer.must(Act.SEE_AUDIT)
    limit = max(1, min(limit, LONGEST_PAGE))
    row = {"limit": limit + 1, "before": before, "who": who, "act": act, "refused": refused}
    found = [Entry(*one) for one in connection.execute(_LIST, row).fetchall()]
    return AuditPage(found[:limit], found[limit - 1].number if len(found) > limit else None)
