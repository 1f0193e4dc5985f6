"""Alert rules and the dashboard ask for metrics that exist, and for parts that are scraped."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.recipes import DEPLOY, ROOT, compose, is_ours
from tocsin.doctor import MOST_CHECKPOINT_AGE_S
from tocsin.settings import Settings
from tocsin.standing import LAG_S, STORE_SILENT_S

PROMETHEUS = DEPLOY / "prometheus"
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
}
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
METRICS = dict(re.findall(r"^\| `(tocsin_\w+)` \| (\w+)", (ROOT / "docs/reference/metrics.md").read_text(), re.M))
"""Of the page that test_docs_metrics.py holds to the code: name → type."""
SCRAPED = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"][0]


def expressions() -> Iterator[tuple[str, str]]:
    for name, rule in ALERTS.items():
        yield f"alert {name}", rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield f"panel {panel['title']} {target['refId']}", target["expr"]


EXPRESSIONS = dict(expressions())


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_every_metric_that_is_asked_for_exists(where: str) -> None:
    """An alert over a metric that is gone never fires, and nobody notices."""
    found = set(re.findall(r"\btocsin_\w+", EXPRESSIONS[where]))
    for name in found:
        plain = re.sub(r"_(bucket|sum|count)$", "", name)
        assert name in METRICS or METRICS.get(plain) == "histogram", name
    assert found or "up{" in EXPRESSIONS[where]


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_counters_are_asked_for_their_growth(where: str) -> None:
    """A counter's value says how long it runs, not how it goes."""
    for name in re.findall(r"\btocsin_\w+", EXPRESSIONS[where]):
        if METRICS.get(name) == "counter":
            assert re.search(rf"(rate|increase)\({name}\b[^)]*\[\d+[smh]\]\)", EXPRESSIONS[where]), name
        elif METRICS.get(name) == "gauge":
            assert not re.search(rf"(rate|increase)\({name}\b", EXPRESSIONS[where]), name


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_is_wrong_and_what_to_do(name: str) -> None:
    """It is read at night by somebody who did not write it."""
    rule = ALERTS[name]
    assert {"summary", "mend"} <= set(rule["annotations"])
    assert rule["labels"]["severity"] in {"critical", "warning"}


def test_the_limits_are_those_of_readiness() -> None:
    """Two sets of limits would page twice, or not at all."""
    assert ALERTS["TocsinJudgingIsBehind"]["expr"] == f"tocsin_engine_lag_seconds > {LAG_S:g}"
    assert ALERTS["TocsinStoreIsBehind"]["expr"] == f"tocsin_store_silent_s > {STORE_SILENT_S:g}"
    age = f"tocsin_engine_checkpoint_age_seconds > {MOST_CHECKPOINT_AGE_S:g}"
    assert ALERTS["TocsinCheckpointIsOld"]["expr"] == age
    half = Settings.model_fields["log_retention_h"].default * 3600 / 2
    assert ALERTS["TocsinStoreNearsTheRetention"]["expr"] == f"tocsin_store_watermark_age_seconds > {half:.0f}"


def test_every_part_of_compose_is_scraped_with_the_token() -> None:
    """A part that is not asked cannot be missed."""
    parts = {
        name
        for name, service in compose()["services"].items()
        if is_ours(service) and "profiles" not in service and name != "migrate"
    }
    port = Settings.model_fields["http_port"].default
    targets = {target: told["labels"]["part"] for told in SCRAPED["static_configs"] for target in told["targets"]}
    assert targets == {f"{name}:{port}": name.split("-")[0] for name in parts}
    token = SCRAPED["authorization"]["credentials_file"]
    assert Path(token).name in compose()["services"]["prometheus"]["secrets"]


def test_the_dashboard_is_one_that_grafana_shows() -> None:
    """Ids are unique, panels do not lie on one another, and each asks the source that is provisioned."""
    (source,) = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert all(0 <= x < 24 for x, _ in cells), panel["title"]
        taken |= cells
        assert panel["type"] == "row" or panel["datasource"]["uid"] == source["uid"]
    host = re.sub(r"^http://(\w+):9090$", r"\1", source["url"])
    assert host in compose()["services"]


def _promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is missing. On Debian: apt install prometheus")
    return found


def test_promtool_takes_rules_and_configuration(tmp_path: Path) -> None:
    """Where Prometheus is installed, its own word counts."""
    for file in PROMETHEUS.glob("*.yml"):
        text = file.read_text().replace(SCRAPED["authorization"]["credentials_file"], str(tmp_path / "token"))
        (tmp_path / file.name).write_text(text)
    (tmp_path / "token").write_text("0123456789abcdef")
    words = [_promtool(), "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("alert", "series", "partitions"),
    [
        ("TocsinPartitionIsNotJudged", {'tocsin_store_lag_entries{partition="0"}': 0}, ["0"]),
        (
            "TocsinPartitionIsNotJudged",
            {
                'tocsin_store_lag_entries{partition="0",instance="a"}': 0,
                'tocsin_store_lag_entries{partition="1",instance="b"}': 0,
                'tocsin_engine_lag_seconds{partition="1",instance="a"}': 1,
            },
            ["0"],
        ),
        (
            "TocsinPartitionHasNoDesk",
            {
                'tocsin_engine_position{partition="0",instance="a"}': 5,
                'tocsin_engine_position{partition="1",instance="a"}': 5,
                'tocsin_alerting_position{partition="0",instance="desk"}': 1,
            },
            ["1"],
        ),
        ("TocsinJudgingIsBehind", {'tocsin_engine_lag_seconds{partition="3"}': 11}, ["3"]),
        ("TocsinJudgingIsBehind", {'tocsin_engine_lag_seconds{partition="3"}': 10}, []),
    ],
)
def test_a_partition_that_nobody_has_is_told(
    tmp_path: Path, alert: str, series: dict[str, int], partitions: list[str]
) -> None:
    """A metric that is absent is above no limit: absence needs a rule of its own."""
    group = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"][0]
    (rule,) = [{**one, "annotations": {}} for one in group["rules"] if one["alert"] == alert]
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump({"groups": [{"name": "tocsin", "rules": [rule]}]}))
    expected = [{"exp_labels": {**rule["labels"], "partition": one}} for one in partitions]
    case = {
        "interval": "10s",
        "input_series": [{"series": name, "values": f"{value}x30"} for name, value in series.items()],
        "alert_rule_test": [{"eval_time": "4m", "alertname": alert, "exp_alerts": expected}],
    }
    (tmp_path / "case.yml").write_text(yaml.safe_dump({"rule_files": ["alerts.yml"], "tests": [case]}))
    done = subprocess.run([_promtool(), "test", "rules", str(tmp_path / "case.yml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
