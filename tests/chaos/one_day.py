"""One day, two ways: the same readings through one process and through a cluster, in which a worker dies and one joins.

    python -m tests.chaos.one_day --shops 1000 --hours 24 --slower 15

compares what both told, all of every step but its number in the log, with each other and with the naive twin over each
run's own log, what both stored with what was sent, the messages that went at once, and how every shop stands: its risk
with all its terms. There are no tolerances: `day_feed` says why none is needed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psycopg

from schemas.alarms import AlarmEvent, State
from schemas.entries import Entry
from schemas.kafka import log_topic
from schemas.risk import Risk
from scoring.naive import NaiveEngine
from scoring.risk import explain, judge
from scoring.risk_state import decode_state
from streams.log.kafka_reader import KafkaPartitionsReader
from streams.log.kafka_topics import ends_of
from streams.log.one_partition import OnePartition
from streams.log.reader import PostgresLogReader
from streams.packs import load_pack, parse_pack
from streams.ports import PartitionsReader
from streams.store.edge import session
from streams.store.queries import readings_between, status
from tests.chaos.day_feed import Devices, Tail, feed
from tests.chaos.day_plan import Day, DayPlan, Tally, make_day, mixed
from tests.chaos.judge import events_said
from tests.chaos.victim import until
from tocsin.clocks import LedClock
from tocsin.local.cluster import LocalCluster, Member, Plan
from tocsin.settings import connect_dsn

_ALL_TIME = (0, 1 << 52)
_SETTLE_S = 300.0
_SHOWN = 12
_LEFT = """
    SELECT EXISTS (SELECT FROM risk_inbox) OR EXISTS (
           SELECT FROM alarm_events AS e CROSS JOIN (VALUES ('desk'), ('risk')) AS c (consumer)
             LEFT JOIN positions AS p ON p.consumer = c.consumer AND p.partition = e.partition
            WHERE e.seq > coalesce(p.position, 0))
"""
_TAKEN = '"partition_taken"'
"""In a worker's log."""


@dataclass
class Ran:
    """What one way left behind."""

    name: str
    events: list[AlarmEvent]
    stored: Tally
    arrivals: dict[int, int]
    """Sensor → a sum over event time, value, arrival, quality and origin."""
    log: dict[int, list[Entry]]
    fed_s: float
    log_cuts: int
    """Entries in the log."""
    deeds: list[str] = field(default_factory=list)
    risks: dict[str, Risk] = field(default_factory=dict)
    """Of each shop, at the end of the day."""
    messages: set[str] = field(default_factory=set)
    """Names of those that went at once: bundles are cut by the clock on the wall."""

    def says(self, day: Day) -> str:
        words = [
            f"{self.name}: {self.fed_s:.0f} s ({day.plan.seconds / self.fed_s:.0f} times life, "
            f"{day.tally.readings / self.fed_s:.0f} readings/s)",
            f"{self.log_cuts} entries",
            f"{len(self.events)} steps of alarms",
            f"{self.stored.readings} readings stored",
            f"{len(self.messages)} messages at once",
            f"risk of {len(self.risks)} shops",
            *self.deeds,
        ]
        return ", ".join(words)


def through_one_process(day: Day, folder: Path, keep: set[int]) -> Ran:
    folder.mkdir()
    folder.chmod(0o711)
    clock = LedClock.create(folder / "clock", day.plan.start_us)
    told = {"TOCSIN_LED_CLOCK": str(folder / "clock"), "TOCSIN_MQTT_PORT": "0", "TOCSIN_HTTP_PORT": "0"}
    member = Member("up-1", folder, told)
    with ExitStack() as closing:
        closing.callback(member.stop)
        member.launch()
        member.wait_until_ready()
        dsn = connect_dsn(member.data)
        reader = PostgresLogReader(dsn, poll_s=0.001)
        closing.callback(reader.close)

        def ends() -> dict[int, int]:
            with psycopg.connect(dsn) as connection:
                row = connection.execute("SELECT max(number) FROM log_entries").fetchone()
            assert row is not None
            return {0: row[0]}

        return _run("one process", day, clock, member.running.mqtt_port, OnePartition(reader), keep, dsn, ends, {}, [])


def through_a_cluster(day: Day, folder: Path, keep: set[int], partitions: int = 4) -> Ran:
    """Two workers; half way one is killed and another one joins."""
    folder.mkdir()
    clock = LedClock.create(folder / "clock", day.plan.start_us)
    told = {"TOCSIN_LED_CLOCK": str(folder / "clock")}
    cluster = LocalCluster(folder, Plan(bridges=0, consoles=0, partitions=partitions, environment=told))
    deeds: list[str] = []

    def kill() -> None:
        cluster.members["worker-1"].kill()
        deeds.append("worker-1 killed")

    def join() -> None:
        cluster.add("worker-3")

    def has_joined() -> None:
        """The clock stands meanwhile."""
        file = cluster.members["worker-3"].log
        until("worker-3 has a partition", lambda: _TAKEN in file.read_text(), _SETTLE_S)
        deeds.append("worker-3 joined")

    with ExitStack() as closing:
        closing.callback(cluster.stop)
        cluster.start()
        topic = log_topic(partitions)
        reader = KafkaPartitionsReader(cluster.kafka.servers, topic, range(partitions))
        closing.callback(reader.close)

        def ends() -> dict[int, int]:
            return {p: end.last for p, end in ends_of(cluster.kafka.servers, topic, range(partitions), {}).items()}

        half = day.plan.steps // 2
        steps = {half: kill, half + 2: join, half + max(3, half // 2): has_joined}
        port, dsn = cluster.mqtt_ports[0], cluster.postgres.dsn()
        ran = _run("cluster", day, clock, port, reader, keep, dsn, ends, steps, deeds)
        for name, member in cluster.members.items():
            assert member.is_alive() or name == "worker-1", f"{name} has ended: {member.last_words()}"
        return ran


def _run(
    name: str, day: Day, clock: LedClock, port: int, reader: PartitionsReader, keep: set[int], dsn: str,
    ends: Callable[[], dict[int, int]], steps: dict[int, Callable[[], None]], deeds: list[str],
) -> Ran:  # fmt: skip
    devices = Devices(port)
    try:
        tail = Tail(reader, keep)
        began = time.monotonic()
        feed(day, clock, devices, tail, steps)
        last = ends()
        tail.until_end(last)
        until(f"{name}: all is judged", lambda: _positions(dsn, "engine", last), _SETTLE_S)
        fed_s = time.monotonic() - began
        until(f"{name}: all is stored", lambda: _positions(dsn, "store", last), _SETTLE_S)
        until(f"{name}: all is told, and its risk known", lambda: _taken(dsn), _SETTLE_S)
    finally:
        devices.close()
    with psycopg.connect(dsn) as connection:
        events = events_said(connection)
        messages = {id_ for (id_,) in connection.execute("SELECT id FROM notifications WHERE at_once")}
        risks = _risks(connection, day.plan.start_us + day.plan.seconds * 1_000_000)
    stored, arrivals = _stored(dsn)
    return Ran(name, events, stored, arrivals, tail.kept, fed_s, sum(last.values()), deeds, risks, messages)


def _positions(dsn: str, consumer: str, ends: dict[int, int]) -> bool:
    """Whether every position stands at the end of its partition."""
    if consumer == "store":
        with session(dsn, "tocsin-chaos") as connection:
            found = status(connection).positions
    else:
        with psycopg.connect(dsn) as plain:
            rows = plain.execute("SELECT partition, position FROM positions WHERE consumer = %s", (consumer,))
            found = dict(rows.fetchall())
    return all(found.get(partition, 0) == end for partition, end in ends.items())


def _taken(dsn: str) -> bool:
    """Whether desk and keeper of risk have taken every event, and everything else that touches a risk."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute(_LEFT).fetchone()
    return row == (False,)


def _risks(connection: psycopg.Connection[Any], end_us: int) -> dict[str, Risk]:
    """As they are at the end of the day, from what the keeper kept.

    Which hours of circuits had been rolled up when it last looked, and when a shop's devices were first heard, is the
    store's own time; so the colour is taken anew, and circuits are left out.
    """
    risks = {}
    for enterprise, body in connection.execute("SELECT enterprise, state FROM risk"):
        state = decode_state(body)
        state.lives.sort(key=lambda life: life.key)
        state.strain, state.colour, state.as_of_us = None, 0, 0
        curve, next_us = judge(state, end_us)
        risks[enterprise] = explain(enterprise, state, curve, next_us)
    return risks


def _stored(dsn: str) -> tuple[Tally, dict[int, int]]:
    tally, rest = Tally(), Tally()
    with session(dsn, "tocsin-chaos") as connection:
        for batch in readings_between(connection, *_ALL_TIME):
            tally.add(batch.sensor_id, batch.event_time, batch.value)
            beside = batch.arrival_time.astype(np.uint64) ^ mixed(
                (batch.quality.astype(np.uint64) << np.uint64(8)) + batch.origin.astype(np.uint64)
            )
            rest.add(batch.sensor_id, beside.view(np.int64), batch.event_time.astype(np.float64))
    return tally, rest.times


# --- verdicts ---


def everything_of(event: AlarmEvent) -> AlarmEvent:
    """All that must be equal: where the entry stands in its log, and in which, is a run's own."""
    return msgspec.structs.replace(event, partition=0, seq=0, entry=0)


def differences(what: str, ours: Iterable[AlarmEvent], theirs: Iterable[AlarmEvent]) -> list[str]:
    """Step by step, each as often; empty where there is none."""
    first = Counter(map(_text, ours))
    second = Counter(map(_text, theirs))
    wrong = [f"{what}: only here: {step}" for step in (first - second).elements()]
    return wrong + [f"{what}: only there: {step}" for step in (second - first).elements()]


def _text(event: AlarmEvent) -> str:
    return msgspec.json.encode(everything_of(event)).decode()


def twin_events(log: dict[int, list[Entry]]) -> list[AlarmEvent]:
    """What the naive twin says of each partition."""
    events: list[AlarmEvent] = []
    for partition, entries in log.items():
        twin = NaiveEngine(load_pack(), partition=partition, read_pack=parse_pack)
        for entry in entries:
            events += twin.apply(entry).events
    return events


def judge_twin(ran: Ran, kept: set[str]) -> tuple[list[str], int]:
    """kept: enterprises whose log was kept. Also how many steps they had."""
    said = [event for event in ran.events if event.enterprise in kept]
    return differences(f"{ran.name} and its twin", said, twin_events(ran.log)), len(said)


def judge_stored(day: Day, ran: Ran) -> list[str]:
    """Every reading that was sent, once, and nothing else."""
    wrong = []
    for sensor in sorted(day.keys.keys() | ran.stored.count.keys()):
        key = day.keys.get(sensor, f"sensor {sensor}")
        sent, got = day.tally.count.get(sensor, 0), ran.stored.count.get(sensor, 0)
        if sent != got:
            wrong.append(f"{ran.name}: {key}: {sent} sent, {got} stored")
        elif day.tally.values.get(sensor) != ran.stored.values.get(sensor):
            wrong.append(f"{ran.name}: {key}: other values are stored than were sent")
        elif sensor not in day.ahead and day.tally.times.get(sensor) != ran.stored.times.get(sensor):
            wrong.append(f"{ran.name}: {key}: values are stored at other times than they were sent for")
    return wrong


def judge_alike(one: Ran, other: Ran) -> list[str]:
    """Both runs, with each other: every alarm and every stored reading, with arrival, quality and origin."""
    wrong = differences(f"{one.name} and {other.name}", one.events, other.events)
    for shop in sorted(one.risks.keys() | other.risks.keys()):
        if one.risks.get(shop) != other.risks.get(shop):
            wrong.append(f"risk of {shop}: {one.risks.get(shop)} here, {other.risks.get(shop)} there")
    wrong += [f"a message went at once in one of them only: {id_}" for id_ in sorted(one.messages ^ other.messages)]
    if one.arrivals != other.arrivals:
        apart = {s for s in one.arrivals.keys() | other.arrivals.keys() if one.arrivals.get(s) != other.arrivals.get(s)}
        wrong.append(f"stored readings of {len(apart)} sensors differ in time, arrival, quality or origin")
    return wrong


@dataclass(frozen=True, slots=True)
class Verdict:
    wrong: list[str]
    says: str


def one_day(plan: DayPlan, folder: Path, twins: int, partitions: int = 4) -> Verdict:
    """Both ways, and what came of it.  twins: so many shops are judged by the naive twin, befallen ones first."""
    began = time.monotonic()
    day = make_day(plan, folder)
    made_s = time.monotonic() - began
    others = sorted({key.partition("/")[0] for key in day.keys.values()} - set(day.befallen))
    kept = set([*day.befallen, *others][:twins])
    keep = {sensor for sensor, key in day.keys.items() if key.partition("/")[0] in kept}
    one = through_one_process(day, folder / "one", keep)
    other = through_a_cluster(day, folder / "cluster", keep, partitions)
    wrong = judge_alike(one, other) + judge_stored(day, one) + judge_stored(day, other)
    twin_began = time.monotonic()
    with ProcessPoolExecutor(2) as pool:
        judged = list(pool.map(judge_twin, (one, other), (kept, kept)))
    for differing, _ in judged:
        wrong += differing
    raised = Counter(event.family for event in one.events if event.state is State.RAISED)
    if not raised:
        wrong.append("nothing happened on this day")
    twin_s = time.monotonic() - twin_began
    says = [
        f"{plan.shops} shops, {plan.hours:g} h, seed {plan.seed}: {day.messages} messages, "
        f"{day.tally.readings} readings of {len(day.keys)} sensors (made in {made_s:.0f} s)",
        *(ran.says(day) for ran in (one, other)),
        f"raised: {', '.join(f'{count} {family}' for family, count in sorted(raised.items()))}",
        f"the twin over each run's log: {len(kept)} shops, {judged[0][1]} and {judged[1][1]} steps ({twin_s:.0f} s)",
        f"wrong: {len(wrong)}; {time.monotonic() - began:.0f} s in all",
    ]
    return Verdict(wrong, "\n".join(says))


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shops", type=int, default=1000)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--from-hour", type=int, default=0)
    parser.add_argument("--slower", type=int, default=15, help="every device sends so many times more seldom")
    parser.add_argument("--seed", type=int, default=20_260_801)
    parser.add_argument("--twins", type=int, default=60, help="shops that the naive twin judges")
    parser.add_argument("--partitions", type=int, default=4, help="of the cluster's log")
    told = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="tocsin-day-") as folder:
        Path(folder).chmod(0o711)
        plan = DayPlan(told.shops, told.hours, told.seed, told.slower, told.from_hour)
        verdict = one_day(plan, Path(folder), told.twins, told.partitions)
    sys.stdout.write(verdict.says + "\n")
    for line in verdict.wrong[:_SHOWN]:
        sys.stdout.write(line[:1000] + "\n")
    return 1 if verdict.wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
