"""Workers of a cluster over a real Kafka and PostgreSQL, with lives that count; and what they must have said."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import psycopg
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from ingest.quarantine import keep_records
from schemas.alarms import AlarmEvent, decode_event
from schemas.entries import Entry, Payload, Tick
from schemas.errors import Fenced
from schemas.readings import ReadingBatch
from streams.checkpoints import PostgresCheckpoints
from streams.judging import Judging
from streams.log.kafka import KafkaLog
from streams.log.kafka_reader import KafkaLogReader
from streams.log.kafka_topics import ends_of
from streams.log.unreadable import unreadable_rows
from streams.ports import LogReader, Verdict
from streams.positions import PostgresPositions
from streams.store.edge import session
from streams.worker.app import Worker
from streams.worker.feed import Run
from tests.counting_judge import CountingJudge
from tests.kafka_topics import fresh_topic
from tests.waiting import until
from tocsin.local.kafka import Kafka


class WatchedJudge(CountingJudge):
    """Notes the numbers it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: list[int] = []

    def apply(self, entry: Entry) -> Verdict:
        self.numbers.append(entry.number)
        return super().apply(entry)


class CountingLife:
    """Port `PartitionLife`: a small judge under the real judging."""

    def __init__(self, dsn: str, partition: int, reader: LogReader, checkpoint_every_s: float = 0.2) -> None:
        self.partition = partition
        self.judge = WatchedJudge()
        self._positions = PostgresPositions(dsn, "engine", partition=partition)
        self._checkpoints = PostgresCheckpoints(dsn, self._positions)
        self.judging = Judging(
            self.judge, reader, self._positions, self._checkpoints, checkpoint_every_s=checkpoint_every_s
        )
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.judging.run()
        except Fenced as error:
            self.error = error
            raise
        finally:
            self._positions.close()
            self._checkpoints.close()

    def stop(self) -> None:
        self.judging.stop()

    @property
    def checkpointed(self) -> int:
        return self.judging.checkpointed


@dataclass
class OneWorker:
    """A worker in a thread of this process, and the lives that it made."""

    worker: Worker
    lives: list[CountingLife]
    error: BaseException | None = None
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.worker.run()
        except BaseException as error:
            self.error = error

    def owned(self) -> list[int]:
        return self.worker.partitions.owned()

    def end(self) -> None:
        self.worker.stop()
        self.thread.join(30.0)
        assert not self.thread.is_alive()


class Stranger:
    """Judges a partition that Kafka did not give it; has taken it over when this returns."""

    def __init__(self, world: World, partition: int) -> None:
        self._reader = KafkaLogReader(world.kafka.servers, world.topic, partition)
        self.life = CountingLife(world.dsn, partition, self._reader)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self.life.judging.ready.wait(30.0)

    def _run(self) -> None:
        with suppress(Fenced):
            self.life.run()

    def end(self) -> None:
        self.life.stop()
        self._thread.join(30.0)
        assert not self._thread.is_alive()
        self._reader.close()


class World:
    """A log of `partitions` partitions and the workers on it. `end` must be called."""

    def __init__(self, kafka: Kafka, dsn: str, folder: Path, partitions: int) -> None:
        self.kafka = kafka
        self.dsn = dsn
        self.partitions = partitions
        self.topic = fresh_topic(kafka, partitions)
        self.quarantine = fresh_topic(kafka, 1)
        self.log = KafkaLog(kafka.servers, self.topic, partitions, patience_s=60.0)
        self.said: dict[int, list[Payload]] = {partition: [] for partition in range(partitions)}
        self.workers: list[OneWorker] = []
        self._folder = folder

    def worker(
        self,
        *,
        dsn: str = "",
        checkpoint_every_s: float = 0.2,
        keep: Callable[[Run], None] | None = None,
        session_s: float = 4.0,
    ) -> OneWorker:
        """Start one more.  dsn: another way to the same database."""
        lives: list[CountingLife] = []
        there = dsn or self.dsn

        def live(partition: int, reader: LogReader) -> CountingLife:
            life = CountingLife(there, partition, reader, checkpoint_every_s)
            lives.append(life)
            return life

        def keep_rows(run: Run) -> None:
            with session(there, "test") as connection:
                keep_records(connection, [record.value or b"" for record in run.records])

        worker = Worker(
            self.kafka.servers, self.topic, live=live, keep=keep or keep_rows,
            unreadable=unreadable_rows(there, self.topic), data=self._folder, session_s=session_s,
            quarantine=self.quarantine,
        )  # fmt: skip
        self.workers.append(OneWorker(worker, lives))
        return self.workers[-1]

    def stranger(self, partition: int) -> Stranger:
        """One more that judges a partition, without asking Kafka."""
        return Stranger(self, partition)

    def say(self, count: int, seed: int = 7) -> None:
        """Append `count` payloads to every partition."""
        for partition in range(self.partitions):
            made = payloads(partition, count, seed)
            self.log.append_at(partition, made)
            self.said[partition] += made

    def is_judged(self) -> bool:
        """Whether every position is at the end of its partition."""
        ends = ends_of(self.kafka.servers, self.topic, range(self.partitions), {})
        return positions(self.dsn) == {partition: end.last for partition, end in ends.items() if end.last}

    def until_judged(self) -> None:
        until(self.is_judged, "everything is judged")

    def until_shared(self, *workers: OneWorker) -> None:
        """Wait until each partition is at exactly one of these, and each of these has some."""

        def is_shared() -> bool:
            owned = [worker.owned() for worker in workers]
            return all(owned) and sorted(itertools.chain(*owned)) == list(range(self.partitions))

        until(is_shared, f"{self.partitions} partitions are shared by {len(workers)}")

    def check(self) -> None:
        """The events are those of the log, each once."""
        for partition, said in self.said.items():
            assert stored(self.dsn, partition) == wanted(partition, said)

    def end(self) -> None:
        for one in self.workers:
            one.worker.stop()
        for one in self.workers:
            one.end()
        self.log.close()


def payloads(partition: int, count: int, seed: int) -> list[Payload]:
    """Batches of a partition's own sensors, and ticks."""
    rng = Random(f"{seed}/{partition}")
    made: list[Payload] = []
    for n in range(count):
        if n % 5 == 4:
            made.append(Tick(n * 1_000_000))
            continue
        size = rng.randrange(1, 6)
        sensors = [1000 * partition + rng.randrange(12) for _ in range(size)]
        made.append(ReadingBatch.of(sensors, [n] * size, [n] * size, [1.0] * size, [0] * size, [0] * size))
    return made


def wanted(partition: int, said: Sequence[Payload]) -> list[AlarmEvent]:
    judge = CountingJudge()
    return [event for n, payload in enumerate(said, 1) for event in judge.apply(Entry(n, payload, partition)).events]


def stored(dsn: str, partition: int) -> list[AlarmEvent]:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "SELECT body::text FROM alarm_events WHERE partition = %s ORDER BY seq", (partition,)
        ).fetchall()
    return [decode_event(row[0]) for row in rows]


def positions(dsn: str) -> dict[int, int]:
    """Of the engine: others, such as the keeper of risk, have positions of their own."""
    query = "SELECT partition, position FROM positions WHERE consumer = 'engine' AND position > 0"
    with psycopg.connect(dsn) as connection:
        return dict(connection.execute(query).fetchall())


def checkpointed(dsn: str) -> dict[int, int]:
    """The newest checkpoint of each partition."""
    with psycopg.connect(dsn) as connection:
        return dict(connection.execute("SELECT partition, max(position) FROM checkpoints GROUP BY 1").fetchall())


def group_offsets(world: World, topic: str) -> dict[int, int]:
    """What Kafka remembers for the workers' group, by partition; without those of which it knows nothing."""
    places = [TopicPartition(topic, partition) for partition in range(world.partitions)]
    asked = ConsumerGroupTopicPartitions(f"tocsin.workers.{world.topic}", places)
    admin = AdminClient({"bootstrap.servers": world.kafka.servers})
    (answer,) = admin.list_consumer_group_offsets([asked]).values()
    return {place.partition: place.offset for place in answer.result(30).topic_partitions if place.offset >= 0}


def times(lives: Sequence[CountingLife], partition: int) -> Counter[int]:
    """How often each number of a partition was judged."""
    return Counter(number for life in lives if life.partition == partition for number in life.judge.numbers)
