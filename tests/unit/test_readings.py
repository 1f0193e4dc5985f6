"""A batch of readings as bytes: read alike by Arrow, the first time, and by a layout that is known."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from schemas.errors import CorruptState
from schemas.readings import ReadingBatch


def drawn(count: int, seed: int) -> ReadingBatch:
    random = np.random.default_rng(seed)
    numbers = random.integers(-(1 << 62), 1 << 62, (3, count))
    return ReadingBatch.of(
        *numbers, random.standard_normal(count), random.integers(0, 3, count), random.integers(0, 3, count)
    )


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 63, 64, 65, 100, 1000])
def test_bytes_read_back_however_often_their_length_was_seen(count: int) -> None:
    """The second of a length is not parsed by Arrow."""
    for seed in range(3):
        batch = drawn(count, seed)
        for body in (batch.to_ipc(), memoryview(batch.to_ipc())):
            read = ReadingBatch.from_ipc(body)
            assert len(read) == count
            for ours, back in zip(batch.columns(), read.columns(), strict=True):
                assert ours.dtype == back.dtype
                np.testing.assert_array_equal(ours, back)


def test_what_another_wrote_is_read_by_its_own_layout() -> None:
    """Columns in another order, or one more, are no reason to read the wrong bytes."""
    batch = drawn(50, 1)
    ReadingBatch.from_ipc(batch.to_ipc())
    table = pa.ipc.open_stream(batch.to_ipc()).read_all()
    more = table.select(table.column_names[::-1]).append_column("more", pa.array(range(50)))
    for _ in range(2):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, more.schema) as writer:
            writer.write_table(more)
        read = ReadingBatch.from_ipc(bytes(sink.getvalue()))
        for ours, back in zip(batch.columns(), read.columns(), strict=True):
            np.testing.assert_array_equal(ours, back)


def test_two_batches_in_one_stream_are_both_read() -> None:
    """The header of the first says nothing of the second."""
    batch = drawn(50, 1)
    ReadingBatch.from_ipc(batch.to_ipc())
    table = pa.ipc.open_stream(batch.to_ipc()).read_all()
    for _ in range(2):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
            writer.write_table(table)
        read = ReadingBatch.from_ipc(bytes(sink.getvalue()))
        np.testing.assert_array_equal(read.value, np.concatenate([batch.value, batch.value]))


@pytest.mark.parametrize("cut", [0, 1, 4, 7, 8, 100, 431, 432, 440, 700, 815, 816, 900, 2000])
def test_bytes_that_are_cut_are_corrupt(cut: int) -> None:
    """Also where the header is whole and known."""
    body = drawn(50, 1).to_ipc()
    ReadingBatch.from_ipc(body)
    with pytest.raises(CorruptState):
        ReadingBatch.from_ipc(body[:cut])


def test_bytes_of_another_kind_are_corrupt() -> None:
    """Whatever stands there, it is said."""
    for body in (b"", b"\xff" * 100, b"no batch at all", bytes(1000)):
        with pytest.raises(CorruptState):
            ReadingBatch.from_ipc(body)
