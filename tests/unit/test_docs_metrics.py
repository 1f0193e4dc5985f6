"""docs/reference/metrics.md names every metric of the collectors, with type and labels, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.metrics import MetricWrapperBase

from alerting.channels.webhook import Webhook
from alerting.metrics import AlertingMetrics
from ingest.bridge.limits import Cause as BridgeCause
from ingest.bridge.limits import Counts as BridgeCounts
from ingest.bridge.limits import Dropped as BridgeDropped
from ingest.door.limits import Cause, Counts, Dropped
from streams.engine import Engine
from streams.store.queries import StoreStatus
from tests.alerting_world import HandClock
from tocsin.metrics import Stations
from tocsin.standing import LAG_S, STORE_SILENT_S, Standings
from tocsin.standing.bridge import bridge_standing
from tocsin.standing.desk import desks_standing
from tocsin.standing.door import door_standing
from tocsin.standing.judging import judging_standing
from tocsin.standing.kafka import kafka_standing
from tocsin.standing.log import rows_standing
from tocsin.standing.risk import risk_standing
from tocsin.standing.store import store_standing
from tocsin.standing.watch import Seen
from tocsin.standing.worker import worker_standing

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "metrics.md").read_text()
ROWS = {
    name: (kind, re.findall(r"`(\w+)`", labels))
    for name, kind, labels in re.findall(r"^\| `(tocsin_\w+)` \| (\w+)((?:, `\w+`)*) \|", PAGE, re.M)
}


def _stations(registry: CollectorRegistry) -> None:
    """The stations' collector over parts that have done nothing yet, each cause counted once."""
    door = Counts()
    for causes, counter in ((Cause, door.closed), (Cause, door.refused), (Dropped, door.dropped)):
        counter.update(causes)
    bridge = BridgeCounts()
    for told, counted in (
        (BridgeCause, bridge.closed), (BridgeCause, bridge.refused), (BridgeDropped, bridge.dropped)
    ):  # fmt: skip
        counted.update(told)
    idle: dict[str, Any] = dict.fromkeys(StoreStatus.__struct_fields__, 0)
    watch: Any = SimpleNamespace(seen=Seen(0.0, StoreStatus(**idle), {}, {0: 1.0}))
    judging: Any = SimpleNamespace(entries=0, events=0, checkpoints=0, replayed=0, position=0, judged_until_us=0)
    rows: Any = SimpleNamespace(settled=0, head=0)
    kafka: Any = SimpleNamespace(records=0, bytes=0, failures=0, trouble=str)
    desks: Any = SimpleNamespace(taken=0, given_up=0, held=lambda: {0: SimpleNamespace(position=0)}, trouble=str)
    risk: Any = SimpleNamespace(turns=0, recomputed=0, changed=0, position=0, trouble=str)
    partitions = SimpleNamespace(overtaken=0, owned=list)
    worker: Any = SimpleNamespace(quarantined=0, unreadable=0, partitions=partitions, trouble=str)
    standings = [
        worker_standing(worker),
        door_standing(door), bridge_standing(bridge, str), rows_standing(rows), kafka_standing(kafka),
        judging_standing(judging, Engine(None), lambda: 0, lambda: 0, watch),
        store_standing(watch, lambda: {0: 0}, lambda: 0), *desks_standing(desks), risk_standing(risk),
    ]  # fmt: skip
    Stations(Standings(lambda: standings).stations, registry)


def _name(metric: Metric) -> str:
    return metric.name + ("_total" if metric.type == "counter" else "")


def test_every_metric_has_its_row_and_no_row_is_of_none() -> None:
    """A metric without a meaning on the page is guessed at; a row of none makes an alert that never fires."""
    registry = CollectorRegistry()
    _stations(registry)
    alerting = AlertingMetrics(registry)
    labels = {one._name: list(one._labelnames) for one in vars(alerting).values() if isinstance(one, MetricWrapperBase)}
    exported = {}
    for metric in registry.collect():
        named = labels.get(metric.name)
        if named is None:
            named = sorted({label for sample in metric.samples for label in sample.labels})
        exported[_name(metric)] = (metric.type, named)
    assert exported == ROWS


def test_the_page_names_every_cause() -> None:
    """A cause is what a person looks up when a count rises."""
    causes = [*Cause, *Dropped, *BridgeCause, *BridgeDropped]
    assert {f"`{cause}`" for cause in causes} <= set(re.findall(r"`\w+`", PAGE))


def test_the_limits_to_alert_on_are_those_of_readiness() -> None:
    """Two sets of limits would page twice, or not at all."""
    assert f"`tocsin_engine_lag_seconds` above {LAG_S:g} " in PAGE
    assert f"`tocsin_store_silent_s` above {STORE_SILENT_S:g} " in PAGE
    webhook = Webhook(HandClock())
    webhook.close()
    assert f"not taken within {webhook.facts.limit_s:g} s" in PAGE
