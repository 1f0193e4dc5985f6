"""A snapshot that is copied while judging goes on holds the memory of the moment it was taken, and nothing of later."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from schemas.alarms import AlarmEvent
from schemas.entries import Entry, Payload, Sensor, Sensors
from schemas.readings import ReadingBatch
from scoring.layout import NONE, SENSOR
from streams.engine import Engine
from streams.packs import load_pack
from streams.ports import Chunk, Snapshot
from tests.engine_logs import TIGHT, logs, numbered, pointed, read_pack

SETTINGS = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking a log takes minutes and says little
)
START_US = 1_790_000_000_000_000


def engine() -> Engine:
    return Engine(TIGHT, partition=3, read_pack=read_pack, capacity=4096)


def bodies(chunks: Any) -> dict[tuple[str, int], bytes]:
    """What restoring reads of chunks: a row's watch and plan are worked out anew."""
    read = {}
    for chunk in chunks:
        body = bytes(chunk.body)
        if chunk.name == "sensors":
            rows = np.frombuffer(body, SENSOR).copy()
            rows["watch"], rows["plan"] = NONE, NONE
            body = rows.tobytes()
        read[chunk.name, chunk.index] = body
    return read


@given(logs(), st.data())
@settings(SETTINGS, max_examples=80)
def test_what_is_copied_late_is_what_was_copied_at_once(payloads: list[Payload], data: st.DataObject) -> None:
    """However many entries are judged before a chunk is asked for, and however often it is; packs and facts, too."""
    entries = numbered(payloads)
    judged = engine()
    events: list[Any] = []
    said: list[list[Any]] = []
    kept: dict[tuple[str, int], Chunk] = {}
    at_once: dict[tuple[str, int], bytes] = {}
    snapshot, cut = Snapshot(0, []), 0
    for number, entry in enumerate(entries):
        if data.draw(st.integers(0, 3)) == 0:
            cut, snapshot = number, judged.snapshot(number)
            at_once = bodies(snapshot.chunks)
            kept |= {(chunk.name, chunk.index): chunk for chunk in snapshot.chunks}
        verdict = judged.apply(pointed(entry, events))
        events += verdict.events
        said.append([*verdict.events, *verdict.answers])
        if cut and data.draw(st.booleans()):
            assert bodies(snapshot.chunks) == at_once
            kept |= {(chunk.name, chunk.index): chunk for chunk in snapshot.chunks}
            if data.draw(st.booleans()):
                snapshot.release()
                snapshot, at_once = Snapshot(0, []), {}
    if cut == 0:
        return
    restored, told = engine(), [event for step in said[:cut] for event in step if isinstance(event, AlarmEvent)]
    restored.restore(Snapshot(cut, list(kept.values())))
    for entry, want in zip(entries[cut:], said[cut:], strict=True):
        verdict = restored.apply(pointed(entry, told))
        assert [*verdict.events, *verdict.answers] == want
        told += verdict.events
    assert restored.counters() == judged.counters()


@given(st.integers(0, 2**32 - 1), st.integers(1, 40_000))
@settings(SETTINGS, max_examples=10)
def test_many_chunks_saved_by_another_thread_are_of_one_moment(seed: int, count: int) -> None:
    """The judge goes on with known and new sensors while the saver copies, goes through all again, and releases."""
    random = np.random.default_rng(seed)
    judged = Engine(load_pack(), capacity=1 << 17)
    ids = np.unique(random.integers(0, (1 << 63) - 1, 2 * count, dtype=np.int64))
    random.shuffle(ids)

    def declare(which: Any) -> None:
        named = [Sensor(int(i), "e", f"d{int(i) >> 50}", "temperature") for i in which]
        judged.apply(Entry(1, Sensors(named)))

    def read(turn: int) -> None:
        numbers = random.choice(ids, 3000)
        times = np.full(3000, START_US + turn * 1_000_000) + np.arange(3000)
        zeros = np.zeros(3000, np.uint8)
        judged.apply(Entry(2, ReadingBatch.of(numbers, times, times, random.normal(20, 5, 3000), zeros, zeros)))

    declare(ids[:count])
    for turn in range(3):
        read(turn)
    snapshot = judged.snapshot(3)
    at_once = bodies(snapshot.chunks)
    found: list[dict[tuple[str, int], bytes]] = []

    def save() -> None:
        for _ in range(3):
            found.append(bodies(snapshot.chunks))
        snapshot.release()

    saver = threading.Thread(target=save)
    read(3)
    saver.start()
    declare(ids[count:])
    turn = 4
    while saver.is_alive():
        read(turn)
        turn += 1
    saver.join()
    assert all(one == at_once for one in found)
    assert len(found) == 3
    after = bodies(judged.snapshot(4).chunks)
    fresh = Engine(load_pack(), capacity=1 << 17)
    fresh.restore(Snapshot(4, [Chunk(name, index, body) for (name, index), body in (at_once | after).items()]))
    assert fresh.counters() == judged.counters()
    assert fresh.roster.memory.sensors["newest"].tobytes() == judged.roster.memory.sensors["newest"].tobytes()
