"""`tocsin bench province`: a day of a province through MQTT, judged and stored; in one process or in a cluster.

Every sensor is new when it first speaks, so this is also the hardest morning there is. The generator waits for nobody:
it offers what it can, or `--rate`. The clock runs from the first message until the last reading is judged and stored.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console

from schemas.errors import ServiceAway
from sensors_sim.load_plan import LoadPlan, LoadReport
from sensors_sim.loadgen import start
from streams.store.edge import session
from streams.store.queries import status
from tocsin.bench.disk import folder_bytes, row_bytes, table_bytes
from tocsin.bench.judged import judged
from tocsin.bench.load import counted
from tocsin.bench.report import Options, Row
from tocsin.bench.scale import Measured, extrapolate
from tocsin.bench.service import tocsin_up
from tocsin.bench.watching import POSTGRES, Used, Watch
from tocsin.postgres import cluster_in
from tocsin.postgres_machine import postmaster_in
from tocsin.settings import connect_dsn

CONNECTIONS = 4
NEEDED = {"province": 150_000.0, "province.cluster": 80_000.0}
GOAL = {"province": 333_000.0, "province.cluster": 167_000.0}
"""A hundred million in five and in ten minutes."""
NEEDED_MB = 1000.0
_LONGEST_S = 3600.0
_LOOK_S = 0.5
_SAY_EVERY_S = 5.0
_STORE_TABLES = ("open_blocks", "timely_readings", "late_readings")
_console = Console(stderr=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Place:
    """What is measured.  port: of MQTT.  roots: name → process.  head: partition → last entry of the log.
    log_bytes: the log on disk."""

    port: int
    dsn: str
    folder: Path
    roots: Callable[[], Mapping[str, int]]
    head: Callable[[], Mapping[int, int]]
    log_bytes: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Outcome:
    """readings: acknowledged.  sent_s: until the last PUBACK.  seconds: until all is judged and stored."""

    readings: int
    sent_s: float
    seconds: float
    report: LoadReport
    used: Mapping[str, Used]


def run(options: Options) -> list[Row]:
    assert options.keep is not None
    plan = plan_of(options)
    name = "province.cluster" if options.cluster else "province"
    opened = _cluster(options.keep / name) if options.cluster else _one_process(options.keep / name)
    with opened as place:
        before = table_bytes(place.dsn, _STORE_TABLES), place.log_bytes()
        outcome = _day(place, plan)
        store_bytes = (table_bytes(place.dsn, _STORE_TABLES) - before[0]) / outcome.readings
        log_bytes = (place.log_bytes() - before[1]) / outcome.readings
        kept_bytes = row_bytes(place.dsn)
        checkpoint_bytes = table_bytes(place.dsn, ("checkpoint_chunks",))
    judging = [used for part, used in outcome.used.items() if is_judging(part)]
    sensors = plan.rows * plan.readings
    measured = Measured(
        readings=outcome.readings,
        cpu_s={part: used.cpu_s for part, used in outcome.used.items()},
        log_bytes=log_bytes,
        row_bytes=kept_bytes,
        base_bytes=max(used.first_bytes for used in judging),
        sensor_bytes=sum(used.peak_bytes - used.first_bytes for used in judging) / sensors,
    )
    disk = {"log": log_bytes, "store_open": store_bytes, "store_kept": kept_bytes}
    return [*_rows(name, plan, outcome, disk, checkpoint_bytes), *extrapolate(name, measured)]


def is_judging(part: str) -> bool:
    """The engine lives in it."""
    return part.startswith(("tocsin", "worker")) and not part.endswith(".store")


def plan_of(options: Options) -> LoadPlan:
    """The load that the options ask for, to the next whole message of each connection."""
    devices = -(-options.sensors // (options.packing * CONNECTIONS))
    messages = -(-options.readings // options.packing)
    return LoadPlan(
        connections=CONNECTIONS, devices=devices, readings=options.packing, messages=messages, seconds=_LONGEST_S,
        rate=options.rate / options.packing, burst=20 if options.rate else 1, window=4_000, seed=options.seed,
        drain_s=_LONGEST_S,
    )  # fmt: skip


@contextmanager
def _one_process(folder: Path) -> Iterator[Place]:
    with tocsin_up(folder) as service:
        dsn = connect_dsn(folder)
        found = postmaster_in(cluster_in(folder).resolve())
        assert found is not None
        roots = {"tocsin": service.process.pid, POSTGRES: found.pid}

        def head() -> Mapping[int, int]:
            with session(dsn, "tocsin-bench") as connection:
                return dict(
                    connection.execute("SELECT partition, max(number) FROM log_entries GROUP BY partition").fetchall()
                )

        yield Place(
            service.running.mqtt_port, dsn, folder, lambda: roots, head, lambda: table_bytes(dsn, ("log_entries",))
        )


@contextmanager
def _cluster(folder: Path) -> Iterator[Place]:
    # Only here: one process has no client of Kafka.
    from streams.log.kafka_topics import ends_of  # noqa: PLC0415
    from tocsin.layout import layout_of  # noqa: PLC0415
    from tocsin.local.cluster import Plan, local_cluster  # noqa: PLC0415
    from tocsin.settings import Settings  # noqa: PLC0415

    with local_cluster(folder, Plan(bridges=0, consoles=0)) as cluster:
        dsn = cluster.postgres.dsn()
        layout = layout_of(Settings.told(kafka=cluster.kafka.servers, dsn=dsn))

        def head() -> Mapping[int, int]:
            ends = ends_of(layout.servers, layout.topic, range(layout.partitions), layout.config)
            return {partition: end.last for partition, end in ends.items()}

        yield Place(
            cluster.mqtt_ports[0], dsn, folder, cluster.pids, head,
            lambda: folder_bytes(folder, f"{layout.topic}-*"),
        )  # fmt: skip


def _day(place: Place, plan: LoadPlan) -> Outcome:
    plan = msgspec.structs.replace(plan, port=place.port)
    readings = plan.messages * plan.readings
    with session(place.dsn, "tocsin-bench") as connection:
        stored_before = counted(status(connection))
    with Watch(place.roots) as watch:
        sending, last = start(plan, place.folder / "sent.npz"), None
        begun, told = 0.0, time.monotonic()
        for report in sending.reports():
            begun = begun or time.monotonic() - report.seconds
            last = report
            if time.monotonic() - told >= _SAY_EVERY_S:
                told = time.monotonic()
                done = report.acknowledged * plan.readings
                _console.print(f"  {report.seconds:.0f} s: {done:,} of {readings:,} readings acknowledged")
        assert last is not None
        if last.dead or last.faults:
            raise ServiceAway("mqtt", f"{last.dead} connections broke, {last.faults} answers were wrong.")
        sent_s = time.monotonic() - begun
        taken = last.acknowledged * plan.readings
        _wait_until_done(place, stored_before + taken)
        return Outcome(taken, sent_s, time.monotonic() - begun, last, watch.used())


def _wait_until_done(place: Place, stored: int) -> None:
    """Until everything that is in the log now is judged, and as many readings are stored."""
    head = place.head()
    until, told = time.monotonic() + _LONGEST_S, time.monotonic()
    with session(place.dsn, "tocsin-bench") as connection:
        while time.monotonic() < until:
            done = judged(connection)
            now = counted(status(connection))
            if now >= stored and all(done.get(partition, 0) >= last for partition, last in head.items()):
                return
            if time.monotonic() - told >= _SAY_EVERY_S:
                told = time.monotonic()
                behind = sum(max(0, last - done.get(partition, 0)) for partition, last in head.items())
                _console.print(f"  {behind:,} entries to judge, {stored - now:,} readings to store")
            time.sleep(_LOOK_S)
    raise ServiceAway("tocsin", f"not everything was judged and stored within {_LONGEST_S:.0f} s.")


def _rows(
    name: str, plan: LoadPlan, outcome: Outcome, disk: Mapping[str, float], checkpoint_bytes: int
) -> Iterator[Row]:
    rate = outcome.readings / outcome.seconds
    many = f"{outcome.readings:,} readings of {plan.rows * plan.readings:,} sensors, {plan.readings} a message"
    offered = f"offered {plan.rate * plan.readings:,.0f}/s" if plan.rate else "flat out"
    yield Row(f"{name}.rate", rate, "/s", NEEDED[name], GOAL[name], note=f"{many}, {offered}; judged and stored")
    yield Row(f"{name}.duration", outcome.seconds, "s", smaller=True, note=f"last PUBACK after {outcome.sent_s:.1f} s")
    lag_s = outcome.seconds - outcome.sent_s
    yield Row(f"{name}.lag", lag_s, "s", smaller=True, note="from the last PUBACK until judged and stored")
    for part, used in outcome.used.items():
        needed = NEEDED_MB if is_judging(part) else None
        note = f"at its most; {used.first_bytes / 1e6:.0f} MB before the first reading"
        yield Row(f"{name}.memory.{part}", used.peak_bytes / 1e6, "MB", needed, smaller=True, note=note)
    for part, used in outcome.used.items():
        each = used.cpu_s / outcome.readings * 1e6
        yield Row(f"{name}.cpu.{part}", used.cpu_s, "s", smaller=True, note=f"{each:.2f} µs a reading")
    yield Row(f"{name}.cpu.generator", outcome.report.cpu_s, "s", smaller=True, note="not ours: plays the devices")
    notes = {"log": "of the log", "store_open": "while a part of time is open", "store_kept": "rows and index, closed"}
    for what, size in disk.items():
        yield Row(f"{name}.disk.{what}", size, "bytes/reading", smaller=True, note=notes[what])
    yield Row(f"{name}.disk.checkpoints", checkpoint_bytes / 1e6, "MB", smaller=True, note="both generations")
