"""deploy/mosquitto with the secrets that `setup` makes, in a real Mosquitto: TLS, logins, and who may do what."""

from __future__ import annotations

import queue
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from ingest.door.limits import DoorSettings
from tests.deployed import SETUP, make_secrets, mosquitto_of_the_recipe

pytestmark = pytest.mark.integration
LARGEST_PAYLOAD = DoorSettings().packet_size


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_secrets(tmp_path_factory.mktemp("setup") / "secrets")


@pytest.fixture(scope="module")
def passwords(secrets: Path) -> dict[str, str]:
    """By user name: the bridge's, and those of two devices."""
    logins = {name: SETUP["add_login"](secrets, name) for name in ("shop-1/kitchen", "shop-1/panel")}
    return {"tocsin-bridge": (secrets / "broker_password").read_text().strip(), **logins}


@pytest.fixture(scope="module")
def port(secrets: Path, passwords: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with mosquitto_of_the_recipe(tmp_path_factory.mktemp("broker") / "mosquitto", secrets) as port:
        yield port


class Client:
    """A paho client that has logged in; `took` are the messages that came, `code` the answer to the login."""

    def __init__(self, port: int, trust: Path, username: str | None, password: str) -> None:
        self.took: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._answers: queue.Queue[ReasonCode] = queue.Queue()
        self._granted: queue.Queue[list[ReasonCode]] = queue.Queue()
        self.paho = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        if username is not None:
            self.paho.username_pw_set(username, password)
        self.paho.tls_set(str(trust))
        self.paho.on_connect = lambda *told: self._answers.put(told[3])
        self.paho.on_publish = lambda *told: self._answers.put(told[3])
        self.paho.on_subscribe = lambda *told: self._granted.put(told[3])
        self.paho.on_message = lambda *told: self.took.put((told[2].topic, told[2].payload))
        self.paho.connect("localhost", port)
        self.paho.loop_start()
        self.code = self._answers.get(timeout=10)

    def publish(self, topic: str, payload: bytes) -> ReasonCode:
        self.paho.publish(topic, payload, qos=1)
        return self._answers.get(timeout=10)

    def subscribe(self, topic: str) -> None:
        self.paho.subscribe(topic, qos=1)
        self._granted.get(timeout=10)

    def close(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()


@pytest.fixture
def connect(port: int, secrets: Path, passwords: dict[str, str]) -> Iterator[Callable[..., Client]]:
    clients: list[Client] = []

    def make(username: str | None, password: str | None = None) -> Client:
        known = passwords.get(username or "", "") if password is None else password
        clients.append(Client(port, secrets / "ca.crt", username, known))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def test_a_device_reaches_the_bridge_and_hears_its_answer(connect: Callable[..., Client]) -> None:
    """Both ways of one message, over TLS; several bridges share the subscription."""
    bridge, device = connect("tocsin-bridge"), connect("shop-1/kitchen")
    bridge.subscribe("$share/tocsin/tocsin/v1/+/+/telemetry")
    device.subscribe("tocsin/v1/shop-1/kitchen/errors")
    assert device.publish("tocsin/v1/shop-1/kitchen/telemetry", b'{"smoke":1}') == "Success"
    assert bridge.took.get(timeout=10) == ("tocsin/v1/shop-1/kitchen/telemetry", b'{"smoke":1}')
    assert bridge.publish("tocsin/v1/shop-1/kitchen/errors", b"{}") == "Success"
    assert device.took.get(timeout=10) == ("tocsin/v1/shop-1/kitchen/errors", b"{}")


def test_the_largest_payload_that_tocsin_takes_passes(connect: Callable[..., Client]) -> None:
    """256 KiB, a back-fill of a day: a limit below would lose it for good."""
    bridge, device = connect("tocsin-bridge"), connect("shop-1/kitchen")
    bridge.subscribe("tocsin/v1/+/+/telemetry")
    assert device.publish("tocsin/v1/shop-1/kitchen/telemetry", bytes(LARGEST_PAYLOAD)) == "Success"
    assert len(bridge.took.get(timeout=10)[1]) == LARGEST_PAYLOAD


@pytest.mark.parametrize(
    "topic",
    ["tocsin/v1/shop-1/panel/telemetry", "tocsin/v1/shop-2/kitchen/telemetry", "tocsin/v1/shop-1/kitchen/errors",
     "tocsin/v1/shop-1/alarms", "elsewhere"],
)  # fmt: skip
def test_a_foreign_topic_is_refused(connect: Callable[..., Client], topic: str) -> None:
    """A device that could speak for another would raise, or hide, its alarms."""
    assert connect("shop-1/kitchen").publish(topic, b"{}") == "Not authorized"


def test_a_device_hears_nothing_of_another(connect: Callable[..., Client]) -> None:
    """Mosquitto grants the subscription and hands nothing out."""
    curious, device, bridge = connect("shop-1/panel"), connect("shop-1/kitchen"), connect("tocsin-bridge")
    curious.subscribe("#")
    device.publish("tocsin/v1/shop-1/kitchen/telemetry", b"secret")
    bridge.publish("tocsin/v1/shop-1/kitchen/errors", b"secret")
    bridge.publish("tocsin/v1/shop-1/panel/errors", b"mine")
    assert curious.took.get(timeout=10) == ("tocsin/v1/shop-1/panel/errors", b"mine")
    assert curious.took.empty()


@pytest.mark.parametrize(
    ("username", "password"), [(None, ""), ("shop-1/kitchen", "wrong"), ("shop-9/nobody", "x"), ("#", "x")]
)
def test_nobody_comes_in_without_a_login(connect: Callable[..., Client], username: str | None, password: str) -> None:
    """Whoever is let in may publish."""
    assert connect(username, password).code == "Not authorized"


def test_who_does_not_trust_the_authority_does_not_connect(port: int) -> None:
    """A password must not go to a server that is not ours."""
    with (
        socket.create_connection(("localhost", port), 10) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        ssl.create_default_context().wrap_socket(plain, server_hostname="localhost")


def test_nobody_is_answered_without_tls(port: int) -> None:
    """One listener, and it speaks TLS only."""
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        plain.sendall(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00")
        try:
            answer = plain.recv(4)
        except ConnectionResetError:
            return
        assert not answer.startswith(b"\x20")


def test_a_new_password_replaces_the_old_one_and_keeps_the_others(tmp_path: Path) -> None:
    """A device that was lost is locked out by a new password."""
    SETUP["make_missing"](tmp_path, [])
    SETUP["add_login"](tmp_path, "shop-1/kitchen")
    before = (tmp_path / "mosquitto_passwords").read_text().splitlines()
    SETUP["add_login"](tmp_path, "shop-1/kitchen")
    after = (tmp_path / "mosquitto_passwords").read_text().splitlines()
    assert [line.split(":")[0] for line in after] == ["tocsin-bridge", "shop-1/kitchen"]
    assert after[0] == before[0]
    assert after[1] != before[1]


@pytest.mark.parametrize("username", ["", "a:b", "shop-1/#", "shop-1/+", "shop\n1"])
def test_a_user_name_that_would_be_another_line_or_pattern_is_refused(tmp_path: Path, username: str) -> None:
    """The ACL puts the user name into a topic."""
    SETUP["make_missing"](tmp_path, [])
    with pytest.raises(Exception, match="is no user name"):
        SETUP["add_login"](tmp_path, username)


def test_secrets_that_are_there_are_kept(tmp_path: Path) -> None:
    """A second `setup` by mistake would lock every part out of its database."""
    SETUP["make_missing"](tmp_path, ["localhost"])
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert SETUP["make_missing"](tmp_path, ["elsewhere"]) == []
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    (tmp_path / "token").unlink()
    assert SETUP["make_missing"](tmp_path, []) == ["token"]
