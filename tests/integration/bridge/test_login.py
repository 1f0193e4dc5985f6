"""How a bridge comes in, and what it says when it does not."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt import publish

from ingest.bridge.limits import Cause
from tests.bridge_world import BridgeWorld, bridge_world, device
from tests.deployed import SETUP, make_secrets, mosquitto_of_the_recipe
from tests.door_world import TELEMETRY
from tests.moquette import Moquette
from tests.waiting import until
from tocsin.local.mosquitto import Mosquitto, free_port

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_secrets(tmp_path_factory.mktemp("setup") / "secrets")


@pytest.fixture(scope="module")
def kitchen_password(secrets: Path) -> str:
    return str(SETUP["add_login"](secrets, "shop-1/kitchen"))


@pytest.fixture(scope="module")
def guarded(secrets: Path, kitchen_password: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Mosquitto with TLS, passwords and an ACL; its address for the bridge."""
    with mosquitto_of_the_recipe(tmp_path_factory.mktemp("broker") / "mosquitto", secrets) as port:
        yield f"mqtts://tocsin-bridge@localhost:{port}"


def wait_until_told(world: BridgeWorld, cause: Cause, words: str) -> None:
    """It has met `cause`, and says `words` of it: not always at the first attempt on a slow machine."""
    until(lambda: world.bridge.counts.refused[cause] > 0 and words in world.bridge.trouble(), f"it says {words!r}")


def test_over_tls_with_a_login_and_an_acl(guarded: str, secrets: Path, kitchen_password: str) -> None:
    """As in the recipe, with far more bytes than one TLS record holds."""
    password = (secrets / "broker_password").read_text().strip()
    told = {"group": "", "ca": secrets / "ca.crt", "password": password}
    with bridge_world(guarded, settings=told) as world:
        world.wait_until_connected()
        publish.multiple(
            [{"topic": TELEMETRY, "payload": f'{{"ts":{1_790_000_000_000 + n},"value":{n}}}', "qos": 1}
             for n in range(1_000)],
            hostname="localhost", port=int(guarded.rpartition(":")[2]),
            auth={"username": "shop-1/kitchen", "password": kitchen_password},
            tls={"ca_certs": str(secrets / "ca.crt")},  # type: ignore[typeddict-item]
        )  # fmt: skip
        world.log.wait_for(lambda: sorted(world.log.values) == list(range(1_000)))


def test_a_wrong_password_is_told(guarded: str, secrets: Path) -> None:
    """With what to set; it is tried again, since a broker may learn the login later."""
    with bridge_world(guarded, settings={"group": "", "ca": secrets / "ca.crt", "password": "wrong"}) as world:
        wait_until_told(world, Cause.LOGIN, "TOCSIN_BROKER_PASSWORD")


def test_an_authority_that_is_not_known_is_told(guarded: str) -> None:
    """Nothing is sent to a broker that cannot show who it is, least of all a password."""
    with bridge_world(guarded, settings={"group": "", "password": "secret"}) as world:
        wait_until_told(world, Cause.TLS, "TOCSIN_BROKER_CA")


def test_a_broker_that_is_not_there_is_told() -> None:
    """And that it does not answer is told apart from that it is not there."""
    with bridge_world(f"mqtt://127.0.0.1:{free_port()}", settings={"group": ""}) as world:
        wait_until_told(world, Cause.UNREACHABLE, "refused")
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"mqtt://127.0.0.1:{deaf.getsockname()[1]}"
        with bridge_world(url, settings={"group": "", "connect_s": 0.2}) as world:
            wait_until_told(world, Cause.NO_ANSWER, "does not answer")


def test_a_broker_that_comes_up_late_is_read(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Machines start in any order."""
    mosquitto.stop()
    with bridge_world(mosquitto.url, settings={"group": ""}) as world:
        wait_until_told(world, Cause.UNREACHABLE, "refused")
        mosquitto.start()
        world.wait_until_connected()
        with device(mosquitto.port) as kitchen:
            kitchen.publish(b'{"temperature":20}')
            world.log.wait_for(lambda: world.log.values == [20.0])


def test_a_broker_of_3_1_1_is_spoken_to_in_its_version(moquette: Moquette) -> None:
    """It is found out by its refusal of 5."""
    with bridge_world(moquette.url, settings={"group": ""}) as world:
        world.wait_until_connected()
        with device(moquette.port) as kitchen:
            kitchen.publish(b'{"temperature":20}')
            world.log.wait_for(lambda: world.log.values == [20.0])


def test_a_group_at_a_broker_of_3_1_1_is_told(moquette: Moquette, dsn: str) -> None:
    """It grants the subscription, and never sends anything."""
    world = BridgeWorld(moquette.url, dsn=dsn, settings={"group": "tocsin"}).start()
    try:
        wait_until_told(world, Cause.VERSION, "TOCSIN_BROKER_SHARE")
    finally:
        world.end()
        world.leases.close()
