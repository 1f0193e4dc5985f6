"""What the door knows while it runs: connections, sessions, wills, retained messages, and the changes of this round.

Everything here runs in the door's thread. Nothing here touches a socket: answers are put where the round sends them
from, after its commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ingest.door.access import Rights, alarms_of, may_publish, may_read
from ingest.door.connection import Columns, Connection
from ingest.door.limits import Cause, Counts, DoorSettings
from ingest.door.session import Session, Subscriptions, matches
from ingest.intern import ByteTable
from ingest.news import Peers, Recalled
from ingest.ports import Refused
from ingest.saved import (
    Change,
    ClientCame,
    Retained,
    RetainedAsked,
    Saved,
    SessionGone,
    SessionKey,
    SubscriptionGone,
    WillGone,
    WillKept,
)
from schemas import mqtt
from schemas.mqtt import Disconnect, Subscription
from schemas.mqtt_fields import Reason
from schemas.principals import ANONYMOUS, Credentials, Principal


@dataclass(frozen=True, slots=True)
class PendingWill:
    """A will that is published at `due`, unless its client returns."""

    will: WillKept
    due: float
    is_of_restart: bool


class DoorState:
    def __init__(
        self,
        settings: DoorSettings,
        topics: ByteTable,
        clock: Callable[[], int],
        monotonic: Callable[[], float],
        peers: Peers | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        """peers: the other doors, where there may be any."""
        self.settings = settings
        self.peers = peers
        self.credentials = credentials
        self.clock = clock
        self.monotonic = monotonic
        self.rights = Rights(topics)
        self.counts = Counts()
        self.columns = Columns(1024)
        self.connections: dict[int, Connection] = {}
        self.sessions: dict[SessionKey, Session] = {}
        self.subscriptions = Subscriptions()
        self.retained: dict[str, Retained] = {}
        self.wills: dict[SessionKey, PendingWill] = {}
        self.holders: dict[SessionKey, Connection] = {}
        """The connection that a session has now."""
        self.marks: dict[SessionKey, npt.NDArray[np.uint64]] = {}
        """Fingerprints of the last committed messages of clients that are away."""
        self.changes: list[Change] = []
        self.refused: list[tuple[Refused, str]] = []
        """What the door itself refused, with its sender's client id; arrivals are set by the round."""
        self.spoken: list[WillKept] = []
        """Wills that enter the log with this round or a later one."""
        self.closing: list[Connection] = []
        self.talking: dict[int, Connection] = {}
        """Connections with bytes in `out`, by socket number."""

    def restore(self, saved: Saved, now: float, now_us: int) -> None:
        """Take up what was saved before a restart, or by another door; clients have 1.5 keep-alives to return."""
        for kept in saved.sessions:
            session = self._session(kept.key, self._remembered(kept.key.principal), kept.expiry_s)
            away_s = max(0.0, (now_us - kept.ended_us) / 1e6) if kept.ended_us is not None else 0.0
            session.ends_at = now + kept.expiry_s - away_s
        for wanted in saved.subscriptions:
            if wanted.key in self.sessions:
                subscription = Subscription(wanted.filter, wanted.qos, wanted.no_local, wanted.retain_as_published)
                self.subscriptions.add(self.sessions[wanted.key], subscription)
        for stored in saved.ids:
            if stored.key in self.sessions:
                self.sessions[stored.key].received.add(stored.packet_id)
        for queued in saved.queued:
            if queued.key in self.sessions:
                self.sessions[queued.key].restore(queued)
        self.retained.update((message.topic, message) for message in saved.retained)
        for will in saved.wills:
            self.wills[will.key] = PendingWill(will, now + max(1.5 * will.keep_alive_s, will.delay_s), True)

    def _session(self, key: SessionKey, principal: Principal, expiry_s: int) -> Session:
        session = Session(key, principal, expiry_s, self.settings.queue, self.counts, self.changes.append)
        self.sessions[key] = session
        self.counts.sessions = len(self.sessions)
        return session

    def open_session(self, key: SessionKey, principal: Principal, clean: bool, expiry_s: int) -> tuple[Session, bool]:
        """The session of a client that connects, and whether it was there before."""
        session = self.sessions.get(key)
        holder = self.holders.get(key)
        if holder is not None:
            self.leave(holder, Cause.TAKEN_OVER, Reason.TAKEN_OVER, is_continued=not clean)
            session = self.sessions.get(key)
        if session is not None and clean:
            self.end_session(session)
            session = None
        present = session is not None
        if session is None:
            session = self._session(key, principal, expiry_s)
            session.begin()
        else:
            if expiry_s == 0:
                session.forget()
            session.principal, session.expiry_s = principal, expiry_s
            session.keep(None)
        # A right may have been taken away while the client was away.
        self._drop_unreadable(session)
        return session, present

    def _remembered(self, id_: str) -> Principal:
        """Whose session it is that was saved: while its client is away, it hears what its login may read."""
        if id_ == ANONYMOUS.id:
            return ANONYMOUS
        unknown = Principal(id_)
        return (self.credentials and self.credentials.still(unknown)) or unknown

    def heed_logins(self) -> None:
        """Logins have changed: who has lost its own is closed, who has other rights has them from here on."""
        changed = self.credentials.changed() if self.credentials is not None else ()
        if not changed:
            return
        assert self.credentials is not None
        for session in [one for one in self.sessions.values() if one.key.principal in changed]:
            principal, holder = self.credentials.still(session.principal), self.holders.get(session.key)
            if principal is None:
                session.principal = Principal(session.key.principal)
                if holder is not None:
                    # Its will was another's to allow: it is not spoken any more.
                    self.leave(holder, Cause.REVOKED, Reason.NOT_AUTHORIZED, wants_will=False)
                continue
            if principal == session.principal:
                continue
            session.principal = principal
            if holder is not None:
                number = self.rights.enter(principal)
                self.rights.leave(holder.login)
                holder.login = self.columns.login[holder.number] = number
                if holder.will is not None and not may_publish(principal, holder.will.topic):
                    holder.will = None
                    self.changes.append(WillGone(session.key))
            self._drop_unreadable(session)

    def _drop_unreadable(self, session: Session) -> None:
        """End subscriptions to what its principal may not read any more."""
        for wanted in [wanted for wanted in session.subscriptions if not may_read(session.principal, wanted)]:
            self.subscriptions.remove(session, wanted)
            if session.is_persistent:
                self.changes.append(SubscriptionGone(session.key, wanted))

    def cannot_swear(self, session: Session) -> bool:
        """Is there nobody who could make a change of this session durable now?"""
        return session.is_persistent and self.peers is not None and self.peers.is_away

    def end_session(self, session: Session) -> None:
        self.subscriptions.clear(session)
        session.forget()
        self.sessions.pop(session.key, None)
        self.counts.sessions = len(self.sessions)
        pending = self.wills.get(session.key)
        if pending is not None and not pending.is_of_restart:
            self.speak(session.key)

    def leave(
        self, connection: Connection, cause: Cause, reason: Reason | None = None, *,
        wants_will: bool = True, is_continued: bool = False,
    ) -> None:  # fmt: skip
        """End a connection after this round: its messages are committed and acknowledged, then it is closed.

        reason: told to a version 5 client.  is_continued: another connection takes its session up at once.
        """
        if connection.closing is not None:
            return
        connection.closing = cause
        self.counts.closed[cause] += 1
        self.closing.append(connection)
        if reason is not None and connection.version == mqtt.V5:
            connection.say(mqtt.encode(Disconnect(reason), mqtt.V5))
        session, now = connection.session, self.monotonic()
        session.line = None
        self.holders.pop(session.key, None)
        will, connection.will = connection.will, None
        if will is not None:
            delay_s = min(will.delay_s, session.expiry_s)
            if not wants_will or (delay_s and is_continued):
                self.changes.append(WillGone(will.key))
            elif delay_s:
                self.wills[will.key] = PendingWill(will, now + delay_s, False)
            else:
                self.spoken.append(will)
        if session.is_persistent:
            session.ends_at = now + session.expiry_s
            session.keep(self.clock())
        else:
            self.end_session(session)

    def announce(self, connection: Connection) -> None:
        """Among several doors: a client is here and nowhere else, with what it has now."""
        if self.peers is None:
            return
        session = connection.session
        if not session.is_persistent:
            self.changes.append(SessionGone(session.key, is_ours=False))
        self.changes.append(ClientCame(session.key, connection.came_us, connection.will is not None))

    def lose(self, key: SessionKey) -> None:
        """The client is another door's: nothing here is written or said of it any more."""
        holder, session = self.holders.get(key), self.sessions.get(key)
        if holder is not None:
            self.leave(holder, Cause.TAKEN_OVER, Reason.TAKEN_OVER, wants_will=False)
        if self.wills.pop(key, None) is not None:
            self.changes.append(WillGone(key))
        self.spoken[:] = [will for will in self.spoken if will.key != key]
        if session is not None and self.sessions.pop(key, None) is not None:
            self.subscriptions.clear(session)
            self.counts.sessions = len(self.sessions)

    def keep_will(self, key: SessionKey, will: WillKept | None) -> None:
        """A client has connected: what is left of an older will is no longer wanted."""
        if will is not None:
            self.wills.pop(key, None)
            self.changes.append(will)
        elif self.wills.pop(key, None) is not None:
            self.changes.append(WillGone(key))

    def speak(self, key: SessionKey) -> None:
        self.spoken.append(self.wills.pop(key).will)

    def has_will(self, key: SessionKey) -> bool:
        """Is there a will of this client that was not spoken: its row must stay."""
        holder = self.holders.get(key)
        return key in self.wills or (holder is not None and holder.will is not None)

    def settle(self, connection: Connection) -> None:
        """A connection has ended and its last round is committed: keep the mark of its last message."""
        mark, key = self.columns.mark[connection.number], connection.session.key
        if not mark.any():
            return
        holder = self.holders.get(key)
        if holder is not None:
            self.columns.mark[holder.number] = mark
        else:
            if len(self.marks) >= self.settings.connections:
                self.marks.pop(next(iter(self.marks)))
            self.marks[key] = mark.copy()

    def pass_time(self, now: float) -> None:
        """Publish the wills and end the sessions that are due."""
        for key in [key for key, pending in self.wills.items() if pending.due <= now]:
            self.speak(key)
        for session in [s for s in self.sessions.values() if s.ends_at is not None and s.ends_at <= now]:
            self.end_session(session)

    def retain(self, topic: str, payload: bytes, qos: int) -> None:
        """Keep a device's retained message; among several doors its place is PostgreSQL alone."""
        message = Retained(topic, payload, qos)
        if self.peers is None and not self.remember(message):
            return
        self.changes.append(message)

    def remember(self, message: Retained) -> bool:
        """Keep a retained message in memory. False when it deletes what is not there."""
        if message.payload:
            self.retained[message.topic] = message
            return True
        return self.retained.pop(message.topic, None) is not None

    def route(self, topic: str, payload: bytes, qos: int, retain: bool, sender: SessionKey | None = None) -> None:
        """Hand a message to everybody who has subscribed to its topic."""
        enterprise = alarms_of(topic)
        for session, wanted in self.subscriptions.matching(topic):
            if enterprise is not None and not session.principal.reads_alarms(enterprise):
                continue
            if not (wanted.no_local and session.key == sender):
                session.deliver(topic, payload, min(qos, wanted.qos), retain and wanted.retain_as_published)

    def recall(self, session: Session, wanted: Subscription) -> None:
        """Hand over the retained messages that a new subscription matches."""
        if "+" not in wanted.filter and "#" not in wanted.filter:
            found: Iterable[Retained] = filter(None, [self.retained.get(wanted.filter)])
        else:
            found = [m for m in self.retained.values() if matches(wanted.filter, m.topic)]
        for message in found:
            enterprise = alarms_of(message.topic)
            if enterprise is None or session.principal.reads_alarms(enterprise):
                session.deliver(message.topic, message.payload, min(message.qos, wanted.qos), True)
        if self.peers is not None and wanted.filter.rsplit("/", 1)[-1] in ("status", "+", "#"):
            self.changes.append(RetainedAsked(session.key, wanted.filter, wanted.qos))

    def recalled(self, news: Recalled) -> None:
        """Hand over what PostgreSQL holds for a subscription, if it still stands."""
        session = self.sessions.get(news.key)
        if session is not None and news.filter in session.subscriptions:
            for message in news.found:
                if matches(news.filter, message.topic):
                    session.deliver(message.topic, message.payload, min(message.qos, news.qos), True)

    def drain_changes(self) -> list[Change]:
        changes = list(self.changes)
        # The list itself stays: sessions hold its `append`.
        self.changes.clear()
        return changes
