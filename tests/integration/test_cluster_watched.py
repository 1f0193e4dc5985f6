"""A whole cluster: what its processes say of themselves, what the doctor says as parts are taken away, an upgrade."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import httpx
import paho.mqtt.client as paho
import psycopg
import pytest
from paho.mqtt import publish
from paho.mqtt.enums import CallbackAPIVersion
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from schemas.errors import ConfigError, ServiceAway
from schemas.identity import partition_of
from tests.unit.test_deploy_metrics import EXPRESSIONS
from tests.unit.test_docs_metrics import ROWS
from tests.waiting import until
from tocsin.data_directory import DataDirectory
from tocsin.doctor import Finding, Verdict, examine
from tocsin.local.cluster import LocalCluster, Member, Plan
from tocsin.settings import Settings

pytestmark = [pytest.mark.integration, pytest.mark.kafka]
P = 4
PATIENCE_S = 300.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """One with an alarm in every partition, raised by devices at the door, and one raised at the broker."""
    environment = {"TOCSIN_CHECKPOINT_S": "1"}
    made = LocalCluster(tmp_path_factory.mktemp("watched"), Plan(workers=2, partitions=P, environment=environment))
    try:
        try:
            made.start()
        except ConfigError as error:
            (pytest.fail if os.environ.get("TOCSIN_REQUIRE") == "all" else pytest.skip)(str(error))
        shops = one_in_each_partition()
        for shop in shops:
            heat(made.mqtt_ports[0], shop)
        assert made.mosquitto is not None
        heat(made.mosquitto.port, "at-the-broker")
        until(lambda: alarms(made) >= {*shops, "at-the-broker"}, "the alarms stand in the API", PATIENCE_S)
        yield made
    finally:
        made.stop()


def one_in_each_partition() -> list[str]:
    """Enterprises, by the partition that each is in."""
    found: dict[int, str] = {}
    for number in count(1):
        found.setdefault(partition_of(f"shop-{number}", P), f"shop-{number}")
        if len(found) == P:
            return [found[partition] for partition in range(P)]
    raise AssertionError


def heat(port: int, enterprise: str) -> None:
    """Two readings of 95 °C from its kitchen."""
    topic = f"tocsin/v1/{enterprise}/kitchen/telemetry"
    messages = [{"topic": topic, "payload": json.dumps({"temperature": 95.0 + n}), "qos": 1} for n in range(2)]
    publish.multiple(messages, hostname="127.0.0.1", port=port)  # type: ignore[arg-type]


def alarms(cluster: LocalCluster) -> set[str]:
    """Enterprises that have one."""
    console = cluster.members["console-1"]
    headers = {"Authorization": f"Bearer {DataDirectory(console.data).token()}"}
    url = f"http://127.0.0.1:{console.running.http_port}/api/v1/alarms"
    answer = httpx.get(url, headers=headers, timeout=60).raise_for_status()
    return {alarm["enterprise"] for alarm in answer.json()["alarms"]}


def metrics(cluster: LocalCluster) -> dict[str, dict[str, Metric]]:
    """Member → name as on the page → metric, of Tocsin's own, without the times at which counters were made."""
    told = {}
    for name, member in cluster.members.items():
        answer = httpx.get(f"http://127.0.0.1:{member.running.http_port}/metrics", timeout=60).raise_for_status()
        told[name] = {
            family.name + ("_total" if family.type == "counter" else ""): family
            for family in text_string_to_metric_families(answer.text)
            if family.name.startswith("tocsin_") and not family.name.endswith("_created")
        }
    return told


def partitions(told: dict[str, Metric], name: str) -> list[str]:
    """Those of which a member tells."""
    return [sample.labels["partition"] for sample in told[name].samples if name in told and sample.name == name]


_OF_WORKERS = {"worker", "log", "engine", "store", "risk"}


def test_every_stage_is_told_of_by_the_process_that_has_it(cluster: LocalCluster) -> None:
    """Where a number is missing, its alert never fires; what is not on the page, nobody can read."""

    def stages() -> dict[str, set[str]]:
        return {name: {metric.split("_")[1] for metric in told} for name, told in metrics(cluster).items()}

    expected = {
        "door-1": {"door", "log"}, "bridge-1": {"bridge", "log"}, "desk-1": {"alerting"}, "console-1": set[str](),
        "worker-1": _OF_WORKERS, "worker-2": _OF_WORKERS,
    }  # fmt: skip
    until(lambda: stages() == expected, "each tells of its own", PATIENCE_S)
    for name, told in metrics(cluster).items():
        for metric, family in told.items():
            kind, labels = ROWS[metric]
            assert family.type == kind, (name, metric)
            assert {label for one in family.samples for label in one.labels} - {"le"} <= {*labels}, (name, metric)


def test_what_alerts_and_the_dashboard_ask_for_is_told_by_somebody(cluster: LocalCluster) -> None:
    """By a cluster as it runs, and not only by the page. A count by cause appears with its first."""
    appears = {name for name, (kind, labels) in ROWS.items() if kind == "counter" and {*labels} - {"partition"}}
    asked = {
        re.sub(r"_(bucket|sum|count)$", "", name)
        for expression in EXPRESSIONS.values()
        for name in re.findall(r"\btocsin_\w+", expression)
    }

    def missing() -> set[str]:
        return asked - appears - {name for told in metrics(cluster).values() for name in told}

    try:
        until(lambda: not missing(), "all is told")
    except AssertionError as error:
        error.add_note(f"missing: {missing()}")
        raise


def test_each_partition_is_told_of_once_by_who_has_it_and_by_every_store(cluster: LocalCluster) -> None:
    """What is behind must be seen by partition, and one that nobody judges by its absence."""
    everywhere = [str(partition) for partition in range(P)]
    once = (
        "tocsin_log_head", "tocsin_engine_position", "tocsin_engine_lag_seconds", "tocsin_engine_lag_entries",
        "tocsin_engine_watermark_timestamp_seconds", "tocsin_engine_checkpoint_age_seconds",
    )  # fmt: skip

    def is_so() -> bool:
        told = metrics(cluster)
        workers = [told["worker-1"], told["worker-2"]]
        both = all(name in worker for worker in workers for name in (*once, "tocsin_store_lag_entries"))
        return (
            both
            and all(sorted(partitions(workers[0], name) + partitions(workers[1], name)) == everywhere for name in once)
            and all(sorted(partitions(worker, "tocsin_store_lag_entries")) == everywhere for worker in workers)
            and sorted(partitions(told["desk-1"], "tocsin_alerting_position")) == everywhere
        )

    until(is_so, "each is told of once", PATIENCE_S)


def test_how_long_it_took_from_the_reading_on_is_told(cluster: LocalCluster) -> None:
    """To the judgement, to the messages' commit, to the channel; and how far the store has come."""

    def counted() -> dict[str, float]:
        told = metrics(cluster)["desk-1"]
        stations = ("judged", "queued", "handed_over")
        return {
            station: sum(one.value for one in told[f"tocsin_alerting_{station}_seconds"].samples if "count" in one.name)
            for station in stations
        }

    until(lambda: min(counted().values()) >= P + 1, "every alarm is counted at each station", PATIENCE_S)

    def is_stored() -> bool:
        told = metrics(cluster)["worker-1"]
        (stored,) = told["tocsin_store_stored_total"].samples
        return stored.value >= 2 * (P + 1)

    until(is_stored, "the readings are stored", PATIENCE_S)


def test_a_line_of_a_worker_names_partition_and_position(cluster: LocalCluster) -> None:
    """A line that says only that judging waits leads nowhere where four are judged."""
    lines = [line for name in ("worker-1", "worker-2") for line in _lines(cluster.members[name].log)]
    ready = [line for line in lines if line["event"] == "judging_ready"]
    assert {line["partition"] for line in ready} == set(range(P))
    assert all({"position", "replayed", "level", "timestamp"} <= line.keys() for line in ready)


def test_a_console_that_was_killed_shows_the_same(cluster: LocalCluster) -> None:
    """It keeps nothing, so nothing can be lost with it."""
    before = alarms(cluster)
    take_away(cluster, "console")
    bring_back(cluster, "console")
    assert alarms(cluster) == before


def _lines(log: Path) -> list[dict[str, object]]:
    """The JSON ones."""
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


def findings(cluster: LocalCluster) -> dict[str, Finding]:
    """part → what is wrong with it, as the doctor says it."""
    environment = cluster.environment
    told = Settings.told(
        dsn=environment["TOCSIN_DSN"], kafka=environment["TOCSIN_KAFKA"], broker=environment["TOCSIN_BROKER"],
        data=cluster.folder / "of-the-doctor",
    )  # fmt: skip
    return {found.part: found for found in examine(told) if found.verdict is not Verdict.OK}


def take_away(cluster: LocalCluster, what: str) -> None:
    """Kafka, the broker, or all processes of a kind, with `kill -9`."""
    if what == "kafka":
        cluster.kafka.stop()
    elif what == "broker":
        assert cluster.mosquitto is not None
        cluster.mosquitto.stop()
    for member in of_kind(cluster, what):
        member.kill()


def bring_back(cluster: LocalCluster, what: str) -> None:
    if what == "kafka":
        cluster.kafka.start()
    elif what == "broker":
        assert cluster.mosquitto is not None
        cluster.mosquitto.start()
    for member in of_kind(cluster, what):
        member.launch()
    for member in cluster.members.values():
        member.wait_until_ready(PATIENCE_S)


def of_kind(cluster: LocalCluster, word: str) -> list[Member]:
    return [member for name, member in cluster.members.items() if name.rpartition("-")[0] == word]


@pytest.mark.parametrize(
    ("what", "words", "mend"),
    [
        ("worker", "nothing is judged", "tocsin worker"),
        ("desk", "nobody is told", "tocsin desk"),
        ("door", "not heard of: door-1", "Start it again"),
        ("bridge", "not heard of: bridge-1", "Start it again"),
        ("kafka", "Kafka", "TOCSIN_KAFKA"),
        ("broker", "refused", "TOCSIN_BROKER"),
    ],
)
def test_the_doctor_names_what_was_taken_away_and_is_content_when_it_is_back(
    cluster: LocalCluster, what: str, words: str, mend: str
) -> None:
    """On the real thing: whoever follows its words has a cluster that is well."""
    content(cluster)
    take_away(cluster, what)
    seen: dict[str, Finding] = {}

    def is_named() -> bool:
        seen.update(findings(cluster))
        return what in seen and words in seen[what].words

    try:
        until(is_named, f"{what} is named", PATIENCE_S)
        assert mend in seen[what].mend
    finally:
        bring_back(cluster, what)
    content(cluster)


def content(cluster: LocalCluster) -> None:
    """Wait until the doctor is."""
    try:
        until(lambda: not findings(cluster), "all is well", PATIENCE_S)
    except AssertionError as error:
        error.add_note(str(findings(cluster)))
        raise


class Feed:
    """Shops that report heat at the door, one after the other while the block runs; who is not heard says it again."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._cluster = cluster
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.heard = 0
        """Shops both of whose readings were acknowledged: `upgrade-0` to one less than this."""

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def until(self, heard: int) -> None:
        until(lambda: self.heard >= heard, f"{heard} shops are heard", PATIENCE_S)

    def _run(self) -> None:
        while not self._stop.wait(0.2):
            self.heard += self._is_heard(f"upgrade-{self.heard}")

    def _is_heard(self, shop: str) -> bool:
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=shop)
        try:
            client.connect("127.0.0.1", self._cluster.members["door-1"].running.mqtt_port)
            client.loop_start()
            topic = f"tocsin/v1/{shop}/kitchen/telemetry"
            sent = [client.publish(topic, json.dumps({"temperature": 95.0 + n}), qos=1) for n in range(2)]
            for one in sent:
                one.wait_for_publish(10)
            return all(one.is_published() for one in sent)
        except (OSError, RuntimeError, ServiceAway):
            return False
        finally:
            client.disconnect()
            client.loop_stop()


@pytest.mark.long
def test_part_by_part_is_restarted_while_every_alarm_is_told_once(cluster: LocalCluster) -> None:
    """An upgrade without a stop, in the order of the how-to: what was acknowledged becomes one alarm, told once."""
    content(cluster)
    with Feed(cluster) as feed:
        for word in ("worker", "desk", "console", "bridge", "door"):
            for member in of_kind(cluster, word):
                feed.until(feed.heard + 1)
                assert member.stop(PATIENCE_S) == 0, member.last_words()
                member.launch()
                member.wait_until_ready(PATIENCE_S)
        feed.until(feed.heard + 1)
    shops = {f"upgrade-{number}" for number in range(feed.heard)}

    def told() -> list[tuple[str, int, int]]:
        with psycopg.connect(cluster.postgres.dsn()) as connection:
            return connection.execute(
                """
                SELECT enterprise, count(DISTINCT key)::int,
                       (SELECT count(*) FROM attempts a JOIN notification_alarms n USING (notification)
                         WHERE n.alarm = min(key) AND n.step = 1 AND a.outcome = 'accepted')::int
                  FROM alarm_events WHERE family = 'heat' AND enterprise LIKE 'upgrade-%' GROUP BY enterprise
                """
            ).fetchall()

    until(lambda: {shop for shop, _, times in told() if times} >= shops, "all are told", PATIENCE_S)
    assert [one for one in told() if one[0] in shops and one[1:] != (1, 1)] == []
