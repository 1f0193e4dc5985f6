"""`tocsin bench cluster`: door and bridge → Kafka → Faust → judged and stored, everything on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from sensors_sim import webhook_sink
from sensors_sim.load_plan import LoadPlan
from sensors_sim.loadgen import start
from tocsin.bench import latency, pressed, worker
from tocsin.bench.judged import unjudged
from tocsin.bench.load import Case, Target, measure
from tocsin.bench.processes import cpu_s, rss_bytes
from tocsin.bench.report import Options, Row
from tocsin.local.cluster import LocalCluster, Plan, local_cluster

SECONDS = 60.0
_JUDGED_S = 5.0


def run(options: Options) -> list[Row]:
    assert options.keep is not None
    seconds = max(5.0, SECONDS * options.scale)
    rows: list[Row] = []
    folder = options.keep / "cluster"
    with local_cluster(folder, Plan()) as cluster:
        for case in _door_cases(options.seed):
            rows += _sustained(cluster, case, cluster.mqtt_ports[0], seconds)
        assert cluster.mosquitto is not None
        rows += _sustained(cluster, _bridge_case(options.seed), cluster.mosquitto.port, seconds)
    rows += _latency(options)
    rows += worker.rows(options)
    rows += pressed.rows(options)
    return rows


def _door_cases(seed: int) -> list[Case]:
    few = LoadPlan(connections=4, devices=25_000, burst=20, seed=seed)
    wide = LoadPlan(connections=4, devices=250, readings=100, window=500, seed=seed + 2)
    return [
        Case("cluster.door", few, 80_000, 250_000),
        Case("cluster.100_readings_a_message", wide, 250_000, 450_000),
    ]


def _bridge_case(seed: int) -> Case:
    return Case("cluster.bridge", LoadPlan(connections=4, devices=25_000, burst=20, seed=seed + 3), 30_000, 60_000)


def _sustained(cluster: LocalCluster, case: Case, port: int, seconds: float) -> Iterator[Row]:
    judging = cluster.members["worker-1"].pid
    target = Target(port, cluster.postgres.dsn(), cluster.folder, lambda: rss_bytes(judging))
    before = cpu_of(cluster)
    row = measure(target, case, seconds)
    spent = {name: after - before.get(name, 0.0) for name, after in cpu_of(cluster).items()}
    behind = unjudged(cluster, _JUDGED_S)
    shares = ", ".join(f"{name} {s:.0f}" for name, s in sorted(spent.items(), key=lambda one: -one[1]) if s >= 1)
    note = f"{row.note}; {behind} entries not judged; seconds of CPU over all tries: {shares}"
    yield Row(row.name, 0.0 if behind else row.value, row.unit, row.needed, row.goal, note=note)


def cpu_of(cluster: LocalCluster) -> Mapping[str, float]:
    """Seconds of CPU of every part so far, its children included."""
    return {name: cpu_s(pid) for name, pid in cluster.pids().items()}


def _latency(options: Options) -> list[Row]:
    """Publish → notification at a webhook, at 5,000 messages a second with alarms among them."""
    assert options.keep is not None
    folder = options.keep / "cluster-latency"
    folder.mkdir(parents=True, exist_ok=True)
    sink = webhook_sink.start(folder / "arrivals.jsonl")
    try:
        told = {"TOCSIN_WEBHOOK_URL": sink.url, "TOCSIN_WEBHOOK_SECRET": "of the bench, 24 letters"}
        with local_cluster(folder / "data", Plan(bridges=0, environment=told)) as cluster:
            plan = latency.plan_of(options, cluster.mqtt_ports[0])
            start(latency.quiet(plan), Path(folder / "first.npz")).wait()
            _, sent = start(plan, Path(folder / "sent.npz")).wait()
        rows = latency.rows_of(sent, sink.arrivals())
    finally:
        sink.stop()
    needs = {"latency.alarm_p50": (40.0, 15.0), "latency.alarm_p99": (200.0, 60.0)}
    return [_renamed(row, *needs.get(row.name, (None, None))) for row in rows]


def _renamed(row: Row, needed: float | None, goal: float | None) -> Row:
    return Row(f"cluster.{row.name}", row.value, row.unit, needed, goal, smaller=True, note=row.note)
