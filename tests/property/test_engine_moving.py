"""A log that moves to another number of partitions goes on as if it had not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from schemas.alarms import AlarmEvent
from schemas.entries import DeviceFacts, Entry, PackActivated, Payload, ResetAsked, Sensors, Tick
from schemas.errors import CorruptState
from schemas.identity import partition_of
from schemas.readings import ReadingBatch
from streams.engine import Engine
from streams.engine_moving import deal_out
from streams.log.spread import Spread
from tests.engine_logs import LOOSE, PACKS, SENSORS, START, TIGHT, logs, pointed, read_pack

LOGS = settings(
    deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.reuse, Phase.generate]
)


class Cluster:
    """Engines of a log with so many partitions, and where each payload goes."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.engines = [fresh(partition) for partition in range(partitions)]
        self.spread = Spread(partitions, capacity=4096)
        self.spread.split(Sensors(SENSORS))
        self.enterprise_of: dict[str, str] = {}
        self.numbers = [0] * partitions

    def apply(self, payload: Payload) -> list[AlarmEvent]:
        """The steps that it gave, those of our own left out."""
        events: list[AlarmEvent] = []
        for partition, part in self._where(payload):
            self.numbers[partition] += 1
            events += self.engines[partition].apply(Entry(self.numbers[partition], part)).events
        self.enterprise_of |= {event.key: event.enterprise for event in events}
        return [event for event in events if event.enterprise != "tocsin"]

    def _where(self, payload: Payload) -> list[tuple[int, Payload]]:
        if isinstance(payload, DeviceFacts):
            return [(partition_of(payload.enterprise, self.partitions), payload)]
        if isinstance(payload, ResetAsked):
            enterprise = self.enterprise_of.get(payload.alarm, "e1")
            return [(partition_of(enterprise, self.partitions), payload)]
        return self.spread.split(payload)

    def moved(self, partitions: int, *, by_checkpoint: bool) -> Cluster:
        other = Cluster(partitions)
        deal_out(self.engines, other.engines)
        other.enterprise_of = self.enterprise_of
        if by_checkpoint:
            for partition, engine in enumerate(other.engines):
                restored = fresh(partition)
                restored.restore(engine.snapshot(0))
                other.engines[partition] = restored
        return other


def fresh(partition: int) -> Engine:
    return Engine(TIGHT, partition=partition, read_pack=read_pack, capacity=4096)


def told(events: list[AlarmEvent]) -> list[Any]:
    """What does not hang on where an enterprise is judged: an enterprise's steps, in order."""
    plain = [replace_place(event) for event in events]
    return sorted(plain, key=lambda event: event.enterprise)


def replace_place(event: AlarmEvent) -> AlarmEvent:
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    return AlarmEvent(**fields | {"partition": 0, "seq": 0, "entry": 0})


@given(logs(), st.data())
@settings(LOGS, max_examples=120)
def test_a_moved_log_gives_the_same_steps(payloads: list[Payload], data: st.DataObject) -> None:
    """Nobody who is warned by an enterprise's alarms can see that its partition changed."""
    stay, go = Cluster(3), Cluster(3)
    cuts = data.draw(st.dictionaries(st.integers(0, len(payloads)), st.sampled_from([1, 2, 5, 8]), max_size=3))
    history: list[AlarmEvent] = []
    for place, payload in enumerate(payloads):
        if place in cuts:
            go = go.moved(cuts[place], by_checkpoint=data.draw(st.booleans()))
        asked = pointed(Entry(1, payload), history).payload
        want, got = stay.apply(asked), go.apply(asked)
        assert told(got) == told(want)
        history += want
    wanted, found = ([engine.counters() for engine in one.engines] for one in (stay, go))
    for name in ("sensors", "devices", "silent", "watched", "judged", "late", "backfill"):
        assert sum(c[name] for c in found) == sum(c[name] for c in wanted), name


def test_a_new_engine_counts_its_steps_behind_all_that_were_counted() -> None:
    """Desks go by that number."""
    old = Cluster(2)
    old.apply(Sensors(SENSORS))
    for second in range(3):
        at = START + second * 1_000_000
        ids = [sensor.id for sensor in SENSORS if sensor.measure == "smoke_alarm"]
        old.apply(ReadingBatch.of(ids, [at], [at], [1.0], [0], [0]))
        old.apply(Tick(at))
    most = max(engine.book.seq for engine in old.engines)
    assert most > 0
    assert [engine.book.seq for engine in old.moved(3, by_checkpoint=True).engines] == [most] * 3


def test_engines_of_different_packs_are_not_mixed() -> None:
    """A pack is activated partition by partition; a move in the middle of that would judge some by the wrong one."""
    old = Cluster(2)
    old.engines[0].apply(Entry(1, PackActivated(LOOSE.version, "loose")))
    with pytest.raises(CorruptState, match="different packs"):
        old.moved(3, by_checkpoint=False)
    old.engines[1].apply(Entry(1, PackActivated(LOOSE.version, "loose")))
    assert {engine.roster.plans.version for engine in old.moved(3, by_checkpoint=False).engines} == {
        PACKS["loose"].version
    }


@pytest.mark.parametrize("partitions", [[1], [8], [1, 3, 1], [1, 8], [5, 1, 2]])
def test_alarms_that_stand_are_cleared_where_they_went(partitions: list[int]) -> None:
    """What holds an alarm is named by the sensor's number, which changes with the engine."""
    one = Cluster(3)
    one.apply(Sensors(SENSORS))
    ids = [sensor.id for sensor in SENSORS if sensor.measure == "temperature"]

    def read(second: int, value: float) -> list[AlarmEvent]:
        at = START + second * 1_000_000
        return one.apply(ReadingBatch.of(ids, [at] * 2, [at] * 2, [value] * 2, [0] * 2, [0] * 2))

    raised = [event for second in range(6) for event in read(second, 47.0) if event.evidence.rule == "t.pre"]
    for number in partitions:
        one = one.moved(number, by_checkpoint=True)
    cleared = [event for second in range(6, 20) for event in read(second, 20.0) if not event.active]
    assert {event.subject for event in raised} == {event.subject for event in cleared}
    assert {event.key for event in raised} <= {event.key for event in cleared}
    assert len({event.subject for event in raised}) == 2
