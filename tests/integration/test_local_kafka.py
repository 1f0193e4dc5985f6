"""The Kafka that a cluster on one machine brings with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.errors import ConfigError, ServiceAway
from tocsin.local import kafka_jars
from tocsin.local.kafka import Kafka
from tocsin.local.mosquitto import free_port

pytestmark = [pytest.mark.integration, pytest.mark.kafka]


def topics_of(server: Kafka) -> set[str]:
    return set(AdminClient({"bootstrap.servers": server.servers}).list_topics(timeout=10.0).topics)


def test_a_killed_kafka_comes_back_on_its_port_with_its_topics(kafka: Kafka, tmp_path: Path) -> None:
    """Tests of kills start it again while clients hold its address."""
    with Kafka(tmp_path / "kafka") as server:
        admin = AdminClient({"bootstrap.servers": server.servers, "log_level": 0})
        admin.create_topics([NewTopic("kept", 2, 1)])["kept"].result(30.0)
        before, pid = server.servers, server.pid
        server.kill()
        server.start()
        assert server.servers == before
        assert server.pid != pid
        assert "kept" in topics_of(server)


def test_an_existing_kafka_is_used_and_left_alone(kafka: Kafka, tmp_path: Path) -> None:
    """TOCSIN_KAFKA names somebody's own."""
    with Kafka(tmp_path / "none", existing=kafka.servers) as server:
        assert server.servers == kafka.servers
        assert server.pid == 0
    assert topics_of(kafka) is not None
    assert not (tmp_path / "none").exists()


def test_what_is_missing_is_named_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A fresh machine has neither Java nor Maven."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="apt install default-jdk-headless maven"):
        Kafka(tmp_path / "kafka").start()
    with pytest.raises(ConfigError, match="apt install default-jdk-headless maven"):
        kafka_jars.jars()


def test_a_kafka_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A wrong TOCSIN_KAFKA must not look like a hang."""
    monkeypatch.setattr("tocsin.local.kafka._READY_S", 0.2)
    with pytest.raises(ServiceAway, match="TOCSIN_KAFKA"):
        Kafka(tmp_path / "kafka", existing=f"127.0.0.1:{free_port()}").start()
