"""What every test may ask for: a PostgreSQL of its own, a fresh, migrated database in it, a Kafka, a TimescaleDB."""

from __future__ import annotations

import itertools
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import psycopg
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from schemas.errors import ConfigError
from tocsin.migrate import migrate
from tocsin.postgres import EmbeddedPostgres
from tocsin.settings import Settings

if TYPE_CHECKING:
    from tests.timescale import Timescale
    from tocsin.local.kafka import Kafka

os.environ.setdefault("TOCSIN_CONSOLE", "no")
"""Only tests of the web console pay for its process."""
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")
"""A Kafka that lives for minutes: compiling it for longer takes half of its processor time."""
# A busy machine draws slowly, and is not wrong.
hypothesis_settings.register_profile("ours", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("ours")

_names = (f"test_{number}" for number in itertools.count(1))


_FOR_TESTS = {"shared_buffers": "64MB", "max_wal_size": "1GB", "fsync": "off"}
"""A database a test is made a thousand times, and nobody asks what a power cut leaves of them."""


def pytest_configure() -> None:
    """Told to end, as `./dev test` tells those beside it, end like Ctrl-C: with all that was started."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A server for the whole session; its database `tocsin` is migrated and is the template of all others."""
    with tempfile.TemporaryDirectory(prefix="tocsin-") as folder:
        server = EmbeddedPostgres(Path(folder) / "pg", settings=_FOR_TESTS)
        with server:
            migrate(server.dsn())
            yield server


@pytest.fixture
def dsn(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A fresh database with every migration applied, gone after the test."""
    name = next(_names)
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE tocsin")
    yield postgres.dsn(name)
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """A Kafka for the whole session, or the one that TOCSIN_KAFKA names; each test makes topics of its own names.

    A test that kills one starts its own.
    """
    from tocsin.local.kafka import Kafka

    with tempfile.TemporaryDirectory(prefix="tocsin-") as folder:
        server = Kafka(Path(folder) / "kafka", existing=Settings.told().kafka)
        try:
            server.start()
        except ConfigError as error:
            _there_is_none(error)
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def timescale() -> Iterator[Timescale]:
    """A PostgreSQL with TimescaleDB for the whole session, or the one that TOCSIN_TEST_TIMESCALE names."""
    from tests.timescale import Timescale

    server = Timescale(os.environ.get("TOCSIN_TEST_TIMESCALE", ""))
    try:
        try:
            server.start()
        except ConfigError as error:
            _there_is_none(error)
        yield server
    finally:
        server.stop()


@pytest.fixture
def timescale_dsn(timescale: Timescale) -> Iterator[str]:
    """A fresh database with TimescaleDB and every migration applied, gone after the test."""
    with timescale.database() as dsn:
        yield dsn


@pytest.fixture(params=["plain", pytest.param("timescale", marks=pytest.mark.timescale)])
def any_dsn(request: pytest.FixtureRequest) -> str:
    """A fresh database with every migration applied: on PostgreSQL alone, then with TimescaleDB."""
    dsn: str = request.getfixturevalue("dsn" if request.param == "plain" else "timescale_dsn")
    return dsn


def _there_is_none(error: ConfigError) -> NoReturn:
    if os.environ.get("TOCSIN_REQUIRE") == "all":
        pytest.fail(str(error))
    pytest.skip(str(error))
