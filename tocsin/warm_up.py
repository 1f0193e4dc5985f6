"""Loads or compiles every kernel before the first reading comes, by sending one message through the pure path.

With a warm cache it takes a fraction of a second; with an empty one it compiles, and says so.
"""

from __future__ import annotations

import json

import numpy as np

from ingest.door.warm_up import compile_kernels as compile_door
from ingest.intake import JsonIntake
from ingest.ports import MessageBatch
from schemas.entries import Entry, Payload, Tick
from schemas.topics import device_topic
from streams.engine import Engine
from streams.engine import compile_kernels as compile_engine
from streams.packs import load_pack

_NOW_US = 1_790_000_000_000_000


def warm_up() -> None:
    """Run intake and engine over two small rounds, so that every signature that the hot path uses is there."""
    compile_door()
    compile_engine()
    engine = Engine(load_pack(), capacity=4096)
    intake = JsonIntake()
    for turn in range(2):
        admitted = intake.take(_messages(turn))
        intake.committed()
        payloads: list[Payload] = [admitted.sensors, admitted.readings, Tick(_NOW_US + turn)]
        for number, payload in enumerate(payloads, 1):
            engine.apply(Entry(number, payload))
    engine.snapshot(1)


def _messages(turn: int) -> MessageBatch:
    """One telemetry message, as the door hands it over."""
    topic = device_topic("tocsin", "warm-up", "telemetry").encode()
    payload = json.dumps({"ts": _NOW_US // 1000 + turn, "temperature": 20.5, "smoke": 0.1}).encode()
    buffer = np.frombuffer(bytearray(topic + payload), np.uint8)
    ends = np.array([len(topic), len(topic) + len(payload)], np.int64)
    return MessageBatch(
        buffer=buffer,
        topic_start=np.zeros(1, np.int64),
        topic_end=ends[:1].copy(),
        payload_start=ends[:1].copy(),
        payload_end=ends[1:].copy(),
        topic_id=np.zeros(1, np.int32),
        arrival_us=np.array([_NOW_US + turn], np.int64),
        client=np.zeros(1, np.int32),
    )
