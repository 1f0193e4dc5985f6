"""The store, whatever comes in whatever order, is a dictionary by (sensor, event_time) in which the first stays."""

from __future__ import annotations

from collections import defaultdict

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.entries import Tick
from schemas.readings import ReadingBatch
from streams.log.memory import MemoryLog
from streams.log.one_partition import OnePartition
from streams.store.edge import session
from streams.store.editions import edition_of
from streams.store.follower import Follower
from streams.store.keeper import Keeper
from streams.store.parts import DAY_US, HOUR_US
from streams.store.queries import count_between, history, readings_between, status
from streams.store.writer import BlockWriter

pytestmark = pytest.mark.integration

START = 20_000 * DAY_US
RETENTION_US = 30 * DAY_US
SENSORS = [1, 2, (1 << 63) - 1]
MINUTES = st.integers(0, 40) | st.integers(0, 4 * 1440)
READING = st.tuples(st.sampled_from(SENSORS), MINUTES, st.sampled_from([1.0, 2.0]))
STEP = st.lists(READING, min_size=1, max_size=8) | st.sampled_from(["keep", "restart"]) | MINUTES
TABLES = (
    "timely_readings", "open_blocks", "late_readings", "last_values", "open_parts", "reading_partitions", "positions",
    "roll_ups", "hourly_rows", "daily_rows",
)  # fmt: skip


def empty(connection: psycopg.Connection) -> None:
    """As after the migrations; a database for each example would take a second."""
    for name in TABLES:
        connection.execute(f"TRUNCATE {name}")
    for (name,) in connection.execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent::regclass::text = ANY(%s)", [list(TABLES)]
    ).fetchall():
        connection.execute(f"DROP TABLE {name}")
    connection.execute("UPDATE store_status SET (stream_us, stored, late, duplicate, conflicting, refused_old, blocks)"
                       " = (0, 0, 0, 0, 0, 0, 0)")  # fmt: skip


def rolled_up(naive: dict[tuple[int, int], float], width_us: int) -> dict[tuple[int, int], tuple[object, ...]]:
    """(sensor, start) → how many, lowest, highest, sum, mean; the values are such that sums are exact."""
    groups = defaultdict[tuple[int, int], list[float]](list)
    for (sensor, time), value in naive.items():
        groups[sensor, time // width_us * width_us].append(value)
    return {key: (len(v), min(v), max(v), sum(v), sum(v) / len(v)) for key, v in groups.items()}


def seen_rolled_up(connection: psycopg.Connection, view: str, time: str) -> dict[tuple[int, int], tuple[object, ...]]:
    rows = connection.execute(
        f"SELECT sensor_id, (extract(epoch FROM {time}) * 1000000)::bigint, readings, lowest, highest, total, mean"
        f" FROM {view}"
    ).fetchall()
    assert len({row[:2] for row in rows}) == len(rows)
    return {(row[0], row[1]): tuple(row[2:]) for row in rows}


def keeper_of(dsn: str, writer: BlockWriter, connection: psycopg.Connection) -> Keeper:
    return Keeper(dsn, writer, edition_of(connection), retention_us=RETENTION_US, failpoint=lambda _: None)


UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@settings(UNHURRIED, max_examples=25)
@given(st.lists(STEP, max_size=14))
def test_the_store_is_a_dictionary_in_which_the_first_stays(dsn: str, steps: list[object]) -> None:
    """Batches in any order and with any repeats, between closes, merges and restarts."""
    check(dsn, steps)


@pytest.mark.timescale
@settings(UNHURRIED, max_examples=5)
@given(st.lists(STEP, max_size=14))
def test_so_it_is_with_timescaledb(timescale_dsn: str, steps: list[object]) -> None:
    """Few examples: emptying a hypertable takes a second."""
    check(timescale_dsn, steps)


def check(dsn: str, steps: list[object]) -> None:
    log = MemoryLog()
    naive: dict[tuple[int, int], float] = {}
    taken = 0
    with session(dsn, "test-store") as connection:
        empty(connection)
        writer = BlockWriter(connection, OnePartition(log), RETENTION_US)
        follower = Follower(OnePartition(log), writer)
        keeper = keeper_of(dsn, writer, connection)
        now = START
        for step in [*steps, 6 * 1440, "keep"]:
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
                keeper = keeper_of(dsn, writer, connection)
            else:
                keeper.save(connection)
                while keeper.step(connection):
                    pass
            follower.gather()
            follower.write()
            found: dict[tuple[int, int], float] = {}
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
        assert seen_rolled_up(connection, "readings_hourly", "hour") == rolled_up(naive, HOUR_US)
        assert seen_rolled_up(connection, "readings_daily", "day") == rolled_up(naive, DAY_US)
        end = status(connection)
        assert (end.open_parts, end.late_waiting, end.merging) == (0, False, False)
        assert end.stored + end.late == len(naive)
        assert end.duplicate == taken - len(naive)
