"""Doors of a cluster under load, killed, and their Kafka killed: what was acknowledged is in the log, and no more.

Every message says its time, so that it is known however often it stands there.
"""

from __future__ import annotations

import itertools
import os
import random
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from schemas import mqtt
from schemas.errors import ConfigError, ServiceAway
from schemas.identity import SensorKey, id_of
from schemas.kafka import ALARMS, ALARMS_STATE, QUARANTINE, log_topic
from schemas.mqtt import Ack, Connack, Connect, Publish, Type
from schemas.readings import ReadingBatch
from schemas.topics import device_topic
from streams.log.kafka import KafkaLog
from streams.log.kafka_reader import KafkaPartitionsReader
from streams.log.kafka_topics import ends_of
from tests.chaos.feeder import Client, Feeder, Message, Story, now_us
from tests.door_world import Client as ByHand
from tests.waiting import until
from tocsin.bench.processes import rss_bytes
from tocsin.local.cluster import LocalCluster, Member, Plan

pytestmark = [pytest.mark.integration, pytest.mark.chaos, pytest.mark.kafka]

CLIENTS = 30
PARTITIONS = 4
DOORS = ("door-1", "door-2")
SEED = 20_261_125
PATIENCE_S = 180.0
MOST_GROWTH_BYTES = 64 << 20
ALARMS_TOPIC = "tocsin/v1/shop-1/alarms"
STATE_TOPIC = "tocsin/v1/shop-1/alarms/state"

Reading = tuple[int, int, float]
"""Sensor, event time in µs, value."""


class House:
    """A cluster of doors only, and everything that was ever said to it."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.cluster = cluster
        self.messages: list[Message] = []

    @property
    def servers(self) -> str:
        return self.cluster.kafka.servers

    def open_ports(self) -> list[int]:
        """Of the doors that have said theirs."""
        found = []
        for name in DOORS:
            try:
                found.append(self.cluster.members[name].running.mqtt_port)
            except ServiceAway:
                continue
        return found

    def feeder(self, name: str) -> Feeder:
        """A load that is spread over the doors at random; a client that is cut comes back at either."""
        chance = random.Random(f"{name} {SEED}")
        feeder = Feeder(lambda: chance.choice(self.open_ports() or [0]), SEED)
        for number in range(CLIENTS):
            feeder.add(f"{name}-{number}", _speaker(name, number))
        return feeder

    def by_hand(self, door: str, client_id: str) -> ByHand:
        client = ByHand(self.cluster.members[door].running.mqtt_port, mqtt.V311)
        client.connect(client_id)
        return client

    def restart(self, door: str) -> None:
        """As a supervisor would."""
        member = self.cluster.members[door]
        member.launch()
        member.wait_until_ready(PATIENCE_S)

    def readings(self) -> Counter[Reading]:
        """Every reading that the log holds by now."""
        topic = log_topic(PARTITIONS)
        ends = {partition: end.last for partition, end in ends_of(self.servers, topic, range(PARTITIONS)).items()}
        reader = KafkaPartitionsReader(self.servers, topic, range(PARTITIONS))
        places, found = dict.fromkeys(range(PARTITIONS), 0), Counter[Reading]()
        while any(places[partition] < end for partition, end in ends.items()):
            for entry in reader.read(places, 500):
                places[entry.partition] = entry.number
                batch = entry.payload
                if isinstance(batch, ReadingBatch):
                    columns = batch.sensor_id, batch.event_time, batch.value
                    found.update(zip(*(column.tolist() for column in columns), strict=True))
        reader.close()
        return found

    def judge(self) -> None:
        """Every acknowledged message is in the log, and nothing that nobody sent; nothing was refused."""
        stands = self.readings()
        sent = {_reading_of(message): message for message in self.messages if message.sent_us}
        acknowledged = {reading for reading, message in sent.items() if message.acked_us}
        doubled = sum(count - 1 for count in stands.values())
        print(
            f"\n{len(sent)} messages sent, {len(acknowledged)} acknowledged, {len(stands)} in the log, "
            f"{doubled} doubled, {sum(message.resends > 0 for message in self.messages)} sent again"
        )
        assert len(acknowledged) == len(sent) > 0
        assert acknowledged - stands.keys() == set()
        assert stands.keys() - sent.keys() == set()
        assert ends_of(self.servers, QUARANTINE, [0])[0].last == 0


def _speaker(name: str, number: int) -> Story:
    chance = random.Random(f"{name} {number} {SEED}")

    async def speak(feeder: Feeder, client: Client) -> None:
        first_ms = now_us() // 1000
        for serial in itertools.count():
            feeder.send(client, f"{name}-{number % 8}", f"d{number}", {"temperature": serial % 90}, first_ms + serial)
            if await feeder.pause(chance.uniform(0.0, 0.06)):
                return

    return speak


def _reading_of(message: Message) -> Reading:
    assert message.ts_ms is not None
    ((measure, value),) = message.values.items()
    key = SensorKey(message.enterprise, message.device, measure)
    return id_of(str(key)), message.ts_ms * 1000, float(value)


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    plan = Plan(doors=len(DOORS), bridges=0, workers=0, desks=0, consoles=0, partitions=PARTITIONS)
    with tempfile.TemporaryDirectory(prefix="tocsin-doors-") as folder:
        cluster = LocalCluster(Path(folder), plan)
        try:
            try:
                cluster.start()
            except ConfigError as error:
                say = pytest.fail if os.environ.get("TOCSIN_REQUIRE") == "all" else pytest.skip
                say(str(error))
            yield House(cluster)
        finally:
            cluster.stop()


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.long)])
def test_killed_doors_lose_nothing(house: House, kills: int) -> None:
    """Their clients come back at the other door with their sessions, and send again what was not acknowledged."""
    chance = random.Random(SEED)
    feeder = house.feeder(f"killed-{kills}")
    feeder.start()
    try:
        until(lambda: all(client.is_ready for client in feeder.clients), "all clients are connected", PATIENCE_S)
        for _ in range(kills):
            threading.Event().wait(chance.uniform(0.1, 1.0))
            door = chance.choice(DOORS)
            house.cluster.members[door].kill()
            house.restart(door)
            until(lambda: all(client.is_ready for client in feeder.clients), "all clients are back", PATIENCE_S)
        feeder.finish(PATIENCE_S)
    finally:
        feeder.stop()
    house.messages += feeder.messages
    assert sum(client.connects for client in feeder.clients) > CLIENTS
    house.judge()


def test_alarms_reach_the_subscribers_of_either_door(house: House) -> None:
    """Also of one that was killed; it knows the open ones again, and repeats no event."""
    with KafkaLog(house.servers, "none", 1, patience_s=PATIENCE_S) as log:
        log.produce(ALARMS_STATE, STATE_TOPIC.encode(), b'{"alarms": ["open"]}')
        ears = {door: _ear(house, door) for door in DOORS}
        log.produce(ALARMS, ALARMS_TOPIC.encode(), b"first")
        assert [_next_on(ear, ALARMS_TOPIC).payload for ear in ears.values()] == [b"first"] * 2
        house.cluster.members[DOORS[0]].kill()
        ears[DOORS[0]].close()
        house.restart(DOORS[0])
        ears[DOORS[0]] = _ear(house, DOORS[0])
        log.produce(ALARMS, ALARMS_TOPIC.encode(), b"second")
        assert [_next_on(ear, ALARMS_TOPIC).payload for ear in ears.values()] == [b"second"] * 2
    for ear in ears.values():
        ear.close()


def _ear(house: House, door: str) -> ByHand:
    """A subscriber, once it has heard which alarms are open: from then on its door misses nothing."""
    ear = house.by_hand(door, f"ear-{door}")
    ear.subscribe(ALARMS_TOPIC, STATE_TOPIC)
    assert _next_on(ear, STATE_TOPIC).payload == b'{"alarms": ["open"]}'
    return ear


def _next_on(client: ByHand, topic: str) -> Publish:
    while True:
        heard: Publish = client.expect(Publish)
        client.send(Ack(Type.PUBACK, heard.packet_id))
        if heard.topic == topic:
            return heard


def test_a_killed_kafka_stops_the_reading_and_loses_nothing(house: House) -> None:
    """The doors say so, let nobody in and hold one round in memory: what more is sent waits with its sender."""
    feeder = house.feeder("away")
    feeder.start()
    doors = [house.cluster.members[name] for name in DOORS]
    flood = Flood(house.by_hand(DOORS[0], "flood"))
    try:
        until(lambda: all(client.is_ready for client in feeder.clients), "all clients are connected", PATIENCE_S)
        before = [rss_bytes(door.pid) for door in doors]
        house.cluster.kafka.kill()
        until(lambda: all("the log is away" in _trouble(door) for door in doors), "both doors say so", PATIENCE_S)
        received = _received_bytes(doors[0])
        flood.send_what_goes()
        assert _received_bytes(doors[0]) == received
        refused = ByHand(doors[0].running.mqtt_port, mqtt.V311)
        refused.send(Connect("guest", mqtt.V311))
        assert refused.read() == Connack(False, 3)
        refused.close()
        growth = [rss_bytes(door.pid) - at_first for door, at_first in zip(doors, before, strict=True)]
        print(f"\nthe doors have grown by {', '.join(f'{size >> 20} MB' for size in growth)}")
        assert max(growth) < MOST_GROWTH_BYTES
        house.cluster.kafka.start()
        flood.finish()
        for door in doors:
            door.wait_until_ready(PATIENCE_S)
        feeder.finish(PATIENCE_S)
    finally:
        feeder.stop()
        flood.client.close()
    house.messages += feeder.messages + flood.messages
    house.judge()


class Flood:
    """A device that sends without waiting for an answer; its messages are large."""

    def __init__(self, client: ByHand) -> None:
        self.client = client
        self.messages: list[Message] = []
        self._rest = b""

    def send_what_goes(self) -> None:
        """Until the way is full."""
        self.client.socket.settimeout(1.0)
        with pytest.raises(TimeoutError):
            while True:
                self._rest = self._rest or self._next()
                self._rest = self._rest[self.client.socket.send(self._rest) :]

    def finish(self) -> None:
        """Send what was begun, and hear that all of it is taken."""
        self.client.socket.settimeout(PATIENCE_S)
        self.client.socket.sendall(self._rest)
        for packet_id, message in enumerate(self.messages, 1):
            assert self.client.read() == Ack(Type.PUBACK, packet_id)
            message.acked_us = now_us()

    def _next(self) -> bytes:
        first_ms = self.messages[0].ts_ms if self.messages else now_us() // 1000
        assert first_ms is not None
        message = Message("flood", "d", {"temperature": 21.5}, first_ms + len(self.messages), sent_us=now_us())
        self.messages.append(message)
        body = b'{"ts": %d, "temperature": 21.5}' % message.ts_ms
        topic = device_topic(message.enterprise, message.device, "telemetry")
        packet = Publish(topic, body.ljust(8192), 1, packet_id=len(self.messages))
        return mqtt.encode(packet, mqtt.V311)


def _trouble(door: Member) -> str:
    return httpx.get(f"http://127.0.0.1:{door.running.http_port}/readyz", timeout=PATIENCE_S).text


def _received_bytes(door: Member) -> float:
    text = httpx.get(f"http://127.0.0.1:{door.running.http_port}/metrics", timeout=PATIENCE_S).text
    (line,) = [line for line in text.splitlines() if line.startswith("tocsin_door_received_bytes_total ")]
    return float(line.split()[1])
