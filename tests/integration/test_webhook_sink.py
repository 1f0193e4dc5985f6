"""The webhook's far end of benches and chaos: what it answered is in its file."""

from __future__ import annotations

import time
from pathlib import Path

import httpx

from sensors_sim import webhook_sink


def test_every_answered_message_is_in_the_file_with_its_time(tmp_path: Path) -> None:
    sink = webhook_sink.start(tmp_path / "arrivals.jsonl")
    try:
        before = time.time_ns() // 1000
        with httpx.Client(trust_env=False) as client:
            for number in range(3):
                answer = client.post(sink.url, json={"number": number, "text": "fire\nin the kitchen"})
                assert answer.status_code == 204
                assert len(sink.arrivals()) == number + 1
        arrivals = sink.arrivals()
    finally:
        sink.stop()
    assert [bytes(a.body) for a in arrivals] == [
        b'{"number":%d,"text":"fire\\nin the kitchen"}' % number for number in range(3)
    ]
    assert before <= arrivals[0].at_us <= arrivals[2].at_us <= time.time_ns() // 1000
