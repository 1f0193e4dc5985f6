"""The doctor before a cluster: one that is well, and one in which a part after the other is broken."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient, NewPartitions

from alerting.desk import Desk
from alerting.desks import Desks
from alerting.routes import Recipient, Routes
from schemas.alarms import Grade, State
from schemas.entries import Tick
from schemas.kafka import QUARANTINE, log_topic, workers_group
from streams.log.kafka import KafkaLog
from streams.log.kafka_topics import ends_of
from tests.alerting_world import HandClock, HeldChannel, Story, event, make_desk
from tests.waiting import until
from tocsin.cluster_log import make_log
from tocsin.doctor import Finding, Verdict, examine
from tocsin.local.kafka import Kafka
from tocsin.migrate import migrate as migrate_database
from tocsin.postgres import EmbeddedPostgres
from tocsin.settings import Settings

pytestmark = [pytest.mark.integration, pytest.mark.kafka]
P = 3


def migrate(settings: Settings) -> None:
    """By the word that the doctor names."""
    environment = {"TOCSIN_DSN": settings.dsn, "TOCSIN_KAFKA": settings.kafka}
    subprocess.run(
        [sys.executable, "-m", "tocsin", "migrate", "--partitions", str(P)],
        check=True, env={**environment, "PATH": ""}, capture_output=True, timeout=60,
    )  # fmt: skip


@pytest.fixture
def settings(kafka: Kafka, dsn: str, tmp_path: Path) -> Iterator[Settings]:
    """Of a cluster without tables of a log; topics of earlier tests are gone."""
    admin = AdminClient({"bootstrap.servers": kafka.servers})

    def forget() -> None:
        names = [name for name in admin.list_topics(timeout=10).topics if name.startswith("tocsin.")]
        for future in admin.delete_topics(names).values() if names else ():
            future.result(30)

    forget()
    yield Settings.told(dsn=dsn, kafka=kafka.servers, data=tmp_path)
    forget()


@pytest.fixture(scope="module")
def postgres() -> Iterator[EmbeddedPostgres]:
    """One that keeps its word: the other tests' does not, for speed, and a doctor sees it."""
    with (
        tempfile.TemporaryDirectory(prefix="tocsin-") as folder,
        EmbeddedPostgres(Path(folder) / "pg", settings={"shared_buffers": "64MB"}) as server,
    ):
        migrate_database(server.dsn())
        yield server


@pytest.fixture
def cluster(settings: Settings) -> Iterator[Settings]:
    """One that is well: what doors, workers and the store leave in Kafka and PostgreSQL, and living desks."""
    make_log(settings, P)
    with living_desks(settings.dsn), living_workers(settings.kafka):
        yield settings


def a_moment_ago(settings: Settings) -> None:
    """Everything lives: a tick in every partition, judged, stored and in a checkpoint, and a door that beats."""
    with KafkaLog(settings.kafka, log_topic(P), P) as log:
        log.append([Tick(time.time_ns() // 1000)])
    with psycopg.connect(settings.dsn) as connection:
        for partition, end in ends_of(settings.kafka, log_topic(P), range(P)).items():
            for consumer in ("engine", "store"):
                connection.execute(
                    "INSERT INTO positions (consumer, partition, position) VALUES (%s, %s, %s)"
                    " ON CONFLICT (consumer, partition) DO UPDATE SET position = excluded.position",
                    [consumer, partition, end.last],
                )
            connection.execute(
                "INSERT INTO checkpoints (consumer, partition, generation, position, manifest, crc)"
                " VALUES ('engine', %s, 1, %s, '', 0) ON CONFLICT DO NOTHING",
                [partition, end.last],
            )
        connection.execute("UPDATE store_status SET written_at = now()")
        connection.execute(
            "INSERT INTO doors (name, run) VALUES ('door-1', 'a') ON CONFLICT (name) DO UPDATE SET seen_at = now()"
        )


class living_desks:  # noqa: N801  used as a block
    """Desks that serve all partitions while the block runs."""

    def __init__(self, dsn: str) -> None:
        routes = Routes((Recipient("ops", "held"),))

        def desk(partition: int) -> Desk:
            return make_desk(dsn, routes, HandClock(), HeldChannel("held"), partition=partition, shares=True)

        self._desks = Desks(dsn, P, desk)
        self._thread = threading.Thread(target=self._desks.run)

    def __enter__(self) -> None:
        self._thread.start()
        until(lambda: len(self._desks.held()) == P and not self._desks.trouble(), "all partitions are served")

    def __exit__(self, *_: object) -> None:
        self._desks.stop()
        self._thread.join(10)


@contextmanager
def living_workers(servers: str) -> Iterator[None]:
    """A member of the workers' group, who has all partitions while the block runs."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": workers_group(log_topic(P))})
    consumer.subscribe([log_topic(P)])
    stop = threading.Event()

    def poll() -> None:
        while not stop.is_set():
            consumer.poll(0.1)

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)
        consumer.close()


def amiss(settings: Settings) -> dict[str, Finding]:
    """part → what is not well with it."""
    return {found.part: found for found in examine(settings) if found.verdict is not Verdict.OK}


def sql(settings: Settings, statement: str) -> None:
    with psycopg.connect(settings.dsn) as connection:
        connection.execute(statement.encode())


def see(settings: Settings, what: set[str], statement: str = "SELECT 1") -> dict[str, Finding]:
    """What is not well after `statement` on a cluster that lived a moment ago, as soon as that is `what`.

    A machine that stands still for ten seconds between makes more of it unwell, so it is looked at again.
    """
    seen: dict[str, Finding] = {}

    def is_seen() -> bool:
        nonlocal seen
        a_moment_ago(settings)
        sql(settings, statement)
        seen = amiss(settings)
        return seen.keys() == what

    try:
        until(is_seen, f"{what or 'nothing'} is amiss")
    except AssertionError as error:
        error.add_note(f"seen: {seen}")
        raise
    return seen


def test_all_is_well_with_a_cluster_that_is(cluster: Settings) -> None:
    """A doctor that always finds something is soon not asked any more."""
    see(cluster, set())
    assert {one.part for one in examine(cluster)} >= {
        "postgresql", "durability", "sessions", "schema", "kafka", "topics", "replicas", "ticks", "worker", "lag",
        "checkpoint", "store", "desk", "door", "clock", "commands", "entries", "quarantine", "messages",
    }  # fmt: skip


def test_the_command_says_the_same_to_programs(cluster: Settings) -> None:
    """One array of findings; the exit code says whether anything is wrong."""

    def run() -> tuple[int, list[dict[str, str]]]:
        done = subprocess.run(
            [sys.executable, "-m", "tocsin", "doctor", "--json", "--data", str(cluster.data)],
            env={"TOCSIN_DSN": cluster.dsn, "TOCSIN_KAFKA": cluster.kafka}, capture_output=True, timeout=60,
        )  # fmt: skip
        return done.returncode, json.loads(done.stdout)

    def is_well() -> bool:
        a_moment_ago(cluster)
        code, found = run()
        assert all(set(one) == {"part", "verdict", "words", "mend"} for one in found)
        return code == 0

    until(is_well, "it ends with code 0")
    sql(cluster, "DELETE FROM log_layout")
    code, found = run()
    assert code == 1 and any(one["part"] == "log" and "tocsin migrate" in one["mend"] for one in found)


BROKEN: list[tuple[str, str, Verdict, str, str]] = [
    ("UPDATE checkpoints SET saved_at = now() - interval '10 min' WHERE partition = 2",
     "checkpoint", Verdict.WARNING, "old in 2: 60", "replays"),
    ("DELETE FROM checkpoints WHERE partition = 1", "checkpoint", Verdict.WARNING, "none yet of partition 1", "minute"),
    ("UPDATE store_status SET written_at = now() - interval '2 min'",
     "store", Verdict.WRONG, "nothing stored", "worker"),
    ("UPDATE doors SET seen_at = now() - interval '1 min'", "doors", Verdict.WRONG, "no door and no bridge", "door"),
    ("INSERT INTO doors (name, run, seen_at) VALUES ('door-2', 'b', now() - interval '1 min') ON CONFLICT DO NOTHING",
     "door", Verdict.WARNING, "not heard of: door-2", "takes up"),
    ("INSERT INTO unreadable_entries (topic, partition, number, kind, body, why) VALUES ('t', 1, 2, '', '', 'torn')"
     " ON CONFLICT DO NOTHING", "entries", Verdict.WARNING, "1 of the log", "unreadable_entries"),
    ("INSERT INTO commands (key, action, alarm_key, seen_step, asked_at) VALUES ('k', 'reset', 'a', 1,"
     " now() - interval '1 min') ON CONFLICT DO NOTHING",
     "commands", Verdict.WRONG, "1 wait to enter the log", "judges the partition"),
    ("INSERT INTO control_outbox (id, body, refused) OVERRIDING SYSTEM VALUE VALUES (1, '', 'torn')"
     " ON CONFLICT DO NOTHING", "commands", Verdict.WARNING, "1 can never enter", "refused"),
    ("DELETE FROM alembic_version", "schema", Verdict.WRONG, "migrations are missing", "tocsin migrate"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "part", "verdict", "words", "mend"), BROKEN)
def test_what_is_broken_is_named_with_its_mend(
    cluster: Settings, statement: str, part: str, verdict: Verdict, words: str, mend: str
) -> None:
    """What a person reads at night must name the part, and what to do about it; the rest is well."""
    # That none is alive is said of all doors, and by name as well.
    found = see(cluster, {part} | ({"door"} if part == "doors" else set()), statement)
    assert (found[part].verdict, words in found[part].words, mend in found[part].mend) == (verdict, True, True)


def test_a_topic_that_is_missing_or_of_another_size_is_named(cluster: Settings) -> None:
    """What others have deleted or changed in Kafka."""
    admin = AdminClient({"bootstrap.servers": cluster.kafka})
    for future in admin.delete_topics([QUARANTINE]).values():
        future.result(30)
    assert QUARANTINE in see(cluster, {"topics"})["topics"].words
    migrate(cluster)
    see(cluster, set())
    for future in admin.create_partitions([NewPartitions(QUARANTINE, 2)]).values():
        future.result(30)
    assert f"{QUARANTINE} has 2, not 1" in see(cluster, {"topics"})["topics"].words


def test_kafka_that_is_away_is_said_and_the_rest_is_looked_at(cluster: Settings) -> None:
    a_moment_ago(cluster)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    found = list(examine(cluster.model_copy(update={"kafka": f"127.0.0.1:{port}"})))
    (kafka,) = [one for one in found if one.part == "kafka"]
    assert kafka.verdict is Verdict.WRONG and f"127.0.0.1:{port}" in kafka.mend
    assert {one.part for one in found} >= {"postgresql", "checkpoint", "store", "desk", "messages"}


def test_without_workers_and_desks_nobody_is_told_and_that_is_said(settings: Settings) -> None:
    """Everything else may be well, and a fire is told to nobody."""
    make_log(settings, P)
    a_moment_ago(settings)
    # A Kafka that has just begun does not say yet who judges.
    until(lambda: "no alarm is raised" in amiss(settings)["worker"].words, "nobody judges")
    a_moment_ago(settings)
    found = amiss(settings)
    assert "tocsin worker" in found["worker"].mend
    assert "nobody is told" in found["desk"].words and "tocsin desk" in found["desk"].mend
    Story(settings.dsn, partition=1).tell(event(State.RAISED, Grade.RED))
    sql(settings, "UPDATE alarm_events SET judged_at = now() - interval '1 min'")
    _, waits = [one for one in examine(settings) if one.part == "desk"]
    assert "alarms wait to be told in 1: 6" in waits.words


def test_a_database_without_a_cluster_is_told_to_migrate(settings: Settings) -> None:
    found = amiss(settings)
    assert set(found) == {"log"} and "tocsin migrate" in found["log"].mend


@pytest.mark.parametrize("dsn", ["", "host=127.0.0.1 port=1 user=nobody dbname=nothing"])
def test_a_postgresql_that_is_not_there_is_said(settings: Settings, dsn: str) -> None:
    found = amiss(settings.model_copy(update={"dsn": dsn}))
    assert set(found) == {"postgresql"} and found["postgresql"].verdict is Verdict.WRONG


@pytest.mark.parametrize(
    ("setting", "verdict", "words"),
    [
        ("fsync", Verdict.WRONG, "fsync off: a power cut loses"),
        ("full_page_writes", Verdict.WRONG, "full_page_writes off"),
        ("synchronous_commit", Verdict.WARNING, "synchronous_commit is off"),
    ],
)
def test_a_server_that_does_not_keep_its_word_is_named(
    tmp_path: Path, setting: str, verdict: Verdict, words: str
) -> None:
    """With fsync off an acknowledged reading is gone after a power cut; nobody would notice before."""
    tmp_path.chmod(0o711)
    with EmbeddedPostgres(tmp_path / "pg", settings={"shared_buffers": "32MB", setting: "off"}) as server:
        found = amiss(Settings.told(dsn=server.dsn(), kafka="127.0.0.1:1", data=tmp_path))
    assert found["durability"].verdict is verdict and words in found["durability"].words
    assert f"{setting} = on" in found["durability"].mend
