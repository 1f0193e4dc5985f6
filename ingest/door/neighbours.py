"""What the other doors of a cluster have to do with this one's clients: sessions that come and go, and pledges.

A pledge is a change of a session that its client may count on once it is answered (`SWORN`), committed with a round and
not known to be durable: the answers of the client wait for it, nobody else's do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar, assert_never

from ingest.door.connection import Connection
from ingest.door.limits import Cause
from ingest.door.newcomers import Newcomers
from ingest.door.reader import Reader
from ingest.door.state import DoorState
from ingest.door.writer import Writer
from ingest.news import (
    Adopted,
    CameElsewhere,
    Fetched,
    LookAgain,
    News,
    NotOurs,
    Recalled,
    StatusHeard,
    Wanted,
    Written,
)
from ingest.saved import (
    SWORN,
    Change,
    IdStored,
    OwnedAsked,
    Queued,
    Saved,
    SessionBegun,
    SessionKept,
    SessionKey,
    SessionMoved,
    SubscriptionKept,
    WillKept,
)
from schemas import mqtt
from schemas.mqtt import Connack, Type
from schemas.mqtt_fields import Reason

_UNAVAILABLE_311 = 3

_Keyed = TypeVar("_Keyed", SessionKept, SubscriptionKept, WillKept, IdStored, Queued)


@dataclass(frozen=True, slots=True)
class _Pledge:
    since: float
    waiting: list[Connection]
    begun: frozenset[SessionKey]


class Neighbours:
    """welcome: takes a connection that was let in and the bytes after its CONNECT."""

    def __init__(
        self,
        state: DoorState,
        newcomers: Newcomers,
        reader: Reader,
        writer: Writer,
        welcome: Callable[[Connection, bytes], None],
    ) -> None:
        self._state = state
        self._newcomers = newcomers
        self._reader = reader
        self._writer = writer
        self._welcome = welcome
        self._pledges: dict[int, _Pledge] = {}

    def pledge(self, number: int, changes: Sequence[Change]) -> None:
        """Have the clients of a commit's sworn changes wait until it is said of `number` that they are durable."""
        state = self._state
        sworn = {change.key for change in changes if isinstance(change, SWORN)}
        waiting = [state.holders[key] for key in sworn if key in state.holders]
        for connection in waiting:
            connection.pledges += 1
            self._reader.listen(connection)
        for connection in state.closing:
            # It leaves, and must not be told what may not come true.
            if connection.session.key in sworn:
                connection.out.clear()
        begun = frozenset(change.key for change in changes if isinstance(change, SessionBegun))
        self._pledges[number] = _Pledge(state.monotonic(), waiting, begun)

    def heed(self, news: News) -> None:
        """Act on what was heard; changes that follow from it go with this round."""
        state = self._state
        match news:
            case Written():
                self._settle(news.number, news.is_durable)
            case Fetched():
                if news.saved is not None:
                    self._restore(news.saved)
                self._newcomers.fetched(news.key, news.saved is not None, self._welcome)
            case Wanted():
                state.lose(news.key)
                state.changes.append(SessionMoved(news.key, news.door))
            case CameElsewhere():
                self._newcomers.came_elsewhere(news.key, news.at_us)
                holder = state.holders.get(news.key)
                if holder is None or holder.came_us < news.at_us:
                    state.lose(news.key)
            case Adopted():
                self._restore(news.saved)
            case LookAgain():
                self._look_again()
            case NotOurs():
                for key in news.keys:
                    state.lose(key)
            case StatusHeard():
                message = news.message
                state.route(message.topic, message.payload, message.qos, True)
            case Recalled():
                state.recalled(news)
            case _:
                assert_never(news)

    def pass_time(self, now: float) -> None:
        """A client is not kept waiting for ever."""
        for number, pledge in list(self._pledges.items()):
            if now - pledge.since >= self._state.settings.shared_s:
                self._settle(number, False)

    def _settle(self, number: int, is_durable: bool) -> None:
        pledge = self._pledges.pop(number, None)
        if pledge is None:
            return
        for connection in pledge.waiting:
            session = connection.session
            if connection.closing is not None:
                connection.pledges = 0
            elif not is_durable:
                session.is_unsure = True
                self._break(connection, session.key in pledge.begun)
            else:
                connection.pledges -= 1
                if not connection.pledges:
                    session.is_unsure = False
                    self._writer.release(connection)

    def _break(self, connection: Connection, is_begun: bool) -> None:
        """What the client was to be told may not come true: it is told nothing of it, and tries again."""
        is_greeted = connection.unsaid[:1] != bytes([Type.CONNACK << 4])
        connection.unsaid.clear()
        connection.out.clear()
        connection.pledges = 0
        if is_greeted:
            self._state.leave(connection, Cause.AWAY, Reason.SERVER_UNAVAILABLE)
            return
        code = Reason.SERVER_UNAVAILABLE if connection.version == mqtt.V5 else _UNAVAILABLE_311
        connection.say(mqtt.encode(Connack(False, code), connection.version))
        self._state.leave(connection, Cause.AWAY, wants_will=False)
        if is_begun and connection.session.key in self._state.sessions:
            self._state.end_session(connection.session)

    def _restore(self, saved: Saved) -> None:
        """Take up what was another's; what is here already is newer."""
        state = self._state

        def fresh(many: Sequence[_Keyed]) -> list[_Keyed]:
            return [one for one in many if one.key not in state.sessions and one.key not in state.holders]

        state.restore(
            Saved(
                sessions=fresh(saved.sessions),
                subscriptions=fresh(saved.subscriptions),
                wills=fresh(saved.wills),
                ids=fresh(saved.ids),
                queued=fresh(saved.queued),
            ),
            state.monotonic(),
            state.clock(),
        )

    def _look_again(self) -> None:
        state = self._state
        sessions = frozenset(key for key, session in state.sessions.items() if session.is_persistent)
        wills = {key for key, holder in state.holders.items() if holder.will is not None} | state.wills.keys()
        state.changes.append(OwnedAsked(sessions, frozenset(wills)))
