"""A Mosquitto for each test, and a fresh bridge where one is enough."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from schemas.errors import ConfigError
from tests.bridge_world import BridgeWorld, bridge_world
from tests.moquette import Moquette
from tocsin.local.mosquitto import Mosquitto
from tocsin.warm_up import warm_up

Broker = TypeVar("Broker", Mosquitto, Moquette)


@pytest.fixture(scope="session", autouse=True)
def compiled() -> None:
    """No test waits for a compiler."""
    warm_up()


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder for programs that give up root's rights: pytest's own folders are root's alone."""
    with tempfile.TemporaryDirectory(prefix="tocsin-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture
def mosquitto(home: Path) -> Iterator[Mosquitto]:
    yield from _started(Mosquitto(home / "mosquitto"))


@pytest.fixture
def moquette(tmp_path: Path) -> Iterator[Moquette]:
    yield from _started(Moquette(tmp_path / "moquette"))


def _started(broker: Broker) -> Iterator[Broker]:
    try:
        broker.start()
    except ConfigError as error:
        say = pytest.fail if os.environ.get("TOCSIN_REQUIRE") == "all" else pytest.skip
        say(str(error))
    try:
        yield broker
    finally:
        broker.stop()


@pytest.fixture
def world(mosquitto: Mosquitto) -> Iterator[BridgeWorld]:
    with bridge_world(mosquitto.url, settings={"group": ""}) as world:
        yield world.wait_until_connected()
