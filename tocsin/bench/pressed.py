"""What a cluster does when it is pressed: more than it can take for a while, and workers that die, leave and come.

The burst offers a fifth more than a flat-out run has reached, ten times what goes before and after it, while alarms
fall due all the time. A worker's end is judged by the longest time that any partition stood still, whoever judged it.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from rich.console import Console

from sensors_sim import webhook_sink
from sensors_sim.load_plan import LoadPlan
from sensors_sim.loadgen import LoadProcess, start
from streams.store.edge import session
from tocsin.bench import latency
from tocsin.bench.judged import judged, unjudged
from tocsin.bench.load import MOST_LAG_S, counted, flat_out, settled, sustain
from tocsin.bench.report import Options, Row
from tocsin.local.cluster import LocalCluster, Plan, local_cluster

_TIMES = 10.0
_OVER = 1.2
_BURST_S = 10.0
_BEFORE_S = 5.0
_AFTER_S = 60.0
_STEP_S = 2.0
_KILLS = 3
_RATE = 5_000.0
_LOOK_S = 0.02
_WATCHED_S = 15.0
_console = Console(stderr=True, highlight=False)


def rows(options: Options) -> Iterator[Row]:
    assert options.keep is not None
    yield from _burst(options, options.keep / "cluster-burst")
    with local_cluster(options.keep / "cluster-failover", Plan(bridges=0, consoles=0)) as cluster:
        yield from _failover(options, cluster)


# --- the burst ---


def _burst(options: Options, folder: Path) -> Iterator[Row]:
    folder.mkdir(parents=True, exist_ok=True)
    sink = webhook_sink.start(folder / "arrivals.jsonl")
    try:
        told = {"TOCSIN_WEBHOOK_URL": sink.url, "TOCSIN_WEBHOOK_SECRET": "of the bench, 24 letters"}
        with local_cluster(folder / "data", Plan(bridges=0, consoles=0, environment=told)) as cluster:
            port, dsn = cluster.mqtt_ports[0], cluster.postgres.dsn()
            load = LoadPlan(port=port, connections=4, devices=25_000, burst=20, seed=options.seed + 10)
            most = flat_out(load, folder)
            alarms = msgspec.structs.replace(latency.plan_of(options, port), rate=1000.0, connections=50)
            start(latency.quiet(alarms), folder / "first.npz").wait()
            before = counted(settled(dsn))
            ringing = start(alarms, folder / "alarms.npz")
            usual = most * _OVER / _TIMES
            sent = sustain(load, usual, _BEFORE_S, folder).acknowledged
            offered = msgspec.structs.replace(load, drain_s=_AFTER_S)
            begun = time.monotonic()
            sent += sustain(offered, usual * _TIMES, _BURST_S, folder).acknowledged
            lag_s, more = _until_level(cluster, load, usual, folder, begun + _BURST_S)
            rung, due = ringing.wait()
            stored = counted(settled(dsn)) - before
            ends = latency.rows_of(due, sink.arrivals())
    finally:
        sink.stop()
    wanted = sent + more + rung.acknowledged
    note = (
        f"{usual:,.0f}/s, then {usual * _TIMES:,.0f}/s for {_BURST_S:.0f} s, {_OVER:.1f} times what it can; "
        f"{stored:,} of {wanted:,} stored; {ends[0].note}, p99 {ends[1].value:,.0f} ms"
    )
    exact = stored == wanted and not ends[0].note.startswith("NOT")
    yield Row("cluster.burst_gone", lag_s if exact else float("inf"), "s", 60, 20, smaller=True, note=note)


def _until_level(cluster: LocalCluster, load: LoadPlan, rate: float, folder: Path, since: float) -> tuple[float, int]:
    """Go on at the usual rate until nothing lags; seconds from the burst's end, and how many were sent."""
    sent = 0
    while True:
        outcome = sustain(load, rate, _STEP_S, folder)
        sent += outcome.acknowledged
        after_s = time.monotonic() - since
        if (outcome.lag_s <= MOST_LAG_S and not unjudged(cluster, 1.0)) or after_s > _AFTER_S:
            return after_s, sent


# --- workers that end ---


@dataclass(slots=True)
class _Standstills:
    """The longest time that any partition's position did not move, from `begin` on; `look` until told otherwise."""

    dsn: str
    begun: float = field(default_factory=time.monotonic)
    worst_s: float = 0.0

    def watch(self, seconds: float) -> float:
        moved = dict[int, tuple[int, float]]()
        with session(self.dsn, "tocsin-bench") as connection:
            while (now := time.monotonic()) < self.begun + seconds:
                for partition, position in judged(connection).items():
                    before, at = moved.get(partition, (position, self.begun))
                    moved[partition] = (position, now) if position != before else (before, at)
                    self.worst_s = max(self.worst_s, now - moved[partition][1])
                time.sleep(_LOOK_S)
        return self.worst_s


def _failover(options: Options, cluster: LocalCluster) -> Iterator[Row]:
    load = LoadPlan(
        port=cluster.mqtt_ports[0], connections=4, devices=2_000, rate=_RATE, seconds=3600.0, seed=options.seed
    )
    dsn = cluster.postgres.dsn()
    found: dict[str, list[float]] = {"kill": [], "stop": [], "join": []}
    with _under(load, cluster.folder / "sent.npz"):
        _Standstills(dsn).watch(_WATCHED_S)
        for turn in range(_KILLS):
            name = f"worker-{turn % 2 + 1}"
            for way, end in (("kill", signal.SIGKILL), ("stop", signal.SIGTERM)):
                member = cluster.members[name]
                watched = _Standstills(dsn)
                member.tell(end)
                found[way].append(watched.watch(_WATCHED_S))
                member.stop()
                watched = _Standstills(dsn)
                cluster.add(name)
                found["join"].append(watched.watch(2 * _WATCHED_S))
                _console.print(f"  {name} {way}: {found[way][-1]:.1f} s, joined again: {found['join'][-1]:.1f} s")
    needs = {"kill": (10.0, 5.0), "stop": (3.0, 1.0), "join": (None, None)}
    for way, (needed, goal) in needs.items():
        each = ", ".join(f"{one:.1f}" for one in found[way])
        note = f"longest standstill of a partition under {_RATE:,.0f}/s, two workers, each time: {each}"
        yield Row(f"cluster.judged_again_{way}", max(found[way]), "s", needed, goal, smaller=True, note=note)


@contextmanager
def _under(load: LoadPlan, file: Path) -> Iterator[LoadProcess]:
    """A load beside what is done in the block."""
    process = start(load, file)
    drained = threading.Thread(target=_read, args=(process.reports,), daemon=True)
    drained.start()
    try:
        yield process
    finally:
        process.process.kill()
        process.process.wait()
        drained.join()


def _read(reports: Callable[[], Iterator[object]]) -> None:
    """Its pipe must not fill up; it is killed in the end, so how it ends says nothing."""
    try:
        for _ in reports():
            pass
    except Exception:  # noqa: BLE001 - see above
        return
