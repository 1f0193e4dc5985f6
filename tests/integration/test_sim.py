"""`tocsin sim` and its publisher against a real broker, Mosquitto."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from sensors_sim.city import City, Message
from sensors_sim.publisher import Broker, Publisher
from sensors_sim.scenarios import load


class Mosquitto:
    """A broker on a port of its own that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            say = pytest.fail if os.environ.get("TOCSIN_REQUIRE") == "all" else pytest.skip
            say("needs Mosquitto: apt install mosquitto")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        config = folder / "mosquitto.conf"
        config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n")
        self._command = [program, "-c", str(config)]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except ConnectionRefusedError:
                assert self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    mosquitto = Mosquitto(tmp_path)
    yield mosquitto
    mosquitto.kill()


def poll_until(publisher: Publisher, done: int) -> None:
    end = time.monotonic() + 20.0
    while publisher.counts.acknowledged < done or publisher.counts.connected < 1:
        assert time.monotonic() < end, publisher.counts
        publisher.poll(0.1)


def test_the_command_publishes_and_counts(broker: Mosquitto) -> None:
    command = [sys.executable, "-m", "tocsin", "sim", "kitchen_fire", "--broker", f"mqtt://127.0.0.1:{broker.port}"]
    command += ["--shops", "3", "--speed", "20", "--seconds", "1", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    counts = json.loads(ended.stdout)
    expected = list(City(*load("kitchen_fire"), shops=3, seed=1).until(20))
    assert counts["connects"] == 9
    assert counts["sent"] == counts["acknowledged"] == len(expected)
    assert counts["readings"] == sum(len(message.values) for message in expected)


def test_a_broker_that_is_not_there_is_told_with_a_mend() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tocsin", "sim", "quiet_day", "--broker", f"mqtt://127.0.0.1:{port}"]
    ended = subprocess.run([*command, "--shops", "1"], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "Is `tocsin up` running there?" in ended.stderr


@pytest.mark.parametrize("clients", [0, 1])
def test_what_a_killed_broker_never_acknowledged_goes_out_again(broker: Mosquitto, clients: int) -> None:
    devices = [("shop-0001", "kitchen"), ("shop-0002", "kitchen")]
    publisher = Publisher(
        Broker("127.0.0.1", broker.port), [[d] for d in devices], clients=clients, monotonic=time.monotonic
    )
    publisher.publish(Message(0.0, 0.0, *devices[0], {"temperature": 20.0}), None)
    poll_until(publisher, 1)
    broker.kill()
    publisher.publish(Message(1.0, 1.0, *devices[1], {"temperature": 21.0}), None)
    publisher.poll(0.1)
    assert publisher.waiting == 1
    broker.start()
    poll_until(publisher, 2)
    publisher.close()
    assert publisher.counts.connected == 0


def test_a_dead_gateway_is_told_by_its_will_and_takes_those_behind_it_along(broker: Mosquitto) -> None:
    """The connection is the gateway's: what hangs behind it has no will of its own."""
    heard: list[tuple[str, bytes]] = []
    listener = mqtt.Client(CallbackAPIVersion.VERSION2)
    listener.on_message = lambda _client, _data, message: heard.append((message.topic, message.payload))
    listener.connect("127.0.0.1", broker.port)
    listener.subscribe("tocsin/v1/#", qos=1)
    for _ in range(3):
        listener.loop(0.1)
    connection = [("shop-0001", "gateway"), ("shop-0001", "kitchen")]
    publisher = Publisher(Broker("127.0.0.1", broker.port), [connection], monotonic=time.monotonic)
    end = time.monotonic() + 20.0

    def hear(count: int) -> None:
        while len(heard) < count:
            assert time.monotonic() < end, heard
            publisher.poll(0.02)
            listener.loop(0.02)

    hear(1)
    publisher.publish(Message(1.0, 1.0, "shop-0001", "kitchen", {"smoke": 0.1}), None)
    hear(2)
    publisher.publish(Message(2.0, 2.0, "shop-0001", "gateway", {}, online=False), None)
    hear(3)
    assert publisher.counts.connected == 0
    publisher.publish(Message(9.0, 9.0, "shop-0001", "gateway", {}, online=True), None)
    publisher.publish(
        Message(9.5, 9.5, "shop-0001", "kitchen", {}, ((5.0, {"smoke": 0.2}), (6.0, {"smoke": 0.3}))), 1.0
    )
    hear(5)
    publisher.close()
    listener.disconnect()
    listener.loop(0.1)
    status, telemetry = "tocsin/v1/shop-0001/gateway/status", "tocsin/v1/shop-0001/kitchen/telemetry"
    assert heard[:3] == [(status, b"online"), (telemetry, b'{"smoke":0.1}'), (status, b"offline")]
    assert set(heard[3:5]) == {
        (status, b"online"), (telemetry, b'[{"ts":6000,"smoke":0.2},{"ts":7000,"smoke":0.3}]')
    }  # fmt: skip


def test_a_device_says_online_and_offline_and_its_will_when_it_dies(broker: Mosquitto) -> None:
    heard: list[tuple[str, bytes]] = []
    listener = mqtt.Client(CallbackAPIVersion.VERSION2)
    listener.on_message = lambda _client, _data, message: heard.append((message.topic, message.payload))
    listener.connect("127.0.0.1", broker.port)
    listener.subscribe("tocsin/v1/+/+/status", qos=1)
    end = time.monotonic() + 20.0

    def hear(count: int, publisher: Publisher | None = None) -> None:
        while len(heard) < count:
            assert time.monotonic() < end, heard
            if publisher is not None:
                publisher.poll(0.02)
            listener.loop(0.02)

    for _ in range(3):
        listener.loop(0.1)
    publisher = Publisher(
        Broker("127.0.0.1", broker.port), [[("shop-0001", "kitchen")]], clients=0, monotonic=time.monotonic
    )
    hear(1, publisher)
    thief = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="sim-shop-0001-kitchen")
    thief.connect("127.0.0.1", broker.port)  # the broker ends the connection that it has under this name
    hear(3, publisher)
    thief.loop(0.1)
    publisher.close()
    hear(4)
    listener.disconnect()
    listener.loop(0.1)
    topic = "tocsin/v1/shop-0001/kitchen/status"
    assert heard == [(topic, b"online"), (topic, b"offline"), (topic, b"online"), (topic, b"offline")]
