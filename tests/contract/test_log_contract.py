"""What every kind of log promises to its writer and its readers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from schemas.entries import ClockStepped, Entry, Sensor, Sensors, Tick
from schemas.readings import ReadingBatch
from streams.log.kafka import KafkaLog
from streams.log.kafka_reader import KafkaLogReader
from streams.log.memory import MemoryLog
from streams.log.postgres import PostgresLogWriter
from streams.log.reader import PostgresLogReader
from streams.log.tail import Tail
from streams.ports import LogReader, LogWriter
from tests.kafka_topics import PATIENCE_S, fresh_topic
from tests.log_reading import read_all

KINDS = (
    "memory",
    "postgres from the tail",
    "postgres from afar",
    "postgres, tail too short",
    pytest.param("kafka", marks=pytest.mark.kafka),
)


@dataclass
class Log:
    writer: LogWriter
    reader: LogReader


@pytest.fixture(params=KINDS)
def log(request: pytest.FixtureRequest) -> Iterator[Log]:
    if request.param == "memory":
        memory = MemoryLog()
        yield Log(memory, memory)
        return
    if request.param == "kafka":
        server = request.getfixturevalue("kafka")
        topic = fresh_topic(server, partitions=1)
        with KafkaLog(server.servers, topic, 1, patience_s=PATIENCE_S) as kafka_log:
            kafka_reader = KafkaLogReader(server.servers, topic)
            yield Log(kafka_log.at(0), kafka_reader)
            kafka_reader.close()
        return
    dsn = request.getfixturevalue("dsn")
    tail = Tail(limit_bytes=1) if "short" in request.param else Tail()
    with PostgresLogWriter(dsn, tail=tail) as writer:
        reader = PostgresLogReader(dsn, tail=None if "afar" in request.param else tail, poll_s=0.001)
        yield Log(writer, reader)
        reader.close()


def ticks(entries: list[Entry]) -> list[tuple[int, int]]:
    return [(e.number, e.payload.now_us) for e in entries if isinstance(e.payload, Tick)]


def test_numbers_start_at_one_and_have_no_holes(log: Log) -> None:
    """A position is a number: what lies below it must be all there is."""
    assert log.writer.append([Tick(10)]) == 1
    assert log.writer.append([Tick(20), Tick(30)]) == 3
    assert ticks(read_all(log.reader, 0, 3)) == [(1, 10), (2, 20), (3, 30)]


def test_a_reader_gets_what_is_above_its_position_and_no_more_than_it_asks(log: Log) -> None:
    """Consumers go in bounded steps."""
    log.writer.append([Tick(n) for n in range(1, 9)])
    assert 1 <= len(log.reader.read(2, 3)) <= 3
    assert ticks(read_all(log.reader, 2, 3)) == [(3, 3), (4, 4), (5, 5)]
    assert ticks(read_all(log.reader, 7, 1)) == [(8, 8)]
    assert list(log.reader.read(8, 3)) == []


def test_every_kind_of_entry_comes_back_as_it_was(log: Log) -> None:
    """The engine judges what was said, whichever way it was read."""
    batch = ReadingBatch.of([1, 2], [3, 4], [5, 6], [0.5, -0.0], [0, 2], [1, 2])
    sensors = Sensors([Sensor(7, "shop", "kitchen", "temperature", "3", "Cel")])
    step = ClockStepped(-3_600_000_000, 99)
    log.writer.append([sensors, batch, step, Tick(5)])
    entries = read_all(log.reader, 0, 4)
    assert [e.payload for e in entries if not isinstance(e.payload, ReadingBatch)] == [sensors, step, Tick(5)]
    back = entries[1].payload
    assert isinstance(back, ReadingBatch)
    for wanted, got in zip(batch.columns(), back.columns(), strict=True):
        assert np.array_equal(wanted, got)
        assert wanted.dtype == got.dtype
    assert np.signbit(back.value[1])


def test_wait_returns_at_once_when_there_is_more_and_gives_up_when_there_is_not(log: Log) -> None:
    """It is how a consumer rests."""
    assert not log.reader.wait(0, 0.0)
    log.writer.append([Tick(1)])
    assert log.reader.wait(0, 60.0)
    assert not log.reader.wait(1, 0.01)


def test_wait_is_woken_by_an_append(log: Log) -> None:
    """A reading's alarm must not wait for a poll of seconds."""
    woken: list[bool] = []
    waiter = threading.Thread(target=lambda: woken.append(log.reader.wait(0, 60.0)))
    waiter.start()
    log.writer.append([Tick(1)])
    waiter.join(60.0)
    assert woken == [True]


def test_many_threads_append_without_loss_or_overlap(log: Log) -> None:
    """The door and the ticker share one writer."""
    numbers: list[list[int]] = [[] for _ in range(4)]

    def work(of: int) -> Callable[[], None]:
        def run() -> None:
            for n in range(25):
                numbers[of].append(log.writer.append([Tick(of * 100 + n)]))

        return run

    threads = [threading.Thread(target=work(of)) for of in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(n for own in numbers for n in own) == list(range(1, 101))
    read = {e.number: e.payload for e in read_all(log.reader, 0, 100)}
    for of in range(4):
        assert [read[n] for n in numbers[of]] == [Tick(of * 100 + n) for n in range(25)]
