"""Recorded files through the engine, off line: the same entries as from a socket, made of columns.

A file is a run of its own: the engine starts afresh, each sensor is a device by itself (`STEM/NAME`), a reading arrives
at its event time, and ticks are each second of the file's time. Ticks that cannot matter are not made. The file shows
when a sensor is quiet for so long that silence may be judged; else, and where no value is held by a sensor that speaks
on change only, readings alone matter and a table is one batch. At other times the engine says when a tick can matter.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from schemas.alarms import AlarmEvent
from schemas.entries import Entry, Payload, Sensor, Sensors, Tick
from schemas.errors import ConfigError
from schemas.identity import id_of
from schemas.measures import Measure, Reporting
from schemas.readings import F64, I64, Origin, Quality, ReadingBatch
from schemas.rules import RulePack, Signal
from scoring.naive import NaiveEngine
from streams.engine import Engine
from streams.replay_sources import Recording, Table
from streams.replay_units import Conversion, convert, measure_named

SECOND_US = 1_000_000
BACKFILL_GRACE_US = 5_000_000
_SENSOR = re.compile(r"(?P<name>[^=]+)=(?P<measure>[a-z0-9_]+)(?:\[(?P<unit>[^\]]*)\])?:(?P<column>.+)\Z")


@dataclass(frozen=True, slots=True)
class SensorSpec:
    """`NAME=MEASURE[UNIT]:COLUMN`, read. In NAME a `*` stands for the column's name, where COLUMN is a pattern."""

    name: str
    measure: Measure
    column: str
    to_unit: Conversion

    @classmethod
    def parse(cls, text: str) -> SensorSpec:
        """Raises ConfigError that says which part is wrong."""
        found = _SENSOR.match(text)
        if found is None:
            mend = "Write NAME=MEASURE[UNIT]:COLUMN, for example room=temperature[degF]:TC1."
            raise ConfigError(f"`{text}` is not a sensor.", field="--sensor", mend=mend)
        measure = measure_named(found["measure"])
        return cls(found["name"], measure, found["column"], convert(measure, found["unit"] or ""))


@dataclass(frozen=True, slots=True)
class Replayed:
    """One sensor of one file."""

    name: str
    column: str
    spec: SensorSpec
    sensor: Sensor


@dataclass(slots=True)
class Summary:
    """What one file held and gave."""

    file: str
    sensors: int
    first_us: int = 0
    last_us: int = 0
    readings: int = 0
    refused: int = 0
    """Outside of anything physical."""
    events: int = 0
    raised: dict[str, int] = field(default_factory=dict)
    """Alarms raised, by grade."""


class Judged(Protocol):
    """An engine as a replay drives it."""

    def apply(self, entry: Entry, scores: F64 | None = None) -> Any: ...

    def next_due_us(self) -> int | None: ...

    def pass_time(self, now_us: int) -> None: ...


class EverySecond:
    """The naive twin, which is given each tick there is: what the compiled engine is compared with."""

    def __init__(self, pack: RulePack) -> None:
        self._twin = NaiveEngine(pack)

    def apply(self, entry: Entry, scores: F64 | None = None) -> Any:
        verdict = self._twin.apply(entry)
        if scores is not None:
            scores[:] = verdict.scores
        return verdict

    def next_due_us(self) -> int:
        return 0

    def pass_time(self, now_us: int) -> None:
        raise AssertionError("a tick of every second is due")


_NEVER = 1 << 60
_ALWAYS_BUSY = (np.array([0], np.int64), np.array([_NEVER], np.int64))

OnEvent = Callable[[AlarmEvent, float], None]
"""An event, and the file's own time of it in s."""
OnScores = Callable[[Replayed, pa.Array, F64, F64, F64], None]
"""A sensor's (n,) rows: the time as written, the file's own time in s, value, score (NaN while not able to say)."""


def sensors_of(recording: Recording, specs: Sequence[SensorSpec], *, several: bool) -> list[Replayed]:
    """The file's columns as sensors. Raises ConfigError for a column that is not there or a name that comes twice."""
    found: dict[str, Replayed] = {}
    for spec in specs:
        for column in recording.match(spec.column):
            name = spec.name.replace("*", column)
            if name in found:
                mend = "Give each its own; with a pattern put a * into the name, which stands for the column's."
                raise ConfigError(f"two sensors are called `{name}`.", field="--sensor", mend=mend)
            key = f"{recording.stem}/{name}/{spec.measure.name}"
            sensor = Sensor(id_of(key), recording.stem, name, spec.measure.name)
            found[name] = Replayed(f"{recording.stem}/{name}" if several else name, column, spec, sensor)
    return list(found.values())


class Replay:
    """One file through one engine."""

    def __init__(
        self,
        recording: Recording,
        sensors: Sequence[Replayed],
        pack: RulePack,
        *,
        naive: bool = False,
        on_event: OnEvent | None = None,
        on_scores: OnScores | None = None,
    ) -> None:
        self._recording = recording
        self._sensors = sensors
        self._engine: Judged = EverySecond(pack) if naive else Engine(pack, capacity=max(4096, len(sensors)))
        self._on_event = on_event
        self._on_scores = on_scores
        on_change = {s.spec.measure.name for s in sensors if s.spec.measure.reporting is Reporting.ON_CHANGE}
        self._silent_us = least_silence_us(pack)
        self._reach_us = min(self._silent_us, least_held_us(pack, on_change))
        self._may_be_calm = not (naive or on_change)
        self._busy = _ALWAYS_BUSY
        self._heard = [0] * len(sensors)
        self._number = 0
        self._now = 0
        self._newest = 0
        self._started = False
        self._ids = np.array([s.sensor.id for s in sensors], np.int64)
        self._ends = np.array([(*s.spec.measure.physical, *s.spec.measure.instrument) for s in sensors]).T
        self.summary = Summary(str(recording.path), len(sensors))

    def run(self) -> Iterator[Summary]:
        """Judge the file; yields the running summary after some ten thousand rows each."""
        self._apply(Sensors([s.sensor for s in self._sensors]))
        for table in self._recording.tables([s.column for s in self._sensors]):
            self._take(table)
            yield self.summary
        if self._started:
            self._advance(_second_after(self._newest))

    def _take(self, table: Table) -> None:
        times = table.time_us
        if not self._started:
            self._started = True
            self.summary.first_us = self._newest = int(times[0])
            self._tick(int(times[0]) // SECOND_US * SECOND_US)
        arrivals = np.maximum.accumulate(np.maximum(times, self._newest))
        values = np.stack([s.spec.to_unit(table.columns[s.column]) for s in self._sensors], axis=1)
        given = np.isfinite(values)
        bad = given & ((values < self._ends[0]) | (values > self._ends[1]))
        self.summary.refused += int(bad.sum())
        given &= ~bad
        batch, first = self._batch(times, arrivals, values, given)
        in_order = bool((arrivals == times).all())
        reach = self._reach_us if in_order else min(self._reach_us, BACKFILL_GRACE_US)
        busy = self._busy_times(arrivals, given)
        self._busy = busy if self._may_be_calm and in_order else _ALWAYS_BUSY
        scores = np.full(len(batch), math.nan) if self._on_scores else None
        row, rows = 0, len(times)
        while row < rows:
            at = int(arrivals[row])
            self._advance(at // SECOND_US * SECOND_US)
            until = self._next_busy(at)
            if until <= at:
                due = self._engine.next_due_us()
                until = at + reach if due is None else min(at + reach, max(_to_second(due), self._now + SECOND_US))
            end = max(row + 1, int(np.searchsorted(arrivals, until, "left")))
            part = slice(int(first[row]), int(first[end]))
            if part.start < part.stop:
                self._apply(batch.take(part), None if scores is None else scores[part])
            row = end
        self._newest = self.summary.last_us = int(arrivals[-1])
        self.summary.readings += len(batch)
        if scores is not None:
            self._give_scores(table, values, given, scores)

    def _batch(self, times: I64, arrivals: I64, values: F64, given: Any) -> tuple[ReadingBatch, I64]:
        """All readings of a table, row by row and in a row sensor by sensor, and where each row begins among them."""
        n, k = values.shape
        pick = slice(None) if given.all() else given.ravel()
        outside = (values < self._ends[2]) | (values > self._ends[3])
        quality = np.where(outside, np.uint8(Quality.OUT_OF_RANGE), np.uint8(Quality.GOOD))
        batch = ReadingBatch.of(
            np.tile(self._ids, n)[pick],
            np.repeat(times, k)[pick],
            np.repeat(arrivals, k)[pick],
            values.ravel()[pick],
            quality.ravel()[pick],
            np.full(n * k, Origin.LIVE, np.uint8)[pick],
        )
        return batch, np.concatenate(([0], np.cumsum(given.sum(axis=1))))

    def _busy_times(self, arrivals: I64, given: Any) -> tuple[I64, I64]:
        """(starts, ends) of when a sensor has been quiet for so long that a silence rule may hold."""
        found: list[tuple[int, int]] = []
        for j in range(given.shape[1]):
            heard = arrivals[given[:, j]]
            if self._heard[j]:
                heard = np.concatenate(([self._heard[j]], heard))
            if not len(heard):
                continue
            self._heard[j] = heard[-1]
            for i in np.flatnonzero(np.diff(heard) >= self._silent_us).tolist():
                found.append((int(heard[i]) + self._silent_us, int(heard[i + 1])))
            found.append((int(heard[-1]) + self._silent_us, _NEVER))
        starts, ends = [_NEVER], [_NEVER]
        for start, end in sorted(found, reverse=True):
            if end >= starts[-1]:
                starts[-1], ends[-1] = start, max(end, ends[-1])
            else:
                starts.append(start)
                ends.append(end)
        return np.array(starts[::-1], np.int64), np.array(ends[::-1], np.int64)

    def _next_busy(self, t: int) -> int:
        """The start of the busy time that ends first after `t`; at most `t` if it is then."""
        starts, ends = self._busy
        return int(starts[min(int(np.searchsorted(ends, t, "right")), len(starts) - 1)])

    def _advance(self, until: int) -> None:
        """All ticks up to `until`, a whole second: those that can matter are made, the rest are passed over."""
        while self._now < until:
            tick = until + SECOND_US
            if self._next_busy(self._now) <= until:
                due = self._engine.next_due_us()
                tick = tick if due is None else max(_to_second(due), self._now + SECOND_US)
            last_idle = min(until, tick - SECOND_US)
            if last_idle > self._now:
                self._engine.pass_time(last_idle)
                self._now = last_idle
            if tick <= until:
                self._tick(tick)

    def _tick(self, now: int) -> None:
        self._now = now
        self._apply(Tick(now))

    def _apply(self, payload: Payload, scores: F64 | None = None) -> None:
        self._number += 1
        events = self._engine.apply(Entry(self._number, payload), scores).events
        for event in events:
            self.summary.events += 1
            if event.state == "raised":
                self.summary.raised[event.grade.word] = self.summary.raised.get(event.grade.word, 0) + 1
            if self._on_event is not None:
                self._on_event(event, self._recording.own_time_s(event.event_us, self.summary.first_us))

    def _give_scores(self, table: Table, values: F64, given: Any, scores: F64) -> None:
        assert self._on_scores is not None
        own = self._recording.own_times_s(table.time_us, self.summary.first_us)
        said = np.full(values.shape, math.nan)
        said[given] = scores
        for j, sensor in enumerate(self._sensors):
            rows = np.flatnonzero(np.isfinite(values[:, j]))
            self._on_scores(sensor, table.as_written.take(pa.array(rows)), own[rows], values[rows, j], said[rows, j])


def least_silence_us(pack: RulePack) -> int:
    """No silence rule holds sooner after a reading."""
    versions = [*pack.rules, *(o.rule for o in pack.overrides)]
    return min([_NEVER, *(int(r.high * 1e6) for r in versions if r.signal is Signal.SILENCE)])


def least_held_us(pack: RulePack, measures: Set[str]) -> int:
    """No timer of an on_change sensor of these measures that a reading starts completes sooner at a tick."""
    versions = [*pack.rules, *(o.rule for o in pack.overrides)]
    ours = [r for r in versions if r.signal is not Signal.SILENCE and (measures & set(r.measures) or not r.measures)]
    held = [d for r in ours for d in (r.delay_us, r.clear_delay_us) if d and measures]
    return max(SECOND_US, min([_NEVER, *held]))


def _to_second(t: int) -> int:
    return -(-t // SECOND_US) * SECOND_US


def _second_after(t: int) -> int:
    return (t // SECOND_US + 1) * SECOND_US
