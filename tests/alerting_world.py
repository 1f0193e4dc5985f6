"""What tests of alerting are made of: alarm events with lives, a clock that is moved, a far end for webhooks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg
from msgspec import structs
from prometheus_client import CollectorRegistry

from alerting.desk import Desk
from alerting.metrics import AlertingMetrics
from alerting.outbox import Outbox
from alerting.ports import Answer, Channel, Outcome
from alerting.routes import Recipient, Routes
from alerting.texts import load_texts
from schemas.alarms import AlarmEvent, Evidence, Grade, Kind, State, encode_event
from schemas.identity import alarm_key
from schemas.notifications import ChannelFacts, Notification

START_US = 1_790_000_000_000_000
US = 1_000_000


def event(
    state: State,
    grade: Grade,
    *,
    step: int = 1,
    previous: Grade = Grade.NONE,
    device: str = "kitchen",
    enterprise: str = "shop-1",
    active: bool | None = None,
    latched: bool = False,
    late: bool = False,
    onset_us: int = START_US,
    event_us: int = START_US,
    seq: int = 0,
) -> AlarmEvent:
    """One step of the heat alarm of `enterprise/device/temperature`."""
    subject = f"{enterprise}/{device}/temperature"
    return AlarmEvent(
        alarm_key(subject, "heat", onset_us), step, 0, seq, state, subject, enterprise, device, "temperature", "heat",
        Kind.FIRE, grade, previous, state in (State.RAISED, State.REGRADED) if active is None else active, latched,
        onset_us, event_us, event_us, event_us, 7, Evidence("heat.fire", "ab12", 95.0, 56.0, "Cel", 10.0), late,
    )  # fmt: skip


@dataclass
class Story:
    """Events of one partition, in order, written into `alarm_events` as the engine does, with its NOTIFY."""

    dsn: str
    seq: int = 0
    partition: int = 0
    steps: dict[str, int] = field(default_factory=dict)
    grades: dict[str, Grade] = field(default_factory=dict)

    def tell(self, *events: AlarmEvent) -> list[AlarmEvent]:
        """Give each its seq, commit all, return them."""
        with psycopg.connect(self.dsn) as connection:
            return self.tell_by(connection, *events)

    def tell_by(self, connection: psycopg.Connection[Any], *events: AlarmEvent) -> list[AlarmEvent]:
        """The same, by a connection that is there."""
        told = []
        for e in events:
            self.seq += 1
            told.append(structs.replace(e, seq=self.seq, partition=self.partition))
        with connection.transaction():
            connection.cursor().executemany(
                "INSERT INTO alarm_events (key, step, partition, seq, entry, state, subject, enterprise, device,"
                " family, kind, grade, active, latched, late, event_us, body)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    (
                        e.key, e.step, e.partition, e.seq, e.entry, e.state.value, e.subject, e.enterprise, e.device,
                        e.family, e.kind.value, int(e.grade), e.active, e.latched, e.late, e.event_us,
                        encode_event(e).decode(),
                    )
                    for e in told
                ],
            )  # fmt: skip
            connection.execute("SELECT pg_notify('tocsin_alarms', %s)", [str(self.partition)])
        return told


class HandClock:
    """A clock that stands until it is moved."""

    def __init__(self, now_us: int = START_US) -> None:
        self.now_us = now_us

    def __call__(self) -> int:
        return self.now_us

    def forward(self, seconds: float) -> None:
        self.now_us += round(seconds * US)


class HeldChannel:
    """A channel in memory; `answers` are given in turn, then `accepted`."""

    def __init__(self, name: str, *answers: Answer, batch: int = 1, concurrency: int = 1, short: bool = False) -> None:
        self.facts = ChannelFacts(name, batch=batch, concurrency=concurrency, short=short)
        self.answers = list(answers)
        self.sent: list[Notification] = []
        self._changed = threading.Condition()

    def send(self, recipient: Recipient, messages: Sequence[Notification]) -> Sequence[Answer]:
        with self._changed:
            self.sent.extend(messages)
            given = [self.answers.pop(0) if self.answers else Answer(Outcome.ACCEPTED) for _ in messages]
            self._changed.notify_all()
        return given

    def wait_for(self, count: int, timeout_s: float = 10.0) -> list[Notification]:
        """All that was sent, once there are at least `count`."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.sent) >= count, timeout_s):
                raise AssertionError(f"{len(self.sent)} of {count} messages came")
            return list(self.sent)

    def close(self) -> None:
        pass


def make_outbox(
    dsn: str,
    clock: Callable[[], int],
    *channels: Channel,
    metrics: AlertingMetrics | None = None,
    failpoint: Callable[[str], None] = lambda name: None,
    **more: Any,
) -> Outbox:
    by_name = {channel.facts.name: channel for channel in channels}
    return Outbox(dsn, by_name, clock, metrics or AlertingMetrics(CollectorRegistry()), failpoint, **more)


class LoneDesk(Desk):
    """A desk with an outbox of its own, which ends with it."""

    def __init__(self, dsn: str, routes: Routes, outbox: Outbox, clock: Callable[[], int], **more: Any) -> None:
        self._own = outbox
        super().__init__(dsn, routes, outbox, load_texts(), AlertingMetrics(CollectorRegistry()), clock, **more)

    def run(self, stop_timeout_s: float = 3.0) -> None:
        try:
            super().run(stop_timeout_s)
        finally:
            self._own.stop(stop_timeout_s)


def make_desk(
    dsn: str,
    routes: Routes,
    clock: Callable[[], int],
    *channels: Channel,
    failpoint: Callable[[str], None] = lambda name: None,
    **more: Any,
) -> Desk:
    """A desk alone; `stop` and then `run` end it with all it has."""
    return LoneDesk(dsn, routes, make_outbox(dsn, clock, *channels, failpoint=failpoint), clock, **more)


class FarEnd:
    """A real HTTP server on loopback that takes webhooks; `reply` decides what it answers to the n-th request (from
    1).
    """

    def __init__(self, reply: Callable[[int, BaseHTTPRequestHandler], None] | None = None) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.released = threading.Event()
        self._changed = threading.Condition()
        end = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with end._changed:
                    end.requests.append(({**self.headers, "port": str(self.client_address[1])}, body))
                    number = len(end.requests)
                    end._changed.notify_all()
                (reply or answer_with(200))(number, self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that gave up is part of the tests."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def wait_for(self, count: int, timeout_s: float = 10.0) -> list[tuple[dict[str, str], bytes]]:
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests) >= count, timeout_s):
                raise AssertionError(f"{len(self.requests)} of {count} requests came")
            return list(self.requests)

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def answer_with(status: int, **headers: str) -> Callable[[int, BaseHTTPRequestHandler], None]:
    def reply(number: int, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return reply
