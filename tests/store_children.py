"""Store processes of a test: started, watched through the database, and gone after it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from schemas.readings import ReadingBatch
from streams.store.parts import HOUR_US
from streams.store.process import StoreSettings, spawn
from streams.store.queries import StoreStatus, readings_between, status
from tests.waiting import until

Child = subprocess.Popen[bytes]
Start = Callable[[StoreSettings], Child]
_FAR = 1 << 53


@contextmanager
def store_children() -> Iterator[Start]:
    """Whatever still runs in the end is killed."""
    children: list[Child] = []

    def begin(settings: StoreSettings) -> Child:
        children.append(spawn(settings))
        return children[-1]

    yield begin
    for child in children:
        child.kill()
        child.wait()
        assert child.stdin is not None
        child.stdin.close()


def end(child: Child, code: int = 0) -> None:
    """Close its lifeline."""
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(120) == code


def await_status(connection: psycopg.Connection, wanted: Callable[[StoreStatus], bool]) -> StoreStatus:
    """The first status of the store that is as wanted."""
    seen = [status(connection)]

    def holds() -> bool:
        seen[0] = status(connection)
        return wanted(seen[0])

    until(holds, "the store stands as wanted")
    return seen[0]


def all_done(positions: dict[int, int]) -> Callable[[StoreStatus], bool]:
    """Everything is written up to `positions`, and nothing waits to be closed, merged or taken in."""
    return lambda now: now.positions == positions and not (now.closing or now.merging or now.late_waiting)


def assert_each_once(connection: psycopg.Connection, batches: list[ReadingBatch]) -> None:
    """By the queries and by the view."""
    expected = _values(ReadingBatch.concat(batches))
    found = ReadingBatch.concat(list(readings_between(connection, 0, _FAR)))
    assert len(found) == len(expected)
    assert _values(found) == expected
    count, total = connection.execute("SELECT count(*), sum(value) FROM readings").fetchone() or (0, 0.0)
    assert count == len(expected)
    assert abs(total - sum(expected.values())) < 1e-6 * max(1.0, abs(total))


def await_rolled_up(connection: psycopg.Connection, batches: list[ReadingBatch]) -> None:
    """Every hour says what its readings say; all of them must be over."""
    groups: dict[tuple[int, int], list[float]] = {}
    for (sensor, event), value in _values(ReadingBatch.concat(batches)).items():
        groups.setdefault((sensor, event // HOUR_US * HOUR_US), []).append(value)
    # Sums in any order: the values are whole numbers, so all are exact.
    expected = {key: (len(found), min(found), max(found), sum(found)) for key, found in groups.items()}

    def holds() -> bool:
        rows = connection.execute(
            "SELECT sensor_id, (extract(epoch FROM hour) * 1000000)::bigint, readings, lowest, highest, total"
            " FROM readings_hourly"
        ).fetchall()
        return {(row[0], row[1]): (row[2], row[3], row[4], row[5]) for row in rows} == expected

    until(holds, "every hour is rolled up right")


def _values(batch: ReadingBatch) -> dict[tuple[int, int], float]:
    keys = zip(batch.sensor_id.tolist(), batch.event_time.tolist(), strict=True)
    return dict(zip(keys, batch.value.tolist(), strict=True))
