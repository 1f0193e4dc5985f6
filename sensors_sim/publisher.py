"""Publishes a city over real MQTT with paho: QoS 1, each device or gateway a client with its last will, or several one.

One thread, one selector, however many clients.  Messages that a broker has not acknowledged wait in the client and go
out again after a reconnect; a queue that is full drops its newest and counts it.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from schemas.errors import ConfigError
from schemas.measures import BY_NAME
from schemas.topics import device_topic
from sensors_sim.city import Message

_KEEPALIVE_S = 60
_IN_FLIGHT = 100
_QUEUED = 5_000
_TEND_S = 0.02
"""What a client could not write at once waits so long."""
_RETRY_S = (0.5, 1.0, 2.0, 4.0, 8.0)
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Broker:
    """Where to publish, and as whom."""

    host: str
    port: int
    username: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str, username: str = "", password: str = "") -> Broker:
        """From `mqtt://[user@]host[:port]`. Raises ConfigError when it is something else."""
        mend = "Write it as mqtt://HOST:PORT, for example mqtt://127.0.0.1:1883."
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"no address of a broker: {error}.", field="--broker", mend=mend) from error
        if parts.scheme != "mqtt" or not parts.hostname:
            raise ConfigError("no address of a broker.", field="--broker", mend=mend)
        return cls(parts.hostname, port or 1883, username or parts.username or "", password)


@dataclass(slots=True)
class Counts:
    """What has become of the messages so far."""

    sent: int = 0
    """Handed to a client."""
    acknowledged: int = 0
    dropped: int = 0
    """Refused by a client whose queue was full."""
    readings: int = 0
    connected: int = 0
    connects: int = 0
    behind_s: float = 0.0
    """How much later than due the last message was handed over, in our seconds."""


def payload(message: Message, start_s: float | None) -> bytes:
    """Telemetry JSON; with `ts` in epoch ms when `start_s`, the epoch time of the scenario's start, is given.

    A back-fill is an array of such objects, and is nothing without their times.
    """
    if message.history:
        return _encode([_object(ts_s, values, start_s) for ts_s, values in message.history])
    return _encode(_object(message.ts_s, message.values, start_s))


def _object(ts_s: float, values: Mapping[str, float], start_s: float | None) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if start_s is not None:
        body["ts"] = round((start_s + ts_s) * 1000)
    for name, value in values.items():
        body[name] = int(value) if BY_NAME[name.partition(".")[0]].flag else value
    return body


class Publisher:
    """Clients of one broker. Not thread-safe; call `poll` often, it does all the work of the sockets."""

    def __init__(
        self, broker: Broker, connections: Sequence[Sequence[tuple[str, str]]], *, clients: int = 0,
        monotonic: Callable[[], float],
    ) -> None:  # fmt: skip
        """connections: devices by the connection they share; the first of each has the last will.

        clients: 0 for one a connection, else so many in all, which share the devices.
        """
        self.counts = Counts()
        self._selector = selectors.DefaultSelector()
        self._monotonic, self._tend_at = monotonic, 0.0
        self._clients: list[_Client] = []
        self._of: dict[tuple[str, str], _Client] = {}
        count = min(clients, len(connections)) or len(connections)
        self._alone = count == len(connections)
        for i in range(count):
            own = [device for connection in connections[i::count] for device in connection]
            client = _Client(broker, own, with_will=self._alone, counts=self.counts, monotonic=monotonic)
            self._clients.append(client)
            self._of.update(dict.fromkeys(own, client))

    def publish(self, message: Message, start_s: float | None) -> None:
        """Hand over one message; it leaves in the next `poll`."""
        client = self._of[message.enterprise, message.device]
        if message.online is not None:
            if self._alone:
                client.come_back() if message.online else client.vanish(self._selector)
            else:
                word = b"online" if message.online else b"offline"
                client.say_status(device_topic(message.enterprise, message.device, "status"), word)
            return
        topic = device_topic(message.enterprise, message.device, "telemetry")
        if client.publish(topic, payload(message, start_s)):
            self.counts.sent += 1
            self.counts.readings += len(message.values) + sum(len(values) for _, values in message.history)
        else:
            self.counts.dropped += 1

    def poll(self, timeout_s: float) -> None:
        """Connect, read and write whatever is due, for at most `timeout_s`."""
        now = self._monotonic()
        if now >= self._tend_at:
            self._tend_at = now + _TEND_S
            for client in self._clients:
                client.tend(self._selector)
        if not self._selector.get_map():
            time.sleep(min(timeout_s, 0.1))
            return
        for key, ready in self._selector.select(timeout_s):
            key.data.serve(ready, self._selector)

    @property
    def waiting(self) -> int:
        """Messages that no broker has acknowledged yet."""
        return self.counts.sent - self.counts.acknowledged

    def close(self) -> None:
        """Say `offline` and disconnect; what is unacknowledged then is lost, see `waiting`."""
        for client in self._clients:
            client.close(self._selector)
        self._selector.close()


class _Client:
    """One paho client, driven from outside."""

    def __init__(
        self,
        broker: Broker,
        devices: Sequence[tuple[str, str]],
        *,
        with_will: bool,
        counts: Counts,
        monotonic: Callable[[], float],
    ) -> None:
        self._broker, self._counts, self._monotonic = broker, counts, monotonic
        self._devices = devices[:1] if with_will else ()
        enterprise, device = devices[0]
        self._mqtt = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"sim-{enterprise}-{device}")
        if broker.username:
            self._mqtt.username_pw_set(broker.username, broker.password or None)
        for will in self._devices:
            self._mqtt.will_set(device_topic(*will, "status"), b"offline", qos=1, retain=True)
        self._mqtt.max_inflight_messages_set(_IN_FLIGHT)
        self._mqtt.max_queued_messages_set(_QUEUED)
        self._mqtt.on_connect = self._on_connect
        self._mqtt.on_publish = self._on_publish
        self._status_mids: set[int] = set()
        self._registered: Any = None
        self._connected = False
        self._tries = 0
        self._retry_at = 0.0
        self._vanished = False
        self._wanted = 0

    def vanish(self, selector: selectors.BaseSelector) -> None:
        """Break the connection off, as a device without power does: the broker sends its last will."""
        self._vanished = True
        if self._registered is not None:
            self._registered.shutdown(socket.SHUT_RDWR)
            self._mqtt.loop_read()
            self._gone(selector)

    def come_back(self) -> None:
        self._vanished = False
        self._tries, self._retry_at = 0, 0.0

    def say_status(self, topic: str, word: bytes) -> None:
        self._status_mids.add(self._mqtt.publish(topic, word, qos=1, retain=True).mid)

    def publish(self, topic: str, body: bytes) -> bool:
        return self._mqtt.publish(topic, body, qos=1).rc in (
            MQTTErrorCode.MQTT_ERR_SUCCESS,
            MQTTErrorCode.MQTT_ERR_NO_CONN,
        )

    def tend(self, selector: selectors.BaseSelector) -> None:
        now = self._monotonic()
        if self._registered is None:
            if self._vanished or now < self._retry_at:
                return
            self._retry_at = now + _RETRY_S[min(self._tries, len(_RETRY_S) - 1)]
            self._tries += 1
            try:
                self._mqtt.connect(self._broker.host, self._broker.port, _KEEPALIVE_S)
            except OSError:
                return
            self._registered = self._mqtt.socket()
            self._wanted = selectors.EVENT_READ
            selector.register(self._registered, self._wanted, self)
        elif self._mqtt.loop_misc() != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._gone(selector)
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._mqtt.want_write() else 0)
        if wanted != self._wanted:
            selector.modify(self._registered, wanted, self)
            self._wanted = wanted

    def serve(self, ready: int, selector: selectors.BaseSelector) -> None:
        fine = MQTTErrorCode.MQTT_ERR_SUCCESS
        result = self._mqtt.loop_read() if ready & selectors.EVENT_READ else fine
        if result == fine and ready & selectors.EVENT_WRITE:
            result = self._mqtt.loop_write()
        if result != fine:
            self._gone(selector)

    def close(self, selector: selectors.BaseSelector) -> None:
        if self._registered is None:
            return
        for device in self._devices:
            self._mqtt.publish(device_topic(*device, "status"), b"offline", qos=1, retain=True)
        self._mqtt.disconnect()
        while self._mqtt.want_write() and self._mqtt.loop_write() == MQTTErrorCode.MQTT_ERR_SUCCESS:
            pass
        self._gone(selector)

    def _gone(self, selector: selectors.BaseSelector) -> None:
        selector.unregister(self._registered)
        self._registered = None
        self._counts.connected -= self._connected
        self._connected = False

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            return
        self._tries = 0
        self._connected = True
        self._counts.connected += 1
        self._counts.connects += 1
        for device in self._devices:
            self.say_status(device_topic(*device, "status"), b"online")

    def _on_publish(self, _client: Any, _data: Any, mid: int, _reason: Any, _properties: Any) -> None:
        if mid in self._status_mids:
            self._status_mids.discard(mid)
        else:
            self._counts.acknowledged += 1


def drive(
    publisher: Publisher,
    messages: Iterable[Message],
    *,
    speed: float,
    with_ts: bool,
    now: Callable[[], float],
    monotonic: Callable[[], float],
    seen: Callable[[], bool],
) -> None:
    """Publish `messages` at their times, `speed` times as fast as life, until they end or `seen` returns False.

    now: epoch seconds; `ts` counts from it and runs with the speed.  seen is called about ten times a second.
    """
    start_s, began = now(), monotonic()
    look_at = began
    for message in messages:
        due = began + message.at_s / speed
        while True:
            at = monotonic()
            if at >= look_at:
                look_at = at + 0.1
                if not seen():
                    return
            if at >= due:
                break
            publisher.poll(min(due, look_at) - at)
        publisher.counts.behind_s = at - due
        publisher.publish(message, start_s if with_ts else None)
        publisher.poll(0.0)
