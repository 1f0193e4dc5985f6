"""`tocsin migrate` with a Kafka: a cluster's topics, its log and the row that names it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from schemas.entries import PackActivated
from schemas.errors import ConfigError, TocsinError
from schemas.kafka import topics
from streams.log.kafka_reader import KafkaLogReader
from streams.log.kafka_topics import partitions_of
from tests.kafka_topics import forget_cluster
from tocsin.commands.migrate import app
from tocsin.layout import layout_of
from tocsin.local.kafka import Kafka
from tocsin.settings import Settings

pytestmark = [pytest.mark.integration, pytest.mark.kafka]
Migrate = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def fresh_kafka(kafka: Kafka) -> Iterator[Kafka]:
    """A Kafka without any of a cluster's topics."""
    forget_cluster(kafka)
    yield kafka
    forget_cluster(kafka)


@pytest.fixture
def migrate(fresh_kafka: Kafka, dsn: str, monkeypatch: pytest.MonkeyPatch) -> Migrate:
    monkeypatch.setenv("TOCSIN_KAFKA", fresh_kafka.servers)
    monkeypatch.setenv("TOCSIN_DSN", dsn)

    def run(*words: str) -> list[dict[str, Any]]:
        result = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=True)
        if isinstance(result.exception, TocsinError):
            raise result.exception
        assert result.exit_code == 0, result.output
        done: list[dict[str, Any]] = json.loads(result.stdout.strip().splitlines()[-1])
        return done

    return run


def test_a_new_cluster_gets_its_topics_and_its_rules(migrate: Migrate, fresh_kafka: Kafka, dsn: str) -> None:
    """No reading may enter a partition before the rules by which it is judged."""
    done = migrate("--partitions", "3")
    assert {one["topic"] for one in done if "topic" in one} == {topic.name for topic in topics(3)}
    layout = layout_of(Settings.told())
    assert (layout.topic, layout.partitions) == ("tocsin.log.3", 3)
    assert partitions_of(fresh_kafka.servers, ["tocsin.log.3"]) == {"tocsin.log.3": 3}
    for partition in range(3):
        reader = KafkaLogReader(fresh_kafka.servers, layout.topic, partition)
        (entry,) = reader.read(0)
        reader.close()
        assert isinstance(entry.payload, PackActivated)
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT count(*) FROM rule_pack_activations").fetchone() == (3,)


def test_again_there_is_nothing_to_do(migrate: Migrate) -> None:
    """Every upgrade runs it."""
    migrate("--partitions", "3")
    assert migrate("--partitions", "3") == []
    assert migrate() == []


def test_where_nothing_is_said_a_log_has_eight_partitions(migrate: Migrate) -> None:
    """A record costs the same however little it holds."""
    migrate()
    assert layout_of(Settings.told()).partitions == 8


def test_another_number_of_partitions_names_the_command_that_moves_the_log(migrate: Migrate) -> None:
    """A topic with more partitions would judge half of an enterprise here and half there."""
    migrate("--partitions", "3")
    with pytest.raises(ConfigError, match="tocsin migrate --move-to-partitions 5"):
        migrate("--partitions", "5")


def test_the_database_of_one_process_is_not_taken_for_an_empty_one(migrate: Migrate, dsn: str) -> None:
    """Its alarms would be forgotten."""
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO positions (consumer, position) VALUES ('engine', 9)")
    with pytest.raises(ConfigError, match="--move-to-partitions 8"):
        migrate()


def test_partitions_need_a_kafka(migrate: Migrate, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process has one."""
    monkeypatch.delenv("TOCSIN_KAFKA")
    with pytest.raises(ConfigError, match="TOCSIN_KAFKA"):
        migrate("--partitions", "3")
