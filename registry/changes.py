"""Every change of the registry is kept, in the transaction that makes it: who, when, what was before and is after."""

from __future__ import annotations

from typing import Any

import msgspec

from database.connections import Connection
from registry.sql import load_queries
from registry.views import Change, ChangePage, encode_cursor, masked
from schemas.viewers import Act, Viewer

_Q = load_queries()
_change = msgspec.json.Decoder(Change)


def record(
    connection: Connection, viewer: Viewer, what: str, enterprise: str, key: object, before: Any, after: Any
) -> None:
    """Write one change, in the caller's transaction. before, after: a shape of fields, or None."""
    row = {
        "who": viewer.name, "what": what, "enterprise": enterprise, "key": str(key),
        "before": _json(before), "after": _json(after),
    }  # fmt: skip
    connection.execute(_Q["record_change"], row)


def list_changes(
    connection: Connection, viewer: Viewer, enterprise: str | None, limit: int, before: int | None
) -> ChangePage:
    """A page, newest first; names and numbers of contacts only for who may see them."""
    row = {"enterprise": enterprise, "before": before, "limit": limit + 1, **viewer.parameters()}
    found = [_change.decode(body) for (body,) in connection.execute(_Q["list_changes"], row).fetchall()]
    page = found[:limit] if viewer.may(Act.SEE_CONTACTS) else [masked(one) for one in found[:limit]]
    return ChangePage(page, encode_cursor(page[-1].number) if len(found) > limit else "")


def _json(fields: Any) -> str | None:
    return None if fields is None else msgspec.json.encode(fields).decode()
