"""A log that moves to another number of partitions: half judged before, half after, and nobody can tell."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import psycopg
import pytest

from alerting.channels.mqtt_events import MqttEvents
from alerting.routes import Recipient, Routes
from schemas.alarms import AlarmEvent, decode_event
from schemas.entries import DeviceFacts, Entry, PackActivated, Payload, Sensor, Sensors, Tick, encode
from schemas.errors import ConfigError, CorruptState, Fenced
from schemas.identity import id_of, partition_of
from schemas.readings import ReadingBatch
from streams.checkpoints import PostgresCheckpoints
from streams.commands import active_pack_version, ensure_pack
from streams.engine import Engine
from streams.judging import Judging
from streams.log.kafka import KafkaLog
from streams.log.kafka_reader import KafkaLogReader
from streams.log.kafka_times import last_logged_in_kafka_us
from streams.log.kafka_topics import ends_of
from streams.log.postgres import PostgresLogWriter
from streams.log.reader import PostgresLogReader
from streams.packs import load_pack, parse_pack
from streams.ports import LogReader
from streams.positions import PostgresPositions
from streams.risk_keeper import RiskKeeper
from streams.store.process import StoreSettings, follow
from streams.worker.app import Worker
from tests.alerting_world import HandClock, HeldChannel, make_desk
from tests.kafka_topics import PATIENCE_S, forget_cluster
from tests.waiting import until
from tocsin import moving
from tocsin.cluster_log import make_log
from tocsin.failpoints import NAMES
from tocsin.layout import LayoutWatch, layout_of
from tocsin.local.kafka import Kafka
from tocsin.moving import move_log
from tocsin.one_process import OneProcess
from tocsin.settings import Settings

pytestmark = [pytest.mark.integration, pytest.mark.kafka]
START = 1_790_000_000_000_000
SHOPS = 24
MEASURES = ("temperature", "smoke", "battery")
SENSORS = [
    Sensor(id_of(f"shop-{n}/kitchen/{measure}"), f"shop-{n}", "kitchen", measure)
    for n in range(SHOPS)
    for measure in MEASURES
]


def city(seconds: range) -> Iterator[list[Payload]]:
    """One round a second: every sensor's reading, and a tick. Shops burn, smoulder and run low, each in its time."""
    for second in seconds:
        rng = Random(second)
        at = START + second * 1_000_000
        values = []
        for shop in range(SHOPS):
            phase = (second + 11 * shop) % 90
            values += [95.0 if 40 < phase < 60 else 22.0, 9.0 if 50 < phase < 58 else 0.1, 10.0 if phase > 70 else 80.0]
        times = at + np.array([rng.randrange(500_000) for _ in SENSORS])
        ids = np.array([sensor.id for sensor in SENSORS])
        count = len(ids)
        yield [ReadingBatch.of(ids, times, times + 900, values, [0] * count, [0] * count), Tick(at + 1_000_000)]


@dataclass
class Cluster:
    """What the processes of a cluster do, one after the other."""

    settings: Settings

    @property
    def dsn(self) -> str:
        return self.settings.dsn

    def feed(self, seconds: range) -> None:
        """A door's life: it declares its sensors, then a round a second."""
        layout = layout_of(self.settings)
        with KafkaLog(layout.servers, layout.topic, layout.partitions, patience_s=PATIENCE_S) as log:
            log.append([Sensors(SENSORS)])
            for payloads in city(seconds):
                log.append(payloads)

    def judge(self) -> None:
        """Workers' lives: every partition to its end, with desk, relay and store behind."""
        layout = layout_of(self.settings)
        for partition, ends in ends_of(layout.servers, layout.topic, range(layout.partitions)).items():
            reader = KafkaLogReader(layout.servers, layout.topic, partition)
            judge_to(self.dsn, reader, partition, ends.last)
            reader.close()
            self.store(partition, ends.last)
        self.tell(layout.partitions)

    def store(self, partition: int, last: int) -> None:
        with psycopg.connect(self.dsn) as connection:
            for consumer in ("store", "store.last_values"):
                connection.execute(
                    "INSERT INTO positions (consumer, partition, position) VALUES (%s, %s, %s)"
                    " ON CONFLICT (consumer, partition) DO UPDATE SET position = excluded.position",
                    (consumer, partition, last),
                )

    def tell(self, partitions: int) -> None:
        routes = Routes((Recipient("ops", "held"),))
        for partition in range(partitions):
            desk = make_desk(self.dsn, routes, HandClock(), HeldChannel("held"), partition=partition)
            relay = MqttEvents(self.dsn, lambda topic, payload, qos, retain: None, partition=partition)
            keeper = RiskKeeper(self.dsn, HandClock(), partition=partition)
            while desk.serve_once() or relay.serve_once() or keeper.serve_once():
                pass
            for one in (desk, relay, keeper):
                one.stop()
                one.run()

    def rows(self, query: str) -> list[Any]:
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(query).fetchall()


def judge_to(dsn: str, reader: LogReader, partition: int, last: int) -> None:
    positions = PostgresPositions(dsn, "engine", partition=partition)
    engine = Engine(None, partition=partition, read_pack=parse_pack, capacity=4096)
    # No checkpoint but the last: a move must go on from one that lies behind.
    checkpoints = PostgresCheckpoints(dsn, positions)
    judging = Judging(engine, reader, positions, checkpoints, checkpoint_every_s=3600.0)
    thread = threading.Thread(target=judging.run)
    thread.start()
    until(lambda: judging.position >= last or not thread.is_alive(), f"partition {partition} is judged to {last}")
    judging.stop()
    thread.join()
    positions.close()
    checkpoints.close()
    assert judging.position == last


def told(dsn: str) -> dict[tuple[str, int], AlarmEvent]:
    """What was said of the shops' alarms, by key and step; where and when it was judged left out."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT body::text FROM alarm_events WHERE enterprise <> 'tocsin'").fetchall()
    events = [decode_event(row[0]) for row in rows]
    fields = [{name: getattr(event, name) for name in event.__struct_fields__} for event in events]
    plain = [AlarmEvent(**one | {"partition": 0, "seq": 0, "entry": 0}) for one in fields]
    return {(event.key, event.step): event for event in plain}


@pytest.fixture
def fresh_kafka(kafka: Kafka) -> Iterator[Kafka]:
    """A Kafka without any of a cluster's topics."""
    forget_cluster(kafka)
    yield kafka
    forget_cluster(kafka)


@pytest.fixture
def settings(fresh_kafka: Kafka, dsn: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(moving, "QUIET_S", 0.05)
    return Settings.told(kafka=fresh_kafka.servers, dsn=dsn)


@pytest.fixture
def cluster(settings: Settings) -> Cluster:
    make_log(settings, 3)
    return Cluster(settings)


@pytest.fixture(scope="module")
def unmoved() -> dict[tuple[str, int], AlarmEvent]:
    """What one engine says of the whole story."""
    engine = Engine(None, read_pack=parse_pack, capacity=4096)
    pack = load_pack()
    payloads: list[Payload] = [PackActivated(pack.version, pack.toml), Sensors(SENSORS)]
    payloads += [payload for round_ in city(range(180)) for payload in round_]
    events = [e for n, payload in enumerate(payloads, 1) for e in engine.apply(Entry(n, payload)).events]
    fields = [{name: getattr(event, name) for name in event.__struct_fields__} for event in events]
    plain = [AlarmEvent(**one | {"partition": 0, "seq": 0, "entry": 0}) for one in fields]
    return {(event.key, event.step): event for event in plain}


def test_half_judged_on_three_and_half_on_five_partitions_gives_the_same_alarms(
    cluster: Cluster, unmoved: dict[tuple[str, int], AlarmEvent]
) -> None:
    """Key by key and step by step; and everybody who was told is told no more and no less."""
    cluster.feed(range(70))
    cluster.judge()
    standing = cluster.rows("SELECT key, partition, enterprise FROM alarms WHERE open")
    assert len({partition for _, partition, _ in standing}) > 1, "alarms of several partitions stand while it moves"
    old = layout_of(cluster.settings)
    with KafkaLog(old.servers, old.topic, old.partitions, patience_s=PATIENCE_S) as log:
        log.append([Tick(START + 70_000_000)])  # by a door that ended after the workers
    assert move_log(cluster.settings, 5) == "tocsin.log.5"
    layout = layout_of(cluster.settings)
    assert (layout.topic, layout.partitions) == ("tocsin.log.5", 5)
    for _, partition, enterprise in cluster.rows("SELECT key, partition, enterprise FROM alarms"):
        assert partition == partition_of(enterprise, 5)
    before = cluster.rows("SELECT count(*) FROM notifications")
    cluster.judge()
    assert cluster.rows("SELECT count(*) FROM notifications") == before, "nobody hears again of what was told"
    cluster.feed(range(70, 180))
    cluster.judge()
    assert told(cluster.dsn) == unmoved
    pairs = cluster.rows("SELECT partition, enterprise FROM alarm_events WHERE seq > 0 AND enterprise <> 'tocsin'")
    assert {p for p, _ in pairs} <= set(range(5))
    assert cluster.rows("SELECT count(*) FROM alarms WHERE enterprise <> 'tocsin'")[0][0] == len(
        {k for k, _ in unmoved}
    )


def test_it_may_move_back_where_it_was(cluster: Cluster, unmoved: dict[tuple[str, int], AlarmEvent]) -> None:
    """The old topic still holds its entries; everybody goes on behind them."""
    cluster.feed(range(60))
    cluster.judge()
    move_log(cluster.settings, 2)
    cluster.feed(range(60, 120))
    cluster.judge()
    move_log(cluster.settings, 3)
    cluster.feed(range(120, 180))
    cluster.judge()
    assert told(cluster.dsn) == unmoved
    assert {active_pack_version(cluster.dsn, partition=p) for p in range(3)} == {load_pack().version}
    assert active_pack_version(cluster.dsn, partition=3) is None


def test_the_new_logs_time_goes_on_where_the_old_ones_stood(cluster: Cluster) -> None:
    """A door's clock may have fallen behind; arrivals never go back."""
    cluster.feed(range(3))
    cluster.judge()
    old = last_logged_in_kafka_us(cluster.settings.kafka, "tocsin.log.3", 3)
    move_log(cluster.settings, 4)
    assert last_logged_in_kafka_us(cluster.settings.kafka, "tocsin.log.4", 4) == old


def test_each_risk_goes_with_its_enterprise_and_stays_what_it_was(cluster: Cluster) -> None:
    cluster.feed(range(70))
    cluster.judge()
    asked = "SELECT enterprise, score, colour, since_us FROM risk ORDER BY 1"
    before = cluster.rows(asked)
    move_log(cluster.settings, 7)
    assert cluster.rows(asked) == before != []
    for enterprise, partition in cluster.rows("SELECT enterprise, partition FROM risk"):
        assert partition == partition_of(enterprise, 7)


def test_what_was_asked_meanwhile_enters_the_log_where_it_belongs(cluster: Cluster) -> None:
    """A person does not wait for a move."""
    cluster.feed(range(70))
    cluster.judge()
    key, enterprise = cluster.rows("SELECT key, enterprise FROM alarms WHERE enterprise <> 'tocsin' LIMIT 1")[0]
    facts = DeviceFacts("shop-3", "kitchen", rated_current_a=16.0)
    with psycopg.connect(cluster.dsn) as connection:
        connection.execute(
            "INSERT INTO commands (key, action, alarm_key, seen_step, partition) VALUES ('c', 'reset', %s, 1, 2)",
            (key,),
        )
        connection.execute("INSERT INTO control_outbox (body, partition) VALUES (%s, 0)", (encode(facts),))
    move_log(cluster.settings, 7)
    assert cluster.rows("SELECT partition FROM commands") == [(partition_of(enterprise, 7),)]
    assert cluster.rows("SELECT partition FROM control_outbox") == [(partition_of("shop-3", 7),)]


def _unjudged(cluster: Cluster) -> None:
    cluster.feed(range(5, 6))


def _untold_tick(cluster: Cluster) -> None:
    """An hour without a word from anybody."""
    layout = layout_of(cluster.settings)
    with KafkaLog(layout.servers, layout.topic, layout.partitions, patience_s=PATIENCE_S) as log:
        log.append([Tick(START + n * 1_000_000) for n in range(70, 4000, 10)])


def _unstored(cluster: Cluster) -> None:
    cluster.store(1, 1)


def _untold(cluster: Cluster) -> None:
    with psycopg.connect(cluster.dsn) as connection:
        connection.execute("UPDATE positions SET position = position - 1 WHERE consumer = 'desk' AND position > 0")


def _unkept(cluster: Cluster) -> None:
    with psycopg.connect(cluster.dsn) as connection:
        connection.execute("UPDATE positions SET position = position - 1 WHERE consumer = 'risk' AND position > 0")


def _strange(cluster: Cluster) -> None:
    with psycopg.connect(cluster.dsn) as connection:
        connection.execute("INSERT INTO positions (consumer) VALUES ('somebody')")


def _pack(cluster: Cluster) -> None:
    with psycopg.connect(cluster.dsn) as connection:
        connection.execute("INSERT INTO control_outbox (body) VALUES (%s)", (encode(PackActivated("v", "t")),))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_unjudged, "engine stands at entry"),
        (_untold_tick, "gives an alarm"),
        (_unstored, "store stands at entry 1 of partition 1"),
        (_untold, "wait for desk"),
        (_unkept, "wait for risk"),
        (_strange, "somebody"),
        (_pack, "a rule pack waits"),
    ],
)
def test_nothing_moves_that_is_not_at_rest(cluster: Cluster, spoil: Callable[[Cluster], None], said: str) -> None:
    """What waits would be forgotten; the log stays as it is, and goes on."""
    cluster.feed(range(70))
    cluster.judge()
    spoil(cluster)
    before = cluster.rows("SELECT * FROM positions ORDER BY 1, 2")
    with pytest.raises(ConfigError, match=said):
        move_log(cluster.settings, 5)
    assert cluster.rows("SELECT * FROM positions ORDER BY 1, 2") == before
    assert layout_of(cluster.settings).partitions == 3


def test_a_writer_or_a_desk_at_work_is_seen(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A door that nobody stopped would go on writing into a log that nobody reads."""
    cluster.feed(range(5))
    cluster.judge()
    layout = layout_of(cluster.settings)
    desk = make_desk(cluster.dsn, Routes(()), HandClock(), HeldChannel("held"), partition=2)
    desk.serve_once()
    with pytest.raises(ConfigError, match="a desk is at work"):
        move_log(cluster.settings, 5)
    desk.stop()
    desk.run()
    with KafkaLog(layout.servers, layout.topic, layout.partitions, patience_s=PATIENCE_S) as log:
        # A tick while the move waits whether one comes.
        monkeypatch.setattr("tocsin.moving.time.sleep", lambda _: log.append([Tick(START + 6_000_000)]))
        with pytest.raises(ConfigError, match="somebody writes into the log"):
            move_log(cluster.settings, 5)
        log.append([Tick(START + 7_000_000)])


def test_a_worker_at_work_is_seen(cluster: Cluster, tmp_path: Path) -> None:
    """It would go on waiting for entries of a log that nobody writes."""
    layout = layout_of(cluster.settings)
    worker = Worker(
        layout.servers,
        layout.topic,
        live=lambda partition, reader: HeldLife(),
        keep=lambda run: None,
        unreadable=lambda *_: None,
        data=tmp_path,
    )
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        until(lambda: bool(worker.partitions.owned()), "the worker is in its group", 60.0)
        with pytest.raises(ConfigError, match="a worker is at work"):
            move_log(cluster.settings, 5)
    finally:
        worker.stop()
        thread.join(30.0)


class HeldLife:
    """Port `PartitionLife` that does nothing."""

    checkpointed = 0

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def run(self) -> None:
        self._stopped.wait()

    def stop(self) -> None:
        self._stopped.set()


def test_who_had_the_old_log_open_is_fenced_whatever_he_does(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A door that was cut off for the time of the move must not acknowledge into a log that nobody reads."""
    cluster.feed(range(5))
    cluster.judge()
    layout = layout_of(cluster.settings)
    with KafkaLog(layout.servers, layout.topic, layout.partitions, patience_s=PATIENCE_S) as door:
        door.append([Tick(START + 5_000_000)])
        cluster.judge()
        move_log(cluster.settings, 5)
        for write in (door.append, door.at(1).put):
            with pytest.raises(Fenced, match="it has moved"):
                write([Tick(START + 6_000_000)])
    with (
        closing(PostgresPositions(cluster.dsn, "engine", partition=1, topic=layout.topic)) as worker,
        pytest.raises(ConfigError, match=r"not tocsin\.log\.3 any more"),
    ):
        worker.load()
    with pytest.raises(Fenced, match=r"moved to tocsin\.log\.5"):
        LayoutWatch(cluster.settings, layout, every_s=0.0).run()
    with pytest.raises(Fenced, match=r"moved to tocsin\.log\.5"):
        follow(StoreSettings(cluster.dsn, kafka=layout.servers, topic=layout.topic, partitions=3), threading.Event())
    monkeypatch.setattr("tocsin.one_process.warm_up", lambda: None)
    one = OneProcess(Settings.told(dsn=cluster.dsn, data=tmp_path))
    with pytest.raises(ConfigError, match="that of a cluster"):
        one.start()
    one.stop()


def test_the_log_of_one_process_moves_into_kafka(
    settings: Settings, dsn: str, unmoved: dict[tuple[str, int], AlarmEvent]
) -> None:
    """Who outgrows one machine keeps every alarm that stands."""
    cluster = Cluster(settings)
    with PostgresLogWriter(dsn) as writer:
        ensure_pack(writer, dsn, load_pack())
        writer.append([Sensors(SENSORS)])
        for payloads in city(range(70)):
            writer.append(payloads)
        last = writer.head
    reader = PostgresLogReader(dsn)
    judge_to(dsn, reader, 0, last)
    reader.close()
    cluster.store(0, last)
    cluster.tell(1)
    move_log(cluster.settings, 6)
    cluster.feed(range(70, 180))
    cluster.judge()
    assert told(dsn) == unmoved


KILLS = [name for name in NAMES if "move" in name]


def killed_at(settings: Settings, point: str) -> None:
    """Call the command, which dies there."""
    told = {"TOCSIN_KAFKA": settings.kafka, "TOCSIN_DSN": settings.dsn, "TOCSIN_FAILPOINT": point}
    words = [sys.executable, "-m", "tocsin", "migrate", "--move-to-partitions", "5"]
    done = subprocess.run(words, env=os.environ | told, capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_a_move_that_was_killed_is_done_again(cluster: Cluster, unmoved: dict[tuple[str, int], AlarmEvent]) -> None:
    """Wherever it died: either nothing has moved, or all of it has."""
    cluster.feed(range(70))
    cluster.judge()
    before = cluster.rows("SELECT consumer, partition, position FROM positions ORDER BY 1, 2")
    for point in KILLS:
        killed_at(cluster.settings, point)
        has_moved = layout_of(cluster.settings).partitions == 5
        after = cluster.rows("SELECT consumer, partition, position FROM positions ORDER BY 1, 2")
        assert has_moved == (after != before) == (point == "after_move")
    assert move_log(cluster.settings, 5) == "tocsin.log.5"
    cluster.feed(range(70, 180))
    cluster.judge()
    assert told(cluster.dsn) == unmoved


def test_a_move_that_was_killed_is_undone(cluster: Cluster, unmoved: dict[tuple[str, int], AlarmEvent]) -> None:
    """Whoever must go on at once goes on with the log as it was."""
    cluster.feed(range(70))
    cluster.judge()
    killed_at(cluster.settings, "move_wrote_time")
    with pytest.raises(Fenced):
        cluster.feed(range(70, 71))
    make_log(cluster.settings, None)
    cluster.feed(range(70, 180))
    cluster.judge()
    assert layout_of(cluster.settings).partitions == 3
    assert told(cluster.dsn) == unmoved


def test_a_checkpoint_without_its_log_is_a_stop(cluster: Cluster) -> None:
    """What a day of log cannot rebuild must not be lost in silence."""
    cluster.feed(range(5))
    cluster.judge()
    with psycopg.connect(cluster.dsn) as connection:
        connection.execute("UPDATE checkpoints SET manifest = '' WHERE partition = 1")
    with pytest.raises(CorruptState):
        move_log(cluster.settings, 5)
    assert layout_of(cluster.settings).partitions == 3
