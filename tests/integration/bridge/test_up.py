"""`tocsin up --broker`: a bridge beside the door, in one process."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.store.edge import session
from streams.store.queries import status
from tests.bridge_world import device
from tests.waiting import until
from tocsin.bench.service import tocsin_up
from tocsin.local.mosquitto import Mosquitto
from tocsin.settings import connect_dsn

pytestmark = pytest.mark.integration

EACH = 50


def test_the_door_and_a_broker_feed_one_log(mosquitto: Mosquitto, home: Path) -> None:
    """Who has a broker keeps it, and devices may move to the door one by one."""
    data = home / "data"
    with tocsin_up(data, environment={"TOCSIN_BROKER": mosquitto.url}) as service:
        for port, shop in ((mosquitto.port, "far"), (service.running.mqtt_port, "near")):
            with device(port) as kitchen:
                for number in range(EACH):
                    topic = f"tocsin/v1/{shop}/kitchen/telemetry"
                    kitchen.publish(b'{"ts":%d,"temperature":20}' % (1_790_000_000_000 + number), topic)
                for _ in range(EACH):
                    kitchen.frame()
        with session(connect_dsn(data), "tocsin-test") as connection:
            until(lambda: status(connection).stored == 2 * EACH, "what both took is in the store")
