"""The engine's memory: tables of ids, records, checkpoints; and that the compiled kernels are what runs."""

from __future__ import annotations

import numpy as np
import pytest
from numba import config

from schemas.entries import Entry, Sensor, Sensors
from schemas.errors import CorruptState, TocsinError
from schemas.readings import ReadingBatch
from scoring import slots
from scoring.judge import judge
from scoring.layout import DEVICE, SENSOR
from scoring.memory import reserve
from streams.engine import Engine
from streams.ports import Chunk, Snapshot
from tests.engine_room import Room, a_rule, us

FIRE = a_rule("fire", high=60.0, clear_high=50.0, latched=True)


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="the whole run is without compilation, on purpose")
def test_what_judged_was_compiled() -> None:
    """The twin tests prove nothing about machine code that was not run."""
    Room(FIRE).read(0, 65.0)
    assert len(judge.nopython_signatures) == 1, "one form: another would be compiled in the middle of the night"


def test_a_sensors_record_is_one_cache_line() -> None:
    assert SENSOR.itemsize == 64
    assert DEVICE.itemsize == 24


def test_a_table_finds_what_was_added_and_nothing_else() -> None:
    rng = np.random.default_rng(7)
    ids = np.unique(rng.integers(0, (1 << 63) - 1, 50_000, dtype=np.int64))
    rng.shuffle(ids)
    table = slots.new_table(60_000)
    at = 0
    while at < len(ids):
        size = int(rng.integers(1, 900))
        assert slots.add(table, ids[at : at + size], at) == len(ids[at : at + size])
        at += size
    order = rng.permutation(len(ids))
    assert (slots.slots_of(table, ids[order]) == order).all()
    others = ids ^ np.int64(1 << 40)
    known = np.isin(others, ids)
    assert (slots.slots_of(table, others)[~known] == -1).all()


def test_ids_that_share_segment_tag_and_place_are_told_apart() -> None:
    """The tag only saves a look at the id; the id decides."""
    ids = np.array([5 | i << 40 for i in range(300)], np.int64)
    table = slots.new_table(4096)
    assert slots.add(table, ids, 0) == 300
    assert (slots.slots_of(table, ids) == np.arange(300)).all()


def test_a_segment_that_is_full_says_so() -> None:
    ids = np.array([5 | i << 8 for i in range(2000)], np.int64)
    assert slots.add(slots.new_table(4096), ids, 0) < 2000


def test_reserved_memory_is_zero_and_not_committed() -> None:
    array = reserve(np.int64, 1 << 32)
    assert array[-1] == 0
    array[7] = 1
    assert array[:8].sum() == 1


def test_more_sensors_than_there_is_room_for_is_an_error_with_a_mend() -> None:
    engine = Engine(capacity=64)
    with pytest.raises(TocsinError, match="larger capacity"):
        engine.apply(Entry(1, Sensors([Sensor(i << 20, "e", f"d{i}", "gas") for i in range(65)])))


def test_a_batch_is_not_written_to_and_may_be_read_only() -> None:
    room = Room(FIRE)
    batch = ReadingBatch.of([1, 1], [us(0), us(1)], [us(0), us(1)], [65.0, 20.0], [0, 0], [0, 0])
    before = [column.copy() for column in batch.columns()]
    again = ReadingBatch.from_ipc(batch.to_ipc())
    assert len(room.apply(again)) == 2
    assert len(Room(FIRE).apply(batch)) == 2
    assert all((a == b).all() for a, b in zip(before, batch.columns(), strict=True))
    assert all(column.flags.writeable for column in batch.columns())


def test_a_snapshot_holds_only_what_changed() -> None:
    room = Room(FIRE)
    room.read(0, 20.0)
    first = {chunk.name for chunk in room.engine.snapshot(1).chunks}
    assert {"sensors", "ids", "cold", "devices", "arena", "trunk"} <= first
    assert {chunk.name for chunk in room.engine.snapshot(2).chunks} == {"watches", "timers", "trunk"}
    room.read(1, 20.0)
    assert "sensors" in {chunk.name for chunk in room.engine.snapshot(3).chunks}


@pytest.mark.parametrize("spoil", ["no trunk", "bytes", "short", "layout"])
def test_a_checkpoint_that_cannot_be_read_is_a_stop(spoil: str) -> None:
    """Never a silent fresh start."""
    room = Room(FIRE)
    room.read(0, 20.0)
    chunks = {(chunk.name, chunk.index): chunk for chunk in room.engine.snapshot(1).chunks}
    if spoil == "no trunk":
        del chunks["trunk", 0]
    elif spoil == "bytes":
        chunks["trunk", 0] = Chunk("trunk", 0, b"\xc1")
    elif spoil == "short":
        chunks["sensors", 0] = Chunk("sensors", 0, chunks["sensors", 0].body[:-8])
    else:
        body = bytearray(chunks["trunk", 0].body)
        body[body.index(1)] = 2
        chunks["trunk", 0] = Chunk("trunk", 0, bytes(body))
    with pytest.raises(CorruptState):
        Engine(room.packs["first"], capacity=4096).restore(Snapshot(1, list(chunks.values())))
