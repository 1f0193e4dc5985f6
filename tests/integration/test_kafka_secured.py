"""A Kafka that wants a login and speaks TLS, told once by TOCSIN_KAFKA_CONFIG, for every client that we have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

from schemas.entries import Entry, Tick
from schemas.errors import ServiceAway
from streams.log.kafka import KafkaLog
from streams.log.kafka_reader import KafkaPartitionsReader
from streams.log.kafka_topics import partitions_of
from streams.log.kafka_topics_reader import KafkaTopicsReader
from streams.log.unreadable import unreadable_rows
from streams.ports import LogReader
from streams.worker.app import Worker
from tests.kafka_topics import PATIENCE_S, fresh_topic
from tests.waiting import until
from tests.workers_world import CountingLife, OneWorker, positions
from tocsin.certs import issue
from tocsin.layout import kafka_config
from tocsin.local.kafka import Kafka, Secured

pytestmark = [pytest.mark.integration, pytest.mark.kafka]

LOGIN, PASSWORD = "tocsin", "right-and-long"


@pytest.fixture(scope="module")
def secured(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kafka, Path]]:
    """The Kafka, and the file of the authority that signed its certificate."""
    folder = tmp_path_factory.mktemp("secured")
    year = timedelta(days=365)
    files = issue(folder, ["127.0.0.1"], year, year, datetime.now(UTC))
    chain = folder / "chain.pem"
    chain.write_bytes(files.key.read_bytes() + files.certificate.read_bytes() + files.ca.read_bytes())
    with Kafka(folder / "kafka", secured=Secured(chain, {LOGIN: PASSWORD})) as server:
        admin = AdminClient({"bootstrap.servers": server.servers})
        scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        told = admin.alter_user_scram_credentials([UserScramCredentialUpsertion(LOGIN, scram, PASSWORD.encode())])
        told[LOGIN].result(60)
        yield server, files.ca


def config(folder: Path, ca: Path, mechanism: str, password: str = PASSWORD) -> Mapping[str, str]:
    """As an operator writes it."""
    file = folder / "kafka.conf"
    file.write_text(
        f"# our Kafka\nsecurity.protocol = SASL_SSL\nsasl.mechanism = {mechanism}\n"
        f"sasl.username = {LOGIN}\nsasl.password = {password}\nssl.ca.location = {ca}\n"
    )
    return kafka_config(file)


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
def test_what_one_file_says_lets_every_client_in(
    secured: tuple[Kafka, Path], dsn: str, tmp_path: Path, mechanism: str
) -> None:
    """The log's writer and readers are librdkafka, the worker is Faust over aiokafka: two libraries, one setting."""
    server, ca = secured
    told, servers = config(tmp_path, ca, mechanism), server.secured_servers
    topic, quarantine = fresh_topic(server, 2), fresh_topic(server, 1)
    said = [Tick(1_000_000), Tick(2_000_000)]
    with KafkaLog(servers, topic, 2, told, patience_s=PATIENCE_S) as log:
        assert log.append(said) == {0: 2, 1: 2}
    assert partitions_of(servers, [topic], told) == {topic: 2}

    reader = KafkaPartitionsReader(servers, topic, [0, 1], told)
    found: list[Entry] = []
    after = {0: 0, 1: 0}

    def is_read() -> bool:
        if reader.wait(after, 0.1):
            found.extend(reader.read(after))
            after.update({entry.partition: entry.number for entry in found})
        return after == {0: 2, 1: 2}

    until(is_read, "both partitions are read")
    reader.close()
    assert sorted(found, key=lambda one: (one.partition, one.number)) == [
        Entry(number, said[number - 1], partition) for partition in (0, 1) for number in (1, 2)
    ]

    one = worker(servers, topic, quarantine, told, dsn, tmp_path)
    try:
        until(lambda: positions(dsn) == {0: 2, 1: 2}, "both partitions are judged")
        until(lambda: not one.worker.trouble(), "the worker has no trouble")
    finally:
        one.end()


def test_a_wrong_password_names_the_setting(secured: tuple[Kafka, Path], dsn: str, tmp_path: Path) -> None:
    """Kafka that is only said to be away sends people to look at the network."""
    server, ca = secured
    told, servers = config(tmp_path, ca, "SCRAM-SHA-512", "wrong-and-secret"), server.secured_servers
    topic, quarantine = fresh_topic(server, 1), fresh_topic(server, 1)
    one = worker(servers, topic, quarantine, told, dsn, tmp_path)
    try:
        until(lambda: "TOCSIN_KAFKA_CONFIG" in one.worker.trouble(), "the worker names the setting")
    finally:
        one.end()
    with pytest.raises(ServiceAway, match=r"let us in: .*uthentication.* Look at TOCSIN_KAFKA_CONFIG") as caught:
        partitions_of(servers, [topic], told)
    refused_alike(servers, topic, told)
    assert "wrong-and-secret" not in str(caught.value) + one.worker.trouble()


def test_an_unknown_authority_names_the_setting(secured: tuple[Kafka, Path], tmp_path: Path) -> None:
    """The certificate is not the server's, or the file is another house's."""
    server, _ = secured
    stranger = issue(tmp_path / "other", ["127.0.0.1"], *[timedelta(days=365)] * 2, datetime.now(UTC))
    refused_alike(server.secured_servers, "any", config(tmp_path, stranger.ca, "PLAIN"))


def refused_alike(servers: str, topic: str, told: Mapping[str, str]) -> None:
    """The log's writer and both readers say what is to be mended."""
    with KafkaLog(servers, topic, 1, told, patience_s=3.0) as log:
        with pytest.raises(ServiceAway, match="TOCSIN_KAFKA_CONFIG"):
            log.append([Tick(1)])
        assert "TOCSIN_KAFKA_CONFIG" in log.trouble()
    reader = KafkaPartitionsReader(servers, topic, [0], told)
    with pytest.raises(ServiceAway, match="TOCSIN_KAFKA_CONFIG"):
        reader.read({0: 0})
    reader.close()
    topics = KafkaTopicsReader(servers, from_start=[topic], config=told)
    with pytest.raises(ServiceAway, match="TOCSIN_KAFKA_CONFIG"):
        topics.read(0.1)
    topics.close()


def worker(servers: str, topic: str, quarantine: str, told: Mapping[str, str], dsn: str, folder: Path) -> OneWorker:
    lives: list[CountingLife] = []

    def live(partition: int, reader: LogReader) -> CountingLife:
        lives.append(CountingLife(dsn, partition, reader))
        return lives[-1]

    made = Worker(
        servers, topic, told, live=live, keep=lambda run: None, unreadable=unreadable_rows(dsn, topic), data=folder,
        quarantine=quarantine,
    )  # fmt: skip
    return OneWorker(made, lives)
