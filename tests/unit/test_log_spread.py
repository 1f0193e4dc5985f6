"""Who goes into which partition of a log."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.entries import Entry, Sensor, Sensors, Tick
from schemas.errors import CorruptState, TocsinError
from schemas.identity import id_of, partition_of
from schemas.readings import ReadingBatch
from streams.log.records import payload_of, records_of
from streams.log.spread import Spread

SENSORS = [Sensor(id_of(f"shop-{n}/d/co"), f"shop-{n}", "d", "co") for n in range(300)]


def readings(numbers: list[int]) -> ReadingBatch:
    count = len(numbers)
    ids = [SENSORS[n].id for n in numbers]
    return ReadingBatch.of(ids, range(count), range(10, 10 + count), np.arange(count) / 2, [1] * count, [2] * count)


@pytest.mark.parametrize("partitions", [1, 2, 8, 100])
def test_a_split_is_what_picking_them_one_by_one_gives(partitions: int) -> None:
    """Order within a partition is order of receipt, and every column goes along."""
    spread = Spread(partitions, capacity=4096)
    spread.split(Sensors(SENSORS))
    numbers = np.random.default_rng(7).integers(0, len(SENSORS), 2000).tolist()
    batch = readings(numbers)
    where = np.array([partition_of(SENSORS[n].enterprise, partitions) for n in numbers])
    parts = dict(spread.split(batch))
    assert list(parts) == sorted(set(where.tolist()))
    for partition, part in parts.items():
        assert isinstance(part, ReadingBatch)
        for wanted, got in zip(batch.take(where == partition).columns(), part.columns(), strict=True):
            assert np.array_equal(wanted, got)


def test_sensors_are_told_to_their_own_partition_and_others_to_all() -> None:
    """Each engine knows the sensors that it will hear, and its own time."""
    spread = Spread(4, capacity=4096)
    parts = dict(spread.split(Sensors([*SENSORS, SENSORS[3]])))
    for partition, part in parts.items():
        assert isinstance(part, Sensors)
        assert [s.id for s in part.sensors] == [
            s.id for s in [*SENSORS, SENSORS[3]] if partition_of(s.enterprise, 4) == partition
        ]
    assert len(spread) == len(SENSORS)
    assert spread.split(Tick(5)) == [(p, Tick(5)) for p in range(4)]
    assert spread.split(ReadingBatch.empty()) == []


def test_a_reading_of_an_undeclared_sensor_is_our_own_mistake() -> None:
    """Nobody could say where it belongs."""
    spread = Spread(4, capacity=4096)
    spread.split(Sensors(SENSORS[:1]))
    with pytest.raises(ValueError, match="never declared"):
        spread.split(readings([0, 1]))


def test_room_that_is_used_up_is_told() -> None:
    """A table of a fixed room must not write beyond it."""
    spread = Spread(2, capacity=100)
    with pytest.raises(TocsinError, match="room for 100"):
        spread.split(Sensors(SENSORS))


def test_records_read_back_as_what_they_said() -> None:
    """Long ones are cut, in order."""
    batch = readings([0] * 70_000)
    bodies = [payload_of(key, value) for key, value in records_of(batch)]
    assert [len(b) for b in bodies if isinstance(b, ReadingBatch)] == [65_536, 4_464]
    many = Sensors([SENSORS[0]] * 10_000)
    assert (
        sum(len(b.sensors) for b in (payload_of(*r) for r in records_of(many)) if isinstance(b, Sensors)) == 10_000
    )
    assert [payload_of(*record) for record in records_of(Tick(5))] == [Entry(1, Tick(5)).payload]


@pytest.mark.parametrize(
    ("key", "value"), [(None, b""), (b"", b""), (b"\x04\x04", b""), (b"\x09", b""), (b"\x04", None)]
)
def test_what_is_no_entry_is_refused(key: bytes | None, value: bytes | None) -> None:
    """Anybody may write to a topic."""
    with pytest.raises(CorruptState):
        payload_of(key, value)
