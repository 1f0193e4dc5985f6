"""How parts that run in both ways are put together; what differs (log, places, who runs which) is the composition's."""

from __future__ import annotations

from collections.abc import Callable

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
from tocsin.settings import Settings


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
