"""Changes on their way into PostgreSQL: each thing as it stands last, in an order that the tables can take.

While PostgreSQL is away they gather here. A session's are as many as the session holds itself; what is known of clients
and retained messages is bounded, and what goes first is counted. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ingest.saved import (
    ClientCame,
    ClientChange,
    Delivered,
    IdReleased,
    IdStored,
    Queued,
    Retained,
    SessionBegun,
    SessionChange,
    SessionGone,
    SessionKept,
    SessionKey,
    SessionMoved,
    SubscriptionGone,
    SubscriptionKept,
    WillGone,
    WillKept,
)

Row = SessionChange | ClientChange | Retained
"""Changes that are rows; questions are not."""

_ORDER: tuple[type[Row], ...] = (
    SessionGone, SessionBegun, SessionKept, SubscriptionKept, SubscriptionGone, IdStored, IdReleased, Queued,
    Delivered, SessionMoved, ClientCame, WillKept, WillGone, Retained,
)  # fmt: skip
"""Of one session or client a later kind never stands before an earlier one, once each thing is as it stands last."""
_PLACE = {kind: place for place, kind in enumerate(_ORDER)}


class Unwritten:
    """Not thread-safe.

    most: clients, and retained messages, of which something is unwritten; beyond it the oldest are forgotten.
    """

    def __init__(self, most: int = 200_000) -> None:
        self._most = most
        self._sessions: dict[SessionKey, dict[tuple[str, object], SessionChange]] = {}
        self._clients: dict[SessionKey, dict[str, ClientChange]] = {}
        self._retained: dict[str, Retained] = {}
        self.forgotten = 0

    def __bool__(self) -> bool:
        return bool(self._sessions or self._clients or self._retained)

    def add(self, changes: Iterable[Row]) -> None:
        for change in changes:
            if isinstance(change, Retained):
                self._retained.pop(change.topic, None)
                self._retained[change.topic] = change
            elif isinstance(change, ClientCame):
                self._came(change)
            elif isinstance(change, WillKept | WillGone):
                self._clients.setdefault(change.key, {})["will"] = change
            else:
                self._add(change)
        for bounded in (self._clients, self._retained):
            while len(bounded) > self._most:
                del bounded[next(iter(bounded))]  # type: ignore[arg-type]
                self.forgotten += 1

    def put_back(self, changes: Sequence[Row]) -> None:
        """These were taken and not written: what has come since is newer."""
        since = self.take()
        self.add(changes)
        self.add(since)

    def take(self) -> list[Row]:
        """All of it, kind by kind; it is empty afterwards."""
        found: list[Row] = [change for of_one in self._sessions.values() for change in of_one.values()]
        found += [change for client in self._clients.values() for change in client.values()]
        found += self._retained.values()
        found.sort(key=lambda change: _PLACE[type(change)])
        self._sessions, self._clients, self._retained = {}, {}, {}
        return found

    def _came(self, change: ClientCame) -> None:
        of_one = self._clients.setdefault(change.key, {})
        before = of_one.get("came")
        if not change.has_will:
            of_one.pop("will", None)
        elif isinstance(before, ClientCame) and not before.has_will:
            # The will that it has now is written behind; the one that it did not want then must go all the same.
            change = replace(change, has_will=False)
        of_one["came"] = change

    def _add(self, change: SessionChange) -> None:
        of_one = self._sessions.setdefault(change.key, {})
        match change:
            case SessionGone():
                # Nothing that the session was matters any more; whose it was, if it may be another's, does.
                before = of_one.get(("gone", None))
                of_one.clear()
                is_ours = change.is_ours and (not isinstance(before, SessionGone) or before.is_ours)
                of_one["gone", None] = SessionGone(change.key, is_ours)
            case SessionBegun():
                if ("moved", None) in of_one:
                    self._add(SessionGone(change.key, is_ours=False))
                of_one.pop(("kept", None), None)
                of_one["begun", None] = change
            case SessionKept():
                of_one["kept", None] = change
            case SessionMoved():
                of_one["moved", None] = change
            case SubscriptionKept() | SubscriptionGone():
                of_one["filter", change.filter] = change
            case IdStored() | IdReleased():
                of_one["id", change.packet_id] = change
            case Queued():
                of_one["queue", change.number] = change
            case Delivered():
                # A row that nobody has written yet needs no deletion.
                if of_one.pop(("queue", change.number), None) is None:
                    of_one["queue", change.number] = change
