"""A link that is cut and a log that is away: each message is in the log once, with or without a time of its own."""

from __future__ import annotations

import pytest

from ingest.bridge.limits import Cause, Dropped
from schemas import mqtt
from tests.balancer import Balancer
from tests.bridge_world import bridge_world, device
from tests.door_world import Client
from tests.waiting import until
from tocsin.local.mosquitto import Mosquitto

pytestmark = pytest.mark.integration

CUTS = 3
EACH = 500


def publish(client: Client, numbers: range) -> None:
    """Readings without a time; returns when the broker has them."""
    for number in numbers:
        client.publish(b'{"value":%d}' % number)
    for _ in numbers:
        client.frame()


@pytest.mark.parametrize("version", [mqtt.V311, mqtt.V5])
def test_a_link_that_is_cut_loses_and_doubles_nothing(mosquitto: Mosquitto, version: int) -> None:
    """The broker sends again what it has no PUBACK of; what of that is in the log is known by its packet id."""
    with Balancer([mosquitto.port]) as link:
        told = {"group": "", "version": version}
        with bridge_world(f"mqtt://127.0.0.1:{link.port}", settings=told) as world, device(mosquitto.port) as kitchen:
            world.wait_until_connected()
            for cut in range(CUTS):
                world.log.gate.clear()
                tried = world.log.tries
                publish(kitchen, range(cut * EACH, cut * EACH + EACH // 2))
                # In the midst of a commit: its PUBACKs meet a dead link.
                until(lambda tried=tried: world.log.tries > tried, "a commit is at work")
                link.cut()
                world.log.gate.set()
                publish(kitchen, range(cut * EACH + EACH // 2, (cut + 1) * EACH))
                world.log.wait_for(lambda cut=cut: len(set(world.log.values)) == (cut + 1) * EACH)
            until(lambda: world.bridge.counts.closed[Cause.CUT] >= CUTS, "it was cut so often")
            assert world.bridge.counts.forgotten == 0
            assert sorted(world.log.values) == list(range(CUTS * EACH))
            assert world.bridge.counts.dropped[Dropped.REPEATED] > 0


def test_while_the_log_is_away_the_broker_keeps_what_comes(mosquitto: Mosquitto) -> None:
    """Nothing is acknowledged, memory does not grow, and a person is told."""
    with bridge_world(mosquitto.url, settings={"group": ""}) as world, device(mosquitto.port) as kitchen:
        world.wait_until_connected()
        world.log.away = True
        publish(kitchen, range(EACH))
        until(lambda: "log is away" in world.bridge.trouble(), "it says so")
        assert world.bridge.counts.acknowledged == 0
        world.log.away = False
        world.log.wait_for(lambda: len(world.log.values) >= EACH)
        until(lambda: not world.bridge.trouble(), "it is well again")
        assert world.log.values == list(range(EACH))


def test_a_stop_while_the_log_is_away_leaves_everything_with_the_broker(mosquitto: Mosquitto) -> None:
    """An upgrade does not wait for Kafka."""
    with bridge_world(mosquitto.url, settings={"group": ""}) as world, device(mosquitto.port) as kitchen:
        world.wait_until_connected()
        world.log.away = True
        publish(kitchen, range(EACH))
        until(lambda: "log is away" in world.bridge.trouble(), "it says so")
        world.end()
        world.log.away = False
        world.start()
        world.log.wait_for(lambda: len(world.log.values) >= EACH)
        assert world.log.values == list(range(EACH))
