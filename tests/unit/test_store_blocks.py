"""Blocks of the reading store: order, bytes, and what is newest."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.readings import ReadingBatch
from streams.store.blocks import (
    READING_BYTES,
    ROW_READINGS,
    block_payload,
    bucket_of,
    first_of_each,
    in_order,
    read_bodies,
    row_payload,
    sorted_order,
)
from streams.store.newest import Newest, Verdict

COPY_HEAD = 19
ROW_HEAD = 32
DAY_US = 86_400_000_000


def batch(ids: np.ndarray, seed: int = 0) -> ReadingBatch:
    random = np.random.default_rng(seed)
    n = len(ids)
    time = random.integers(0, 1000, n)
    return ReadingBatch.of(
        ids, time, time + 5, random.normal(size=n), random.integers(0, 3, n), random.integers(0, 3, n)
    )


def rows_of(payload: np.ndarray) -> list[tuple[int, int, int, bytes]]:
    """(part, bucket, n, body) of COPY's bytes, by its documented format."""
    data = payload.tobytes()
    assert data.startswith(b"PGCOPY\n\xff\r\n\0")
    rows, at = [], COPY_HEAD
    while (fields := int.from_bytes(data[at : at + 2], "big", signed=True)) != -1:
        at += 2
        cells = []
        for _ in range(fields):
            length = int.from_bytes(data[at : at + 4], "big")
            cells.append(data[at + 4 : at + 4 + length])
            at += 4 + length
        rows.append((*(int.from_bytes(cell, "big") for cell in cells[:3]), cells[3]))
    assert at + 2 == len(data)
    return rows


@pytest.mark.parametrize("n", [0, 1, 2, 17, 5000])
@pytest.mark.parametrize("highest", [1, 3, 1000, (1 << 63) - 1])
def test_order_is_by_sensor_then_time_then_arrival(n: int, highest: int) -> None:
    """Ids that are hashes take the quick way, a few hot ones the general one; the answer is the same."""
    made = batch(np.random.default_rng(n).integers(0, highest, n))
    assert (
        sorted_order(made.sensor_id, made.event_time).tolist() == np.lexsort((made.event_time, made.sensor_id)).tolist()
    )


@pytest.mark.parametrize("highest", [3, 1 << 20, (1 << 63) - 1])
def test_a_block_reads_back_as_it_was(highest: int) -> None:
    """Rows hold one bucket each, no more than fits a page, in order."""
    made = in_order(batch(np.random.default_rng(4).integers(0, highest, 3000)))
    rows = rows_of(block_payload(77, made))
    assert all(part == 77 and n <= ROW_READINGS and len(body) == READING_BYTES * n for part, _, n, body in rows)
    read = read_bodies([row[2] for row in rows], [row[3] for row in rows])
    for column, was in zip(read.columns(), made.columns(), strict=True):
        assert column.tolist() == was.tolist()
    of_rows = np.repeat([row[1] for row in rows], [row[2] for row in rows])
    assert of_rows.tolist() == [bucket_of(i) for i in made.sensor_id.tolist()]


def test_an_empty_block_is_an_empty_copy() -> None:
    """A commit without readings moves the position only."""
    assert rows_of(block_payload(1, ReadingBatch.empty())) == []
    assert len(row_payload(ReadingBatch.empty())) == COPY_HEAD + 2


def test_the_first_of_each_stays_and_others_are_counted() -> None:
    """Conflicting is another value than the first's, not than the neighbour's."""
    made = ReadingBatch.of([1, 1, 1, 1, 2], [5, 5, 5, 6, 5], [0] * 5, [1.0, 2.0, 1.0, 2.0, 2.0], [0] * 5, [0] * 5)
    kept, duplicate, conflicting = first_of_each(made)
    assert kept.value.tolist() == [1.0, 2.0, 2.0]
    assert (duplicate, conflicting) == (2, 1)


def test_newest_says_what_each_reading_is() -> None:
    """New by construction only if later than all before it of its sensor."""
    newest = Newest()

    def judge(*rows: tuple[int, int, float]) -> list[Verdict]:
        columns = list(zip(*rows, strict=True))
        made = ReadingBatch.of(
            columns[0], columns[1], [2 * DAY_US] * len(rows), columns[2], [0] * len(rows), [0] * len(rows)
        )
        return [Verdict(v) for v in newest.judge(made, DAY_US)]

    now = 2 * DAY_US
    assert judge((1, now, 1.0), (2, now, 1.0), (2, now + 1, 5.0)) == [Verdict.NEW] * 3
    assert judge((1, now - 1, 1.0), (1, now, 1.0), (1, now, 2.0), (1, now + 1, 1.0)) == [
        Verdict.LATE,
        Verdict.DUPLICATE,
        Verdict.CONFLICTING,
        Verdict.NEW,
    ]
    assert judge((3, DAY_US - 1, 1.0), (3, DAY_US, 1.0)) == [Verdict.TOO_OLD, Verdict.NEW]


def test_newest_grows_and_gives_what_changed_once() -> None:
    """A table that grew has forgotten nothing; what was saved is not saved again."""
    newest = Newest(16)
    ids = np.unique(np.random.default_rng(1).integers(0, 1 << 63, 20_000))
    for part in np.array_split(ids, 7):
        n = len(part)
        newest.judge(ReadingBatch.of(part, np.full(n, 9), np.full(n, 9), part.astype(float), [1] * n, [0] * n), DAY_US)
    assert newest.changed == len(newest) == len(ids)
    changed = newest.take_changed()
    assert changed.sensor_id.tolist() == ids.tolist()
    assert changed.value.tolist() == ids.astype(float).tolist()
    assert set(changed.quality.tolist()) == {1}
    assert len(newest.take_changed()) == newest.changed == 0
    again = Newest()
    again.load(changed)
    one = ReadingBatch.of(ids[:1], [9], [9], [0.5], [0], [0])
    assert again.changed == 0
    assert again.judge(one, DAY_US).tolist() == [Verdict.CONFLICTING]
