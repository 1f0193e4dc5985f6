"""Clients that others have written, by way of a balancer that gives each connection to the next of two doors."""

from __future__ import annotations

import asyncio
import json
import queue
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as paho
import pytest
from gmqtt import Client as GmqttClient
from gmqtt.mqtt.constants import MQTTv50, MQTTv311
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.balancer import Balancer
from tests.door_world import ERRORS, STATUS, TELEMETRY
from tests.doors_world import OneDoor, several_doors

pytestmark = pytest.mark.integration

GOOD, BAD = '{"temperature": 21.5}', '{"temperatur": 21.5}'
PATIENCE_S = 60


@pytest.fixture
def house(dsn: str) -> Iterator[tuple[Balancer, OneDoor, OneDoor]]:
    with several_doors(dsn) as doors:
        a, b = doors.open("a"), doors.open("b")
        with Balancer([a.door.port, b.door.port]) as balancer:
            yield balancer, a, b


@pytest.mark.parametrize("protocol", [paho.MQTTv311, paho.MQTTv5])
def test_paho_keeps_its_session_over_cuts(house: tuple[Balancer, OneDoor, OneDoor], protocol: int) -> None:
    """Each cut brings it to the other door, which knows what it has subscribed to."""
    balancer, a, b = house
    five = protocol == paho.MQTTv5
    clean: dict[str, Any] = {} if five else {"clean_session": False}
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="paho", protocol=protocol, **clean)
    client.reconnect_delay_set(0.05, 0.1)
    heard: queue.Queue[Any] = queue.Queue()
    client.on_connect = lambda _c, _u, flags, _r, _p: heard.put(("connected", flags.session_present))
    client.on_subscribe = lambda *_: heard.put("subscribed")
    client.on_message = lambda _c, _u, message: heard.put(json.loads(message.payload)["rejects"][0]["field"])
    client.will_set(STATUS, "offline", 1, True)
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = 3600
    more: dict[str, Any] = {"clean_start": False, "properties": properties} if five else {}
    client.connect("127.0.0.1", balancer.port, **more)
    client.loop_start()
    try:
        assert heard.get(timeout=PATIENCE_S) == ("connected", False)
        client.subscribe(ERRORS, 1)
        assert heard.get(timeout=PATIENCE_S) == "subscribed"
        for _ in range(4):
            a.clock.now_s += 0.1
            balancer.cut()
            # An answer that it had not acknowledged before the cut comes again.
            while (said := heard.get(timeout=PATIENCE_S)) == "temperatur":
                pass
            assert said == ("connected", True)
            for payload in (GOOD, BAD):
                client.publish(TELEMETRY, payload, 1).wait_for_publish(PATIENCE_S)
            assert heard.get(timeout=PATIENCE_S) == "temperatur"
    finally:
        client.disconnect()
        client.loop_stop()
    readings = [value for value in a.log.values + b.log.values if value == 21.5]
    assert len(readings) == 4
    assert a.log.values.count(21.5) == b.log.values.count(21.5) == 2
    assert a.shared.counts.forced + b.shared.counts.forced == 0


@pytest.mark.parametrize("version", [MQTTv311, MQTTv50])
def test_gmqtt_publishes_through_both(house: tuple[Balancer, OneDoor, OneDoor], version: int) -> None:
    balancer, a, b = house

    async def run() -> list[Any]:
        found: list[Any] = []
        for turn in range(4):
            heard: asyncio.Queue[Any] = asyncio.Queue()
            client = GmqttClient("gmqtt", clean_session=turn % 2 == 0)
            client.on_subscribe = lambda *_, heard=heard: heard.put_nowait("subscribed")

            async def on_message(
                _client: Any, _topic: str, payload: bytes, _qos: int, _props: Any, heard: Any = heard
            ) -> int:
                heard.put_nowait(json.loads(payload)["rejects"][0]["field"])
                return 0

            client.on_message = on_message
            await client.connect("127.0.0.1", balancer.port, version=version)
            client.subscribe(ERRORS, qos=1)
            found.append(await asyncio.wait_for(heard.get(), PATIENCE_S))
            client.publish(TELEMETRY, GOOD, qos=1)
            client.publish(TELEMETRY, BAD, qos=1)
            found.append(await asyncio.wait_for(heard.get(), PATIENCE_S))
            await client.disconnect()
            a.clock.now_s += 0.1
        return found

    assert asyncio.run(run()) == ["subscribed", "temperatur"] * 4
    assert a.log.values == b.log.values == [21.5, 21.5]
