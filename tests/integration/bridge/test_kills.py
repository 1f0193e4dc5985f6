"""A bridge that is killed under load: whatever a broker has acknowledged to a device is in the log afterwards."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bridge_world import device
from tests.door_world import Client
from tests.moquette import Moquette
from tests.waiting import until
from tocsin.local.mosquitto import Mosquitto

pytestmark = pytest.mark.integration

KILLS = 3
EACH = 1_000
"""Messages between two kills."""
BURST = 50
_PATIENCE_S = 120.0


class Readings:
    """What stands in the file of a bridge's process."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def counted(self) -> Counter[int]:
        text = self.file.read_text() if self.file.exists() else ""
        return Counter(map(int, text.split()))

    def has(self, count: int) -> bool:
        return len(self.counted()) >= count


@contextmanager
def bridging(url: str, file: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-m", "tests.bridge_process", url, "victim", str(file)])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def feed(client: Client, first: int, count: int) -> None:
    """Messages of values of their own; returns when the broker has acknowledged all."""
    for start in range(first, first + count, BURST):
        for value in range(start, start + BURST):
            client.publish(b'{"ts":%d,"value":%d}' % (1_790_000_000_000 + value, value))
        for _ in range(BURST):
            assert client.frame(), "the broker has closed"


def kill_again_and_again(broker: Mosquitto | Moquette, readings: Readings) -> None:
    with bridging(broker.url, readings.file), device(broker.port, "feeder") as feeder:
        # What comes before the subscription is nobody's.
        value = 0

        def arrives() -> bool:
            nonlocal value
            feed(feeder, value, BURST)
            value += BURST
            return bool(readings.counted())

        until(arrives, "the first reading is in the log", _PATIENCE_S)
    first = min(readings.counted())
    with device(broker.port, "feeder") as feeder:
        for _ in range(KILLS):
            with bridging(broker.url, readings.file) as process:
                feeding = threading.Thread(target=feed, args=(feeder, value, EACH))
                feeding.start()
                seen = len(readings.counted())
                until(lambda seen=seen: readings.has(seen + EACH // 4), "it is in the midst", _PATIENCE_S)
                process.kill()
                feeding.join()
                value += EACH
    with bridging(broker.url, readings.file):
        until(lambda: readings.has(value - first), "all is in the log", _PATIENCE_S)
    assert set(readings.counted()) == set(range(first, value))


def test_nothing_is_lost_at_mosquitto(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """MQTT 5; what was in the log and not acknowledged comes again, and is known by its `ts`."""
    kill_again_and_again(mosquitto, Readings(tmp_path / "readings"))


def test_nothing_is_lost_at_moquette(moquette: Moquette, tmp_path: Path) -> None:
    """MQTT 3.1.1, and another's idea of a session."""
    kill_again_and_again(moquette, Readings(tmp_path / "readings"))
