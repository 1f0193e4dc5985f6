"""Clients that others have written, against the door: each connects, publishes, is answered, and hears its errors."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from gmqtt import Client as GmqttClient
from gmqtt.mqtt.constants import MQTTv50, MQTTv311

from schemas.principals import Principal
from tests.door_world import ERRORS, STATUS, TELEMETRY, WAIT_S, OneLogin, World, door_world

pytestmark = pytest.mark.integration

KITCHEN = Principal("kitchen", devices=frozenset({"shop-1/kitchen"}))
GOOD, BAD = '{"temperature": 21.5}', '{"temperatur": 21.5}'
FOREIGN = "tocsin/v1/shop-2/bar/telemetry"
MQTT_JS = "5.10.4"


@pytest.fixture
def world() -> Iterator[World]:
    """A door where a client must log in to be bound to its own device."""
    with door_world(credentials=OneLogin(KITCHEN)) as world:
        yield world


def missing(what: str, line: str) -> None:
    """Skip with the line that installs it; where everything is required a skip is a failure."""
    say = pytest.fail if os.environ.get("TOCSIN_REQUIRE") == "all" else pytest.skip
    say(f"{what} is not here: {line}")


@pytest.mark.parametrize("protocol", [paho.MQTTv311, paho.MQTTv5])
def test_paho(world: World, protocol: int) -> None:
    """QoS 0, 1 and, in 3.1.1, 2; its own errors; a foreign topic."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="paho", protocol=protocol)
    client.username_pw_set("kitchen", "kitchen")
    heard: queue.Queue[Any] = queue.Queue()
    client.on_connect = lambda *_: heard.put("connected")
    client.on_subscribe = lambda *_: heard.put("subscribed")
    client.on_message = lambda _c, _u, message: heard.put(json.loads(message.payload))
    client.on_publish = lambda _c, _u, _mid, reason, _p: heard.put(reason.value)
    client.will_set(STATUS, "offline", 1, True)
    client.connect("127.0.0.1", world.door.port)
    client.loop_start()
    try:
        assert heard.get(timeout=WAIT_S) == "connected"
        client.subscribe(ERRORS, 1)
        assert heard.get(timeout=WAIT_S) == "subscribed"
        levels = (0, 1) if protocol == paho.MQTTv5 else (0, 1, 2)
        for qos in levels:
            client.publish(TELEMETRY, GOOD, qos)
            assert heard.get(timeout=WAIT_S) == 0
        world.log.wait_for(lambda: world.log.values == [21.5] * len(levels))
        client.publish(TELEMETRY, BAD, 1)
        answers = [heard.get(timeout=WAIT_S), heard.get(timeout=WAIT_S)]
        assert 0 in answers
        assert next(a for a in answers if a != 0)["rejects"][0]["field"] == "temperatur"
        client.publish(FOREIGN, GOOD, 1)
        assert heard.get(timeout=WAIT_S) == (0x87 if protocol == paho.MQTTv5 else 0)
        assert len(world.log.values) == len(levels)
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.mark.parametrize("version", ["311", "5"])
@pytest.mark.parametrize("qos", ["0", "1", "2"])
def test_mosquitto_pub(world: World, version: str, qos: str) -> None:
    """QoS 2 in version 5 is what the door has announced not to take: the client says so."""
    if shutil.which("mosquitto_pub") is None:
        missing("mosquitto_pub", "apt-get install mosquitto-clients")
    done = subprocess.run(
        ["mosquitto_pub", "-V", version, "-p", str(world.door.port), "-u", "kitchen", "-P", "kitchen", "-q", qos,
         "-t", TELEMETRY, "-m", GOOD, "--will-topic", STATUS, "--will-payload", "offline"],
        capture_output=True, text=True, timeout=WAIT_S, check=False,
    )  # fmt: skip
    if (version, qos) == ("5", "2"):
        assert world.log.values == []
        return
    assert done.returncode == 0, done.stderr
    world.log.wait_for(lambda: world.log.values == [21.5])


@pytest.mark.parametrize("version", ["311", "5"])
def test_mosquitto_sub_hears_its_errors(world: World, version: str) -> None:
    if shutil.which("mosquitto_sub") is None:
        missing("mosquitto_sub", "apt-get install mosquitto-clients")
    login = ["-V", version, "-p", str(world.door.port), "-u", "kitchen", "-P", "kitchen"]
    with subprocess.Popen(
        ["mosquitto_sub", *login, "-i", "ear", "-q", "1", "-t", ERRORS, "-C", "1", "-W", "60"],
        stdout=subprocess.PIPE, text=True,
    ) as ear:  # fmt: skip
        world.wait(lambda: any(session.subscriptions for session in list(world.door.state.sessions.values())))
        subprocess.run(["mosquitto_pub", *login, "-q", "1", "-t", TELEMETRY, "-m", BAD], timeout=WAIT_S, check=True)
        heard, _ = ear.communicate(timeout=WAIT_S)
    assert json.loads(heard)["rejects"][0]["field"] == "temperatur"


def test_mosquitto_with_a_wrong_secret_is_refused(world: World) -> None:
    if shutil.which("mosquitto_pub") is None:
        missing("mosquitto_pub", "apt-get install mosquitto-clients")
    done = subprocess.run(
        ["mosquitto_pub", "-p", str(world.door.port), "-u", "kitchen", "-P", "guess", "-t", TELEMETRY, "-m", GOOD],
        capture_output=True, text=True, timeout=WAIT_S, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert world.log.values == []


@pytest.mark.parametrize("version", [MQTTv311, MQTTv50])
def test_gmqtt(world: World, version: int) -> None:
    async def run() -> list[Any]:
        heard: asyncio.Queue[Any] = asyncio.Queue()
        client = GmqttClient("gmqtt")
        client.set_auth_credentials("kitchen", "kitchen")
        client.on_subscribe = lambda *_: heard.put_nowait("subscribed")

        async def on_message(_client: Any, _topic: str, payload: bytes, _qos: int, _props: Any) -> int:
            heard.put_nowait(json.loads(payload))
            return 0

        client.on_message = on_message
        await client.connect("127.0.0.1", world.door.port, version=version)
        client.subscribe(ERRORS, qos=1)
        found = [await asyncio.wait_for(heard.get(), WAIT_S)]
        client.publish(TELEMETRY, GOOD, qos=1)
        client.publish(TELEMETRY, BAD, qos=1)
        found.append(await asyncio.wait_for(heard.get(), WAIT_S))
        await client.disconnect()
        return found

    subscribed, answer = asyncio.run(run())
    assert subscribed == "subscribed"
    assert answer["rejects"][0]["field"] == "temperatur"
    assert world.log.values == [21.5]


@pytest.fixture(scope="session")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `mqtt` package of npm, in a folder of this run."""
    if shutil.which("npm") is None:
        missing("npm", "apt-get install npm")
    folder = tmp_path_factory.mktemp("npm")
    done = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", f"mqtt@{MQTT_JS}"],
        cwd=folder, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    if done.returncode:
        missing("the npm package mqtt", f"npm install mqtt@{MQTT_JS}")
    return folder


MQTT_JS_PROGRAM = """
const mqtt = require('mqtt');
const [port, version] = process.argv.slice(2).map(Number);
const client = mqtt.connect({host: '127.0.0.1', port, protocolVersion: version, username: 'kitchen',
  password: 'kitchen', clientId: 'js', clean: true});
const say = (what) => console.log(JSON.stringify(what));
client.on('error', (error) => { say({error: String(error)}); process.exit(1); });
client.on('message', (topic, payload) => { say(JSON.parse(payload)); client.end(() => process.exit(0)); });
client.on('connect', () => client.subscribe('%s', {qos: 1}, (error, granted) => {
  say({granted: granted[0].qos});
  const qos = version === 5 ? 1 : 2;
  client.publish('%s', '%s', {qos}, (error) => {
    say({published: !error});
    client.publish('%s', '%s', {qos: 1});
  });
}));
"""


@pytest.mark.parametrize("version", ["4", "5"])
def test_mqtt_js(world: World, node_modules: Path, version: str) -> None:
    program = node_modules / "client.js"
    program.write_text(MQTT_JS_PROGRAM % (ERRORS, TELEMETRY, GOOD, TELEMETRY, BAD))
    done = subprocess.run(
        ["node", program, str(world.door.port), version],
        cwd=node_modules, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert said[:2] == [{"granted": 1}, {"published": True}], (said, done.stderr)
    assert said[2]["rejects"][0]["field"] == "temperatur"
    assert world.log.values == [21.5]
