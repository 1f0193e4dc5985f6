"""The door: an MQTT endpoint in one thread, one round after the other.

A round reads every ready socket into one buffer, finds the messages in one pass, commits what they say together with
what its clients changed, and then answers: PUBACKs in order of receipt. While a commit runs, the next round gathers in
the sockets, so a busy door batches and an idle one answers at once.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from ingest.door import sockets
from ingest.door.connection import Connection
from ingest.door.control import Control
from ingest.door.greeting import Greeting
from ingest.door.limits import Cause, Counts, DoorSettings, allow_files
from ingest.door.neighbours import Neighbours
from ingest.door.newcomers import Newcomers
from ingest.door.reader import Reader
from ingest.door.repeats import Fingerprints
from ingest.door.round import Round
from ingest.door.state import DoorState
from ingest.door.writer import Writer
from ingest.intern import ByteTable
from ingest.news import News, Peers
from ingest.ports import Intake, RoundLog
from ingest.saved import Retained, SessionStore
from schemas import mqtt
from schemas.errors import ConfigError, OutcomeUnknown, ServiceAway
from schemas.mqtt import Disconnect
from schemas.mqtt_fields import Reason
from schemas.principals import Credentials

_IDLE_S = 0.2
"""The longest wait for sockets: a stop is seen after it."""
_TICK_S = 0.25
_RETRY_S = 0.05
"""The shortest pause before a commit is tried again."""
_READY_AT_ONCE = 4_096
_NEWS_AT_ONCE = 500


class Door:
    def __init__(
        self,
        settings: DoorSettings,
        *,
        intake: Intake,
        log: RoundLog,
        store: SessionStore,
        clock: Callable[[], int],
        credentials: Credentials | None = None,
        peers: Peers | None = None,
        after_us: int = 0,
        monotonic: Callable[[], float] = time.monotonic,
        failpoint: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Listen at once; clients are served from `run` on.

        clock: µs since 1970.  after_us: the last arrival that the log holds; ours are above it.  peers: the other doors
        of a cluster; `log` hands them this door's changes.
        Raises ConfigError when clients from elsewhere could come in without a login or a TLS terminator's socket
        cannot be made, OSError when the port is taken, ServiceAway when the saved sessions cannot be read.
        """
        allow_files(settings.connections)
        self.state = DoorState(settings, ByteTable(), clock, monotonic, peers, credentials)
        self._settings = settings
        self._monotonic = monotonic
        self._log = log
        self._failpoint = failpoint
        self._greeting = Greeting(self.state, credentials)
        self.state.restore(store.load(), monotonic(), clock())
        self._listener = _listen(settings)
        try:
            self._proxied = _listen_proxied(settings.proxy_socket) if settings.proxy_socket else None
        except ConfigError:
            self._listener.close()
            raise
        self._epoll = select.epoll()
        self._newcomers = Newcomers(self.state, self._greeting, self._listener, self._proxied)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        for number in (self._newcomers.fileno(), self._wake):
            self._epoll.register(number, select.EPOLLIN)
        self._events = np.zeros((_READY_AT_ONCE, sockets.EVENT_WORDS), np.int32)
        fingerprints = Fingerprints()
        self._reader = Reader(self.state, Control(self.state, fingerprints), self._epoll)
        self._round = Round(self.state, intake, after_us)
        self._writer = Writer(self.state, fingerprints, self._newcomers, self._epoll, self._reader)
        self._neighbours = Neighbours(self.state, self._newcomers, self._reader, self._writer, self._welcome)
        self._outbox: deque[tuple[str, bytes, int, bool]] = deque()
        self._news: deque[News] = deque()
        self._stopping = threading.Event()
        self._stop = threading.Event()
        """The one that `run` was given."""
        self._is_running = threading.Lock()
        self._waking = threading.Lock()
        self._ticked = monotonic()
        self._second = monotonic()
        if peers is not None:
            peers.attach(self._hear)

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def counts(self) -> Counts:
        return self.state.counts

    def publish(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False) -> None:
        """Send to everybody who has subscribed, from any thread; retained messages are kept, an empty one deletes.

        Raises ServiceAway once the door is closing: nothing more would be sent.
        """
        if self._stopping.is_set() or self._stop.is_set():
            raise ServiceAway("door", "it is closing, and sends nothing any more.")
        self._outbox.append((topic, payload, qos, retain))
        self._rouse()

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop` is set or `close` is called. Raises Fenced when another writer holds the log: stop."""
        with self._is_running:
            self._stop = stop
            try:
                while not (stop.is_set() or self._stopping.is_set()):
                    self._serve(stop)
            finally:
                self._stopping.set()
                self._shut()

    def close(self) -> None:
        """End `run` and wait for it, from any thread."""
        self._stopping.set()
        self._rouse()
        with self._is_running:
            self._shut()

    def _hear(self, news: News) -> None:
        """From a thread of the peers."""
        self._news.append(news)
        self._rouse()

    def _rouse(self) -> None:
        # The lock: a file number that was closed may be somebody else's by now.
        with self._waking:
            if not self._epoll.closed:
                os.eventfd_write(self._wake, 1)

    def _serve(self, stop: threading.Event) -> None:
        state = self.state
        is_due = bool(state.changes or state.spoken or self._outbox or self._news or self._reader.has_pending())
        ready = sockets.wait(self._epoll.fileno(), self._events, 0 if is_due else int(_IDLE_S * 1000))
        special = (ready == self._newcomers.fileno()) | (ready == self._wake)
        if special.any():
            ready = ready[~special]
        if self._writer.backlogged:
            ready = self._writer.flush(ready)
        self._reader.read(ready)
        if special.any() or self._outbox or self._news:
            self._take_in()
            self._newcomers.serve(0.0, False, self._welcome)
        self._pass_time()
        self._round.decide(self._reader)
        if self._round.wants_commit:
            if not self._commit_round(stop):
                return
            self._round.committed()
            self._failpoint("after_commit_before_puback")
        self._writer.answer()
        state.counts.rounds += 1

    def _commit_round(self, stop: threading.Event) -> bool:
        """True once the round is durable. While the log is away the round is kept and no device's socket is read."""
        was_away = False
        while True:
            try:
                number = self._log.commit(self._round.payloads, self._round.kept, self._round.changes)
                break
            except OutcomeUnknown:
                if stop.is_set() or self._stopping.is_set():
                    return False
                raise
            except ServiceAway as away:
                was_away = self.counts.is_away = True
                self.counts.away += 1
                until = self._monotonic() + max(away.retry_after_s, _RETRY_S)
            while (left := until - self._monotonic()) > 0:
                self._newcomers.serve(min(left, _IDLE_S), True, self._welcome)
                self._newcomers.pass_time(self._monotonic())
                if stop.is_set() or self._stopping.is_set():
                    return False
        if number:
            self._neighbours.pledge(number, self._round.changes)
        if was_away:
            self.counts.is_away = False
            self._greeting.log_is_back()
        return True

    def _welcome(self, connection: Connection, rest: bytes) -> None:
        self._epoll.register(connection.number, select.EPOLLIN)
        if rest:
            self._reader.hold(connection, rest)

    def _take_in(self) -> None:
        """What other threads have for us: messages to send, and news of the other doors."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        while self._outbox:
            topic, payload, qos, retain = self._outbox.popleft()
            if retain and self.state.peers is None:
                self.state.retain(topic, payload, qos)
            elif retain:
                # Every door of a cluster is told; none need write it down.
                self.state.remember(Retained(topic, payload, qos))
            self.state.route(topic, payload, qos, retain)
        # A door that died may send thousands here at once; what is over comes with the next round.
        for _ in range(min(len(self._news), _NEWS_AT_ONCE)):
            self._neighbours.heed(self._news.popleft())

    def _pass_time(self) -> None:
        now = self._monotonic()
        elapsed_s = now - self._ticked
        if elapsed_s < _TICK_S:
            return
        self._ticked = now
        self.state.heed_logins()
        self._newcomers.pass_time(now)
        self._neighbours.pass_time(now)
        self._writer.pass_time(now)
        # A gap is a time in which no socket was read, so no client can have been silent in it.
        self._reader.pass_time(now, elapsed_s if elapsed_s > 4 * _TICK_S else 0.0)
        if now - self._second >= 1.0:
            self._second = now
            self._reader.begin_second()
            self.state.pass_time(now)

    def _shut(self) -> None:
        if self._epoll.closed:
            return
        farewell = mqtt.encode(Disconnect(Reason.SHUTTING_DOWN), mqtt.V5)
        for connection in self.state.connections.values():
            # Wills stay: the client has a while to return after our next start.
            self.counts.closed[Cause.STOPPING] += 1
            try:
                if connection.version == mqtt.V5 and not connection.backlog:
                    connection.socket.send(farewell)
                connection.socket.close()
            except OSError:
                connection.socket.close()
        self.state.connections.clear()
        self._newcomers.close()
        self._listener.close()
        if self._proxied is not None:
            self._proxied.close()
            Path(self._settings.proxy_socket).unlink(missing_ok=True)
        with self._waking:
            self._epoll.close()
            os.close(self._wake)


def _listen(settings: DoorSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(4096)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _listen_proxied(path: str) -> socket.socket:
    """The socket of a TLS terminator: for this user and its group, since whoever connects there is believed.

    Raises ConfigError.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if Path(path).is_socket() and not _answers(path):
            # Of a life that was killed.
            Path(path).unlink()
        before = os.umask(0o117)
        try:
            listener.bind(path)
        finally:
            os.umask(before)
        listener.listen(4096)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"{path} cannot be used: {error.strerror or error}.",
            field="mqtt proxy socket",
            mend="Name a path in a folder of this user's that no other door has.",
        ) from error
    return listener


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
    return True
