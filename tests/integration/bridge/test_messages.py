"""What devices publish at Mosquitto, and what of it stands in the log and in quarantine."""

from __future__ import annotations

import pytest

from ingest.bridge.limits import Dropped
from schemas import mqtt
from schemas.entries import Sensors
from schemas.mqtt import Ack, Publish, Type
from tests.bridge_world import BridgeWorld, bridge_world, device
from tests.door_world import ERRORS, STATUS, TELEMETRY
from tests.waiting import until
from tocsin.local.mosquitto import Mosquitto

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("version", [mqtt.V311, mqtt.V5])
def test_every_message_is_in_the_log_once_and_acknowledged(mosquitto: Mosquitto, version: int) -> None:
    """By the bulk path, far more than one round holds, in order."""
    with bridge_world(mosquitto.url, settings={"group": "", "version": version, "round_messages": 100}) as world:
        world.wait_until_connected()
        with device(mosquitto.port) as kitchen:
            for number in range(2_000):
                kitchen.publish(b'{"ts":%d,"temperature":%d}' % (1_790_000_000_000 + number, number % 50))
            world.log.wait_for(lambda: len(world.log.values) >= 2_000)
        until(lambda: world.bridge.counts.acknowledged == 2_000, "all are acknowledged")
        assert world.log.values == [number % 50 for number in range(2_000)]


def test_a_refused_message_is_kept_and_its_device_is_told(world: BridgeWorld, mosquitto: Mosquitto) -> None:
    """A device behind a broker learns what is wrong as one at the door does."""
    with device(mosquitto.port) as kitchen:
        kitchen.subscribe(ERRORS)
        kitchen.publish(b"no JSON", qos=0)
        answer = kitchen.expect(Publish)
    assert answer.topic == ERRORS and b"not_json" in answer.payload
    (kept,) = world.log.quarantined
    assert (kept.topic, kept.payload, kept.source) == (TELEMETRY, b"no JSON", "bridge/b1")


def test_of_a_message_over_the_limit_the_head_is_kept(world: BridgeWorld, mosquitto: Mosquitto) -> None:
    """Not acknowledged it would come for ever; what follows it is read."""
    with device(mosquitto.port) as kitchen:
        kitchen.publish(b"x" * 300_000)
        kitchen.publish(b'{"temperature":20}')
        world.log.wait_for(lambda: world.log.values == [20.0])
    (kept,) = world.log.quarantined
    assert kept.payload == b"x" * 4_096 and kept.rejects[0].code == "too_large"
    until(lambda: world.bridge.counts.acknowledged == 2, "both are acknowledged")


def test_a_status_that_is_retained_is_known_from_the_first_moment(mosquitto: Mosquitto) -> None:
    """A device that went offline before the bridge came is offline."""
    with device(mosquitto.port) as kitchen:
        kitchen.publish(b"offline", STATUS, retain=True)
        kitchen.publish(b'{"temperature":20}', retain=True)
        kitchen.frame()
    with bridge_world(mosquitto.url, settings={"group": "", "version": mqtt.V311}) as world:
        world.log.wait_for(lambda: world.log.values == [0.0])
        until(lambda: world.bridge.counts.dropped[Dropped.RETAINED] == 1, "what is retained of telemetry is dropped")


def test_a_status_that_is_known_is_not_said_again_at_every_connection(mosquitto: Mosquitto) -> None:
    """By 3.1.1 a broker sends what is retained with each SUBSCRIBE; a silent device would seem to have spoken."""
    with bridge_world(mosquitto.url, settings={"group": "", "version": mqtt.V311}) as world:
        world.wait_until_connected()
        with device(mosquitto.port) as kitchen:
            kitchen.publish(b"online", STATUS, retain=True)
            world.log.wait_for(lambda: world.log.values == [1.0])
            mosquitto.stop()
        mosquitto.start()
        until(lambda: world.bridge.counts.dropped[Dropped.REPEATED] == 1, "the retained status came again")
        assert world.log.values == [1.0]


def test_what_nobody_asked_for_is_acknowledged_and_dropped(mosquitto: Mosquitto) -> None:
    """A session may have subscriptions from before; their messages would be in its way for ever."""
    with device(mosquitto.port, "tocsin-b1", clean=False) as before:
        before.subscribe("tocsin/v1/+/+/command", "elsewhere", qos=2)
    with bridge_world(mosquitto.url, settings={"group": ""}) as world, device(mosquitto.port) as kitchen:
        world.wait_until_connected()
        kitchen.publish(b"open", "tocsin/v1/shop-1/kitchen/command")
        kitchen.publish(b"1", "elsewhere", qos=2)
        kitchen.send(Ack(Type.PUBREL, 2))
        kitchen.publish(b"", STATUS, retain=True)
        kitchen.publish(b'{"temperature":20}')
        world.log.wait_for(lambda: world.log.values == [20.0])
        until(lambda: world.bridge.counts.dropped[Dropped.FOREIGN] == 2, "both are dropped")
        assert world.bridge.counts.dropped[Dropped.EMPTY_STATUS] == 1


def test_devices_that_speak_for_the_first_time_all_at_once(world: BridgeWorld, mosquitto: Mosquitto) -> None:
    """After a power cut in a district: many new topics, each several times, in few rounds."""
    with device(mosquitto.port) as gateway:
        for number in range(900):
            gateway.publish(b'{"value":%d}' % number, f"tocsin/v1/shop-{number % 300}/kitchen/telemetry")
        world.log.wait_for(lambda: len(world.log.values) >= 900)
    assert world.log.values == list(range(900))
    declared = {
        sensor.enterprise for one in world.log.payloads if isinstance(one, Sensors) for sensor in one.sensors
    }  # fmt: skip
    assert len(declared) == 300
