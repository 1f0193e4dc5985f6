"""The store, whatever comes in whatever order, is a dictionary by (sensor, event_time) in which the first stays."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.entries import Tick
from schemas.readings import ReadingBatch
from streams.log.memory import MemoryLog
from streams.log.one_partition import OnePartition
from streams.store.edge import session
from streams.store.follower import Follower
from streams.store.keeper import Keeper
from streams.store.parts import DAY_US
from streams.store.queries import count_between, history, readings_between, status
from streams.store.writer import BlockWriter

pytestmark = pytest.mark.integration

START = 20_000 * DAY_US
RETENTION_US = 30 * DAY_US
SENSORS = [1, 2, (1 << 63) - 1]
MINUTES = st.integers(0, 40) | st.integers(0, 4 * 1440)
READING = st.tuples(st.sampled_from(SENSORS), MINUTES, st.sampled_from([1.0, 2.0]))
STEP = st.lists(READING, min_size=1, max_size=8) | st.sampled_from(["keep", "restart"]) | MINUTES
TABLES = "timely_readings, open_blocks, late_readings, last_values, open_parts, reading_partitions, positions"


def empty(connection: psycopg.Connection) -> None:
    """As after the migrations; a database for each example would take a second."""
    connection.execute(f"TRUNCATE {TABLES}")
    for (name,) in connection.execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits"
        " WHERE inhparent IN ('open_blocks'::regclass, 'timely_readings'::regclass)"
    ).fetchall():
        connection.execute(f"DROP TABLE {name}")
    connection.execute("UPDATE store_status SET (stream_us, stored, late, duplicate, conflicting, refused_old, blocks)"
                       " = (0, 0, 0, 0, 0, 0, 0)")  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEP, max_size=14))
def test_the_store_is_a_dictionary_in_which_the_first_stays(dsn: str, steps: list[object]) -> None:
    """Batches in any order and with any repeats, between closes, merges and restarts."""
    log = MemoryLog()
    naive: dict[tuple[int, int], float] = {}
    taken = 0
    with session(dsn, "test-store") as connection:
        empty(connection)
        writer = BlockWriter(connection, OnePartition(log), RETENTION_US)
        follower = Follower(OnePartition(log), writer)
        keeper = Keeper(dsn, writer, retention_us=RETENTION_US, failpoint=lambda _: None)
        now = START
        for step in [*steps, 5 * 1440, "keep"]:
            if isinstance(step, int):
                now = max(now, START + step * 60_000_000)
                log.append([Tick(now)])
            elif isinstance(step, list):
                ids, minutes, values = zip(*step, strict=True)
                n = len(step)
                times = [START + minute * 60_000_000 for minute in minutes]
                now = max(now, *times)
                log.append([ReadingBatch.of(ids, times, [now] * n, values, [0] * n, [0] * n)])
                taken += n
                for sensor, time, value in zip(ids, times, values, strict=True):
                    naive.setdefault((sensor, time), value)
            elif step == "restart":
                connection.execute("DROP TABLE arriving")
                writer = BlockWriter(connection, OnePartition(log), RETENTION_US)
                follower = Follower(OnePartition(log), writer)
                keeper = Keeper(dsn, writer, retention_us=RETENTION_US, failpoint=lambda _: None)
            else:
                keeper.save(connection)
                while keeper.step(connection):
                    pass
            follower.gather()
            follower.write()
            found = {}
            for batch in readings_between(connection, 0, START + RETENTION_US):
                keys = zip(batch.sensor_id.tolist(), batch.event_time.tolist(), strict=True)
                found |= dict(zip(keys, batch.value.tolist(), strict=True))
            assert found == naive
        for sensor in SENSORS:
            of_one = history(connection, sensor, 0, START + RETENTION_US)
            assert of_one.event_time.tolist() == sorted(t for s, t in naive if s == sensor)
        assert count_between(connection, 0, START + RETENTION_US) == len(naive)
        (in_view,) = connection.execute("SELECT count(*) FROM readings").fetchone() or (0,)
        assert in_view == len(naive)
        end = status(connection)
        assert (end.open_parts, end.late_waiting, end.merging) == (0, False, False)
        assert end.stored + end.late == len(naive)
        assert end.duplicate == taken - len(naive)
