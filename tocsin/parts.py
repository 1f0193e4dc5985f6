"""How parts that run in both ways are put together; what differs (log, places, who runs which) is the composition's."""

from __future__ import annotations

import threading
from collections.abc import Callable

from alerting.channels.journal import Journal, JournalFile
from alerting.channels.unsent_sms import UnsentSms
from alerting.channels.webhook import Webhook
from alerting.composer import Reply
from alerting.message import Texts
from alerting.ports import Channel
from alerting.routes import JOURNAL, SMS, WEBHOOK
from alerting.secret import LINKS, house_secret
from ingest.door.greeting import is_loopback
from ingest.door.limits import DoorSettings
from ingest.door.loop import Door
from ingest.intake import JsonIntake
from ingest.news import Peers
from ingest.ports import RoundLog
from ingest.saved import SessionStore
from registry.logins import KnownLogins
from schemas.errors import ConfigError, ServiceAway
from schemas.identity import id_of
from streams.checkpoints import PostgresCheckpoints
from streams.engine import Engine
from streams.judging import Judging
from streams.packs import parse_pack
from streams.ports import LogReader
from streams.positions import PostgresPositions
from streams.store.edge import session
from streams.store.queries import history
from streams.ticks import Clock, HouseTime
from tocsin.settings import Settings

_COMPARE_S = 1.0


def open_door(
    settings: Settings,
    *,
    log: RoundLog,
    store: SessionStore,
    peers: Peers | None = None,
    clock: Callable[[], int],
    logins: KnownLogins,
    after_us: int,
    failpoint: Callable[[str], None],
    name: str = "",
) -> Door:
    """Bound when made, so that a taken port is said early. Raises ConfigError with the field."""
    # Without a login nobody could come in from elsewhere; the door then refuses such an address.
    credentials = logins if len(logins) or is_loopback(settings.mqtt_host) else None
    try:
        return Door(
            DoorSettings(
                name=name,
                host=settings.mqtt_host,
                port=settings.mqtt_port,
                anonymous=settings.anonymous,
                proxy_socket=str(settings.mqtt_proxy_socket or ""),
            ),
            intake=JsonIntake(),
            log=log,
            store=store,
            peers=peers,
            clock=clock,
            credentials=credentials,
            after_us=after_us,
            failpoint=failpoint,
        )
    except OSError as error:
        raise ConfigError(
            f"{settings.mqtt_host}:{settings.mqtt_port} cannot be used: {error.strerror}",
            field="--mqtt-port",
            mend="Name another port.",
        ) from error


def make_channels(
    settings: Settings,
    dsn: str,
    texts: dict[str, Texts],
    clock: Clock,
    now_us: Callable[[], int],
    terminal: Callable[[str], None] | None = None,
    colour: bool = False,
) -> dict[str, Channel]:
    """Every way by which people are told, by name."""
    file = JournalFile(settings.data / "journal.jsonl")
    journal = Journal(dsn, texts, now_us, file=file, terminal=terminal, colour=colour)
    # Receivers compare the signature's time with their own clock.
    return {JOURNAL: journal, WEBHOOK: Webhook(clock.wall_us), SMS: _sms(settings, journal)}


def make_reply(settings: Settings, dsn: str) -> Reply:
    """How people answer messages. Raises ServiceAway."""
    secret = house_secret(dsn, LINKS) if settings.public_url else b""
    return Reply(settings.public_url, settings.duty_phone, secret)


def _sms(settings: Settings, journal: Journal) -> Channel:
    """The carrier where its account is set. Raises ConfigError when it is half set."""
    account, secret = settings.twilio_account, settings.twilio_token.get_secret_value()
    if not account and not secret:
        return UnsentSms(journal)
    for name, value in (("ACCOUNT", account), ("TOKEN", secret), ("SENDER", settings.twilio_sender)):
        if not value:
            raise ConfigError(
                "SMS need the account, its token and a sender.",
                field=f"TOCSIN_TWILIO_{name}",
                mend="Set all three, or none: then texts are kept in the journal.",
            )
    from alerting.channels.sms import Sms  # noqa: PLC0415  the client is large, and most have none

    return Sms(account, secret, settings.twilio_sender, url=settings.twilio_url)


def make_judging(
    settings: Settings,
    dsn: str,
    reader: LogReader,
    *,
    topic: str = "",
    partition: int = 0,
    on_events: Callable[[], None],
    failpoint: Callable[[str], None],
) -> tuple[Engine, Judging]:
    """An engine with the consumer that runs it over one partition; topic: the log that `reader` reads."""
    engine = Engine(None, partition=partition, read_pack=parse_pack)
    positions = PostgresPositions(dsn, "engine", partition=partition, topic=topic)
    judging = Judging(
        engine,
        reader,
        positions,
        PostgresCheckpoints(dsn, positions, failpoint=failpoint),
        checkpoint_every_s=settings.checkpoint_s,
        on_events=on_events,
        failpoint=failpoint,
    )
    return engine, judging


def readings_around(dsn: str) -> Callable[[str, int, int], list[tuple[int, float]] | None]:
    """For the evidence of an alarm: sensor key, start, end → (µs, value); None while the store cannot say."""

    def ask(sensor: str, start_us: int, end_us: int) -> list[tuple[int, float]] | None:
        try:
            with session(dsn, "tocsin-evidence") as connection:
                found = history(connection, id_of(sensor), start_us, end_us)
        except ServiceAway:
            return None
        return list(zip(found.event_time.tolist(), found.value.tolist(), strict=True))

    return ask


class House:
    """The house's time in a process that writes no ticks: compared with the wall clock once a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._time = HouseTime(0, clock.wall_us(), clock.monotonic_us())
        self._stopping = threading.Event()

    def now_us(self) -> int:
        return self._time.at(self._clock.monotonic_us())

    def run(self) -> None:
        while not self._stopping.wait(_COMPARE_S):
            self._time.compare(self._clock.wall_us(), self._clock.monotonic_us())

    def stop(self) -> None:
        self._stopping.set()
